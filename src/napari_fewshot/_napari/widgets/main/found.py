"""Section *Landmarks found*: how sure each is, and what to do about those that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..parts.connections import bind_keys
from ..parts.forms import ActionButton, Note, Section, row
from ..parts.found_landmarks import FoundTable

if TYPE_CHECKING:
    from .host import MainDock

__all__ = ["FoundSection"]

NEXT, BACK = "J", "Shift+J"
"""Keys that neither napari nor its layers use."""


class FoundSection(Section):
    """The landmarks of the image in view; hidden where nothing was looked for."""

    def __init__(self, dock: MainDock) -> None:
        super().__init__("Landmarks found", "How sure each is; click one to go there")
        self._dock = dock
        self.table = FoundTable()
        self.next = ActionButton(
            "Next place",
            "Move the selected point to the next place that it may have; it counts as yours then,\n"
            f"and the others follow. {BACK} goes back.",
        )
        self.take_back = ActionButton(
            "Take back", "The point is a found one again, where it was found; the others follow."
        )
        self.place = ActionButton(
            "Place it",
            "Put a point that was not found at its best place, or in the middle: drag it from "
            "there.",
        )
        self.said = Note()
        self.add(self.table, row(self.next, self.take_back, self.place), self.said)
        self.table.picked.connect(self._on_picked)
        self.next.clicked.connect(lambda: self._on_next(1))
        self.take_back.clicked.connect(self._on_take_back)
        self.place.clicked.connect(self._on_place)
        keys = {NEXT: lambda: self._on_next(1), BACK: lambda: self._on_next(-1)}
        if NEXT in bind_keys(dock.viewer, keys, dock):
            self.next.setText(f"{self.next.text()}  [{NEXT}]")
        self.hide()

    @property
    def _marks(self) -> Any:
        return self._dock.session.landmarks

    def show_state(self) -> None:
        """Show the session as it is now."""
        image = self._dock.image
        marks = () if image is None else self._marks.of(image)
        self.setVisible(bool(marks))
        self.table.show_marks(marks)
        self._show_buttons()

    def _show_buttons(self) -> None:
        mark = self.table.mark
        none = "click a landmark in the list" if mark is None else ""
        missing = mark is not None and mark.kind == "missing"
        placed = mark is not None and mark.kind == "placed"
        others = mark is not None and (mark.others > 0)
        self.next.block(none or ("" if others else "this one has no other place"))
        self.take_back.block(none or ("" if placed else "you have not moved this one"))
        self.place.block(none or ("" if missing else "this one is there: drag its point"))

    def _on_picked(self, label: int) -> None:
        self.said.say("")
        self._dock.attempt(self._marks.show, label, self._dock.image)
        self._show_buttons()

    def _on_next(self, step: int) -> None:
        self.said.say(self._dock.attempt(self._marks.next_place, step) or "")

    def _on_take_back(self) -> None:
        self._act(self._marks.take_back)

    def _on_place(self) -> None:
        self._act(self._marks.place)

    def _act(self, act: Any) -> None:
        mark = self.table.mark
        self.said.say("")
        if mark is not None:
            self._dock.attempt(act, mark.label, self._dock.image)
