"""Keys of the viewer where a table, a list or a choice has the focus."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QWidget

__all__ = ["let_keys_pass"]


class _Passing(QObject):
    """Leaves letters and digits to the window, which hands them on to the viewer."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Whether an event is kept from a widget; one that is not accepted goes to its parent."""
        pressed: Any = event
        if pressed is None or pressed.type() != QEvent.Type.KeyPress:
            return False
        plain = pressed.modifiers() in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.ShiftModifier,
        )
        if not (plain and pressed.text().isalnum()):
            return False
        pressed.ignore()
        return True


def let_keys_pass(widget: QWidget) -> None:
    """Let keys of the viewer work while a widget has the focus that else searches by letters."""
    widget.installEventFilter(_Passing(widget))
