"""The points of a layer with their numbers, and a field for the name of each."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from .forms import Note, put
from .tables import fit_rows, make_plain

__all__ = ["LandmarkTable"]

COLUMNS = ("Beside it", "Name")
MAX_ROWS_SHOWN = 8
TIP = (
    "Points without a name are one landmark each, the first of one image with the first of the\n"
    "others. Double click to name one: equal names are one landmark in all images, in any order."
)


class LandmarkTable(QWidget):
    """Tells of a row (its number) and the name that a person gave; hidden without points."""

    named = Signal(int, str)

    def __init__(self) -> None:
        super().__init__()
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.problem = Note()
        make_plain(self.table, min_width=40)
        triggers = QAbstractItemView.EditTrigger
        self.table.setEditTriggers(triggers.DoubleClicked | triggers.EditKeyPressed)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.table.setToolTip(TIP)
        self.table.cellChanged.connect(self._on_changed)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        put(QVBoxLayout(self), self.table, self.problem)
        self.hide()

    def show_points(self, drawn: Sequence[str], names: Sequence[str], problem: str = "") -> None:
        """Show what is drawn beside each point, and the name that it was given."""
        self.setVisible(bool(drawn))
        self.problem.say(problem)
        if self.table.state() == QAbstractItemView.State.EditingState:
            return
        with QSignalBlocker(self.table):
            self.table.setRowCount(len(drawn))
            for row, (text, name) in enumerate(zip(drawn, names, strict=True)):
                beside = QTableWidgetItem(text)
                beside.setFlags(beside.flags() & ~Qt.ItemFlag.ItemIsEditable)
                self.table.setItem(row, 0, beside)
                self.table.setItem(row, 1, QTableWidgetItem(name))
        fit_rows(self.table, min(len(drawn), MAX_ROWS_SHOWN))

    def _on_changed(self, row: int, column: int) -> None:
        item = self.table.item(row, column)
        if column == 1 and item is not None:
            self.named.emit(row, item.text())
