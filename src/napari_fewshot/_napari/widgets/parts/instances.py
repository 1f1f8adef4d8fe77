"""What is said of a template of instances, and the way on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from .forms import ActionButton, Note, put

if TYPE_CHECKING:
    from ...session import TemplateEntry

__all__ = ["InstancesNote"]


class InstancesNote(QWidget):
    """Hidden until a template looks like instances, and again when it has gone."""

    wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._entry: TemplateEntry | None = None
        self.text = Note()
        self.merge = ActionButton(
            "Learn as one class",
            "All labels become one, in a new layer, which takes the place of this template.",
        )
        put(QVBoxLayout(self), self.text, self.merge)
        self.merge.clicked.connect(lambda: self.wanted.emit(self._entry))
        self.setVisible(False)

    def show_entry(self, entry: TemplateEntry, count: int) -> None:
        """Say that a template has so many instances; 0: it has none."""
        self._entry = entry if count else None
        if count:
            self.text.say(
                f"{count} labels that each occur once look like instances, and each would be a "
                "class of its own. Learn one class, then separate the result into objects in the "
                "dock Measurements?"
            )
        self.setVisible(bool(count))

    def keep_among(self, templates: Sequence[TemplateEntry]) -> None:
        """Hide it when its template is no longer one of these."""
        if self._entry is not None and self._entry not in templates:
            self._entry = None
            self.setVisible(False)
