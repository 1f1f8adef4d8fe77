"""Click on a structure, choose a mask, accept it as paint: a panel that any dock can place."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...session.answers import WALKER
from .connections import listen
from .forms import ActionButton, Choice, Form, Note, put, row

if TYPE_CHECKING:
    from ...session import Session

__all__ = ["ClickPanel"]

MOST = 3
_KINDS = {
    "inside": ("Inside", "The next click lies in the structure."),
    "outside": ("Outside", "The next click is to stay out of the structure."),
    "box": ("Box", "Draw a rectangle round the structure, or a part of it."),
}
_WALKER_NAME = "learning and edges"


class ClickPanel(QWidget):
    """Clicks on an image and what they are answered with.

    Parameters
    ----------
    session : Session
    image : callable
        Gives the image layer that is worked on, or None.
    attempt : callable
        ``attempt(act, *args, **kwargs)`` does what a person asked for, and says what is wrong.
    into : callable, optional
        Gives the layer to paint in. None: as :meth:`SessionClicks.begin` finds it.
    """

    def __init__(
        self,
        session: Session,
        image: Callable[[], Any],
        attempt: Callable[..., Any],
        into: Callable[[], Any] = lambda: None,
    ) -> None:
        super().__init__()
        self._into = into
        self._picked = ""  # method that a person chose
        self._clicks, self._session, self._image, self._attempt = (
            session.clicks,
            session,
            image,
            attempt,
        )
        self.method = Choice()
        self.begin = ActionButton(
            "Click on a structure",
            "Adds layers to click into. What you accept is painted with the selected label, and\n"
            "is learned like any stroke of the brush.",
        )
        self.kinds = {kind: ActionButton(*words) for kind, words in _KINDS.items()}
        self.masks = [
            ActionButton("", "Show this mask. The number is the overlap that SAM expects.")
            for _ in range(MOST)
        ]
        self.accept = ActionButton("Accept", "Paint the mask with the label in hand: one stroke.")
        self.clear = ActionButton("Clear", "Take these clicks and boxes back.")
        self.undo = ActionButton("Undo", "Take the last stroke, or what was accepted last, back.")
        self.hint = Note()
        form = Form()
        form.add(
            "Answer by",
            self.method,
            "Networks for clicks (SAM) whose weights are here, or what was learned and edges.",
        )
        put(
            QVBoxLayout(self),
            form,
            self.begin,
            row(*self.kinds.values()),
            row(*self.masks),
            row(self.accept, self.clear, self.undo),
            self.hint,
        )
        self.begin.clicked.connect(self._on_begin)
        self.method.activated.connect(self._on_method)
        for kind, button in self.kinds.items():
            button.clicked.connect(partial(self._attempt_click, kind))
        for number, button in enumerate(self.masks):
            button.clicked.connect(partial(self._choose, number))
        self.accept.clicked.connect(lambda: attempt(self._clicks.accept))
        self.clear.clicked.connect(lambda: attempt(self._clicks.clear))
        self.undo.clicked.connect(lambda: attempt(self._clicks.undo))
        listen(self, self._clicks.changed, self.show_state)
        listen(self, session.events.settings, self.show_state)
        listen(self, session.events.job, self._show_hint)
        self.show_state()

    def show_state(self, *_: object) -> None:
        """Show the clicks as they are now."""
        clicks, begun = self._clicks, self._clicks.image is not None
        chosen = clicks.method or self._picked  # else the best one
        names = [(_WALKER_NAME if name == WALKER else name, name) for name in clicks.methods]
        self.method.offer([(text, name, "") for text, name in names], chosen)
        self.begin.setText("Stop clicking" if begun else "Click on a structure")
        self.begin.block("" if self._image() is not None else "open an image")
        for button in (*self.kinds.values(), self.clear, self.undo):
            button.block("" if begun else "begin to click")
        choices = clicks.choices
        for number, button in enumerate(self.masks):
            button.setVisible(number < len(choices) and choices[number].iou is not None)
            if number < len(choices) and (iou := choices[number].iou) is not None:
                mark = "● " if number == clicks.chosen else ""
                button.setText(f"{mark}{number + 1}: {iou:.2f}")
        self.accept.block("" if choices else "click into the image")
        self._show_hint()

    def _show_hint(self, *_: object) -> None:
        clicks = self._clicks
        if clicks.is_looking:
            self.hint.say("Looking at the slice…")
        elif clicks.choices:
            self.hint.say("Accept, or click once more to correct it.")
        elif clicks.image is not None:
            self.hint.say("Click into the structure, in the image.")
        elif self.method.value == WALKER:
            self.hint.say("Clicks correct the selected label by what was learned, and by edges.")
        else:
            self.hint.say("")

    def _on_begin(self) -> None:
        if self._clicks.image is not None:
            self._attempt(self._clicks.end)
            return
        into = self._attempt(self._into)
        self._attempt(self._clicks.begin, self._image(), into=into, method=self.method.value)

    def _on_method(self, _: int) -> None:
        self._picked = str(self.method.value)
        clicks = self._clicks
        if clicks.image is not None:
            self._attempt(clicks.begin, clicks.image, into=clicks.into, method=self.method.value)
        self._show_hint()

    def _attempt_click(self, kind: str, *_: object) -> None:
        self._attempt(self._clicks.click, kind)

    def _choose(self, number: int, *_: object) -> None:
        self._attempt(self._clicks.choose, number)
