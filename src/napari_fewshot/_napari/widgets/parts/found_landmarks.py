"""Landmarks that were found with their score as a bar, and those that were not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import (
    QAbstractItemView,
    QStyle,
    QStyledItemDelegate,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...session.landmark_look import LEAST_SURE
from .bars import paint_bar
from .forms import WRONG, Note, put
from .tables import fit_rows, make_plain

if TYPE_CHECKING:
    from ...session.found_points import FoundLandmark

__all__ = ["FoundTable"]

COLUMNS = ("Landmark", "Score")
MAX_ROWS_SHOWN = 9
SURE, UNSURE = "#2e9e5b", "#e0a030"
SCORE_ROLE = Qt.ItemDataRole.UserRole
PLACED, MISSING = "yours", "not found"


class _Bars(QStyledItemDelegate):
    """Paints a score as a bar from 0 to 1 with a mark at what is sure; else words."""

    def paint(self, painter: QPainter, option: Any, index: QModelIndex) -> None:
        score = index.data(SCORE_ROLE)
        if score is None or option.state & QStyle.StateFlag.State_Selected:
            super().paint(painter, option, index)
            return
        colour = SURE if score >= LEAST_SURE else UNSURE
        paint_bar(painter, option, score, colour, f"{score:.2f}", LEAST_SURE)


class FoundTable(QWidget):
    """A row for each landmark: a click tells its label; hidden where nothing was looked for."""

    picked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.marks: tuple[FoundLandmark, ...] = ()
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.setItemDelegateForColumn(1, _Bars(self.table))
        make_plain(self.table, min_width=50)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.missing = Note()
        put(QVBoxLayout(self), self.table, self.missing)
        self.table.cellClicked.connect(lambda row, _: self.picked.emit(self.marks[row].label))
        self.hide()

    @property
    def mark(self) -> FoundLandmark | None:
        """The one in the selected row."""
        rows = self.table.selectionModel().selectedRows()
        return self.marks[rows[0].row()] if rows else None

    def select(self, label: int) -> None:
        """Select the row of a landmark."""
        for row, mark in enumerate(self.marks):
            if mark.label == label:
                self.table.selectRow(row)

    def show_marks(self, marks: Sequence[FoundLandmark]) -> None:
        """Show landmarks; the one that was selected stays so."""
        self.setVisible(bool(marks))
        if tuple(marks) == self.marks:
            return
        chosen = self.mark
        self.marks = tuple(marks)
        self.table.clearSelection()
        self.table.setRowCount(len(marks))
        for row, mark in enumerate(marks):
            text = PLACED if mark.kind == "placed" else MISSING
            score = QTableWidgetItem(text if mark.score is None else f"{mark.score:.2f}")
            score.setData(SCORE_ROLE, mark.score)
            for column, item in enumerate((QTableWidgetItem(mark.name), score)):
                item.setToolTip(_tip(mark))
                self.table.setItem(row, column, item)
            if chosen is not None and chosen.label == mark.label:
                self.table.selectRow(row)
        fit_rows(self.table, min(len(marks), MAX_ROWS_SHOWN))
        self._say_missing()

    def _say_missing(self) -> None:
        """Name those that were not found, each with a word why."""
        missing = [mark for mark in self.marks if mark.kind == "missing"]
        lines = [f"{mark.name}: {mark.why}" for mark in missing[:MAX_ROWS_SHOWN]]
        more = len(missing) - len(lines)
        lines += [f"and {more} more"] if more > 0 else []
        found = f"{len(self.marks) - len(missing)} of {len(self.marks)} are there."
        text = "<br>".join([f'<span style="color:{WRONG}">{found} Not found:</span>', *lines])
        self.missing.say(text if missing else "")


def _tip(mark: FoundLandmark) -> str:
    if mark.kind == "missing":
        return f"{mark.name} was not found: {mark.why}"
    if mark.kind == "placed":
        return f"{mark.name} lies where you put it; it teaches, and the others follow it."
    others = f" {mark.others} other places: see the key below." if mark.others else ""
    unsure = "" if mark.score is None or mark.score >= LEAST_SURE else " Look at it."
    return f"{mark.name}: score {mark.score:.2f}.{unsure} Click to go there.{others}"
