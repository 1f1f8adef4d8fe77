"""A line on top of a dock: saved work on an image that is open, and whether to go on with it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from .forms import ActionButton, Note, put, row

__all__ = ["Resume"]

LONGEST = 30
"""Characters of a name."""


class Resume(QWidget):
    """Hidden unless there is something to go on with; the buttons tell what a person wants."""

    resuming = Signal()
    leaving = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.text = Note()
        self.resume = ActionButton("Continue", "Open its templates, results and model again.")
        self.leave = ActionButton("Not now", "Begin anew. What was saved stays: see Autosave.")
        put(QVBoxLayout(self), self.text, row(self.resume, self.leave))
        self.resume.clicked.connect(self.resuming)
        self.leave.clicked.connect(self.leaving)
        self.hide()

    def offer(self, image: str = "", when: str = "") -> None:
        """Offer to go on with the work on an image that was saved then; with none, nothing."""
        short = (
            image if len(image) <= LONGEST else f"{image[:14]}…{image[-14:]}"
        )  # words do not break
        self.text.say(f"Unfinished work on “{short}” from {when}. Continue?" if image else "")
        self.text.setToolTip(image)
        self.setVisible(bool(image))
