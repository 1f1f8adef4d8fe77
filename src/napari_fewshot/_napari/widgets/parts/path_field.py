"""A path that is typed or chosen in a dialog."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QToolButton, QWidget

from .forms import MARGIN

__all__ = ["PathField"]


class PathField(QWidget):
    """Line for a path, with a button that opens a dialog.

    Parameters
    ----------
    empty : str
        What an empty field means, shown in it.
    filters : str
        Files that the dialog shows; empty: it asks for a folder.
    """

    changed = Signal()

    def __init__(self, empty: str, filters: str = "") -> None:
        super().__init__()
        self._filters, self._shown = filters, ""
        self.line = QLineEdit()
        self.line.setPlaceholderText(empty)
        self.line.setClearButtonEnabled(True)
        self.line.setMinimumWidth(40)
        self.line.editingFinished.connect(self._on_edited)
        self.line.textChanged.connect(self._on_text)
        self.browse = QToolButton()
        self.browse.setText("…")
        self.browse.setToolTip("Choose in a dialog")
        self.browse.clicked.connect(self._on_browse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(MARGIN)
        layout.addWidget(self.line)
        layout.addWidget(self.browse)

    @property
    def path(self) -> Path | None:
        """The path, None where the field is empty."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    def show_path(self, path: Path | None) -> None:
        """Show a path without telling that it has changed."""
        self._shown = "" if path is None else str(path)
        self.line.setText(self._shown)

    def _on_text(self, text: str) -> None:
        if not text:  # the button that clears it ends no editing
            self._on_edited()

    def _on_edited(self) -> None:
        text = self.line.text().strip()
        if text != self._shown:
            self._shown = text
            self.changed.emit()

    def _on_browse(self) -> None:
        start = str(self.path or Path.home())
        if self._filters:
            chosen, _ = QFileDialog.getOpenFileName(self, "Choose a file", start, self._filters)
        else:
            chosen = QFileDialog.getExistingDirectory(self, "Choose a folder", start)
        if chosen:
            self.line.setText(chosen)
            self._on_edited()
