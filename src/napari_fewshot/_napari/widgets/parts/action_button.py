"""A button that is enabled only when it can work, and otherwise says why not."""

from __future__ import annotations

from qtpy.QtWidgets import QPushButton, QSizePolicy

__all__ = ["ActionButton"]


class ActionButton(QPushButton):
    """Button with a tooltip that tells what it does, or what it waits for.

    Parameters
    ----------
    text, tip : str
    """

    def __init__(self, text: str, tip: str) -> None:
        super().__init__(text)
        self._tip = tip
        self.setToolTip(tip)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(40)

    @property
    def reason(self) -> str:
        """Why it is disabled; empty when it is enabled."""
        return str(self.property("reason") or "")

    def block(self, reason: str = "") -> None:
        """Disable it for a reason, or enable it again with none."""
        self.setProperty("reason", reason)
        self.setEnabled(not reason)
        self.setToolTip(f"{self._tip}\n\nNot now: {reason}" if reason else self._tip)
