"""The loop of corrections: update, the next slice to paint, and what a person says of slices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox

from ....errors import FewShotError
from .connections import bind_keys, listen
from .forms import ActionButton, Note, Section, row
from .tables import SliceTable

if TYPE_CHECKING:
    from ...session import SliceInfo
    from ..dock import SessionDock

__all__ = ["CorrectSection"]

LIVE_TIP = "Update the slice in view after each stroke of the brush."


class CorrectSection(Section):
    """Buttons for the slice in view of an image, and the list of its slices.

    ``image`` gives the layer (None: none). Call :meth:`show_state` after each change.
    """

    def __init__(self, dock: SessionDock, title: str, image: Callable[[], Any]) -> None:
        super().__init__(title, "Slices, and what to do next")
        self._dock, self._image = dock, image
        self.update_labels = ActionButton(
            "Update", "Train again with what was painted; the slice in view is redone first."
        )
        self.live = QCheckBox("Live")
        self.next = ActionButton(
            "Next slice to paint", "Go to the slice where painting should help most."
        )
        self.reviewed = ActionButton(
            "This slice is reviewed",
            "All that is on this slice is painted, even if that is nothing.\nAgain: take it back.",
        )
        self.strokes = Note()
        self.accept = ActionButton(
            "Accept slice as template",
            "The prediction on this slice, as corrected, is right: learn from it.\n"
            "Again: take it back.",
        )
        self.table = SliceTable()
        self.add(row(self.update_labels, self.live), self.next, self.reviewed, self.strokes)
        self.add(self.accept, self.table)
        session = dock.session
        self.update_labels.clicked.connect(lambda: dock.attempt(session.update, image()))
        self.live.clicked.connect(lambda on: dock.attempt(setattr, session, "live", on))
        self.next.clicked.connect(self._on_next)
        self.reviewed.clicked.connect(self._on_reviewed)
        self.accept.clicked.connect(self._on_accept)
        self.table.picked.connect(lambda index: dock.attempt(session.go_to, index, image()))
        listen(self, dock.viewer.dims.events.current_step, self.show_current)
        self._bind_keys()

    def _bind_keys(self) -> None:
        """Keys that neither napari nor its layers use; each clicks its button, if it is enabled."""
        buttons = {
            "U": self.update_labels,
            "N": self.next,
            "K": self.reviewed,
            "G": self.accept,
        }
        clicks = {key: button.click for key, button in buttons.items()}
        for key in bind_keys(self._dock.viewer, clicks, self._dock):
            buttons[key].setText(f"{buttons[key].text()}  [{key}]")

    @property
    def here(self) -> SliceInfo | None:
        """The slice in view, as it is shown in the list."""
        image = self._image()
        return None if image is None else self.table.slice_at(self._session.slice_in_view(image))

    @property
    def _session(self) -> Any:
        return self._dock.session

    def show_state(self, why_not: str) -> None:
        """Show the session as it is now; ``why_not`` tells why there can be no update."""
        session, image = self._session, self._image()
        self.update_labels.block(why_not)
        self.live.setChecked(session.live)
        self.live.setEnabled(not why_not)
        self.live.setToolTip(f"{LIVE_TIP}\n\nNot now: {why_not}" if why_not else LIVE_TIP)
        self.table.show_slices(() if image is None else session.slices(image))
        self.next.block("" if self.table.model.slices else "open an image")
        self.show_current()

    def show_current(self, *_: object) -> None:
        """Show what can be said of the slice in view."""
        here = self.here
        self.table.show_current(here)
        nowhere = "" if here is not None else "show a slice of the image"
        self.reviewed.block(nowhere)
        self.strokes.say(self._what_of_strokes(here))
        open_to_it = here is not None and (here.accepted or here.status == "predicted")
        self.accept.block(nowhere or ("" if open_to_it else "this slice has no prediction"))

    def _what_of_strokes(self, here: SliceInfo | None) -> str:
        """What a slice that is painted in part teaches, and how to say that it is complete."""
        if here is None or not here.strokes:
            return ""
        try:
            layer = self._session.review_layer(here.index, self._image())
        except FewShotError:  # its layers have just gone
            return ""
        return (
            f"Of slice {here.index} only the strokes are learned, the rest stays predicted. When "
            f"“{layer.name}” has all there is on it, press “This slice is reviewed”."
        )

    def _on_next(self) -> None:
        dock, image = self._dock, self._image()
        index = dock.attempt(self._session.next_slice, image)
        if index is not None:
            self._session.go_to(index, image)
        elif not dock.status.text():
            dock.say("No slice is left to paint.")

    def _on_reviewed(self) -> None:
        here = self.here
        reviewed = here is not None and here.status == "reviewed"
        act = self._session.unmark_reviewed if reviewed else self._session.mark_reviewed
        self._dock.attempt(act, image=self._image())

    def _on_accept(self) -> None:
        here = self.here
        accepted = here is not None and here.accepted
        act = self._session.unaccept if accepted else self._session.accept
        self._dock.attempt(act, image=self._image())
