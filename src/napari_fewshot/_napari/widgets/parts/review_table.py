"""Table of the images of a run, with what became of each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QVBoxLayout, QWidget

from ....io import stem_of
from ....jobs import ImageResult
from .forms import GAP, Note, put
from .tables import SORT_ROLE, TableModel, disc, make_plain

__all__ = ["ReviewTable"]

COLOURS = {"failed": "#d0504a", "done": "#e0a030", "skipped": "#e0a030", "reviewed": "#3f7fd0"}
COLUMNS = ("Image", "Status", "Conf.", "Disagr.")
WIDEST = ("", "reviewed", "0.000", "Disagr.")
COLUMN_TIPS = (
    "Click on a row to open the image with its labels and landmarks.",
    "What the run, or a person, says of it.",
    "Mean confidence of what has a label, 0 to 1.",
    "How far labels and probabilities disagree: near 0 where the model is sure of every voxel.",
)
STATUS_TIPS = {
    "done": "labelled by the run",
    "skipped": "labelled by an earlier run",
    "reviewed": "looked at by a person: no run replaces it",
    "failed": "failed",
}


class _Model(TableModel):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, COLUMNS, COLUMN_TIPS)
        self.results: list[ImageResult] = []
        self.opened: int | None = None
        self._names: list[str] = []
        self._icons = {status: disc(colour) for status, colour in COLOURS.items()}

    def show(self, results: Sequence[ImageResult]) -> None:
        self.beginResetModel()
        self.results, self._names = list(results), _names([one.image for one in results])
        self.endResetModel()

    @property
    def rows(self) -> Sequence[ImageResult]:
        return self.results

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        result, column = self.results[index.row()], index.column()
        numbers = result.mean_confidence, result.disagreement
        if role == Qt.ItemDataRole.DisplayRole:
            if column < 2:
                return (self._names[index.row()], result.status)[column]
            number = numbers[column - 2]
            return "" if number is None else f"{number:.3f}"
        if role == SORT_ROLE:
            if column < 2:
                return (self._names[index.row()], list(COLOURS).index(result.status))[column]
            number = numbers[column - 2]
            return -1.0 if number is None else number
        if role == Qt.ItemDataRole.DecorationRole and column == 1:
            return self._icons[result.status]
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{result.image}\n{result.error or STATUS_TIPS[result.status]}"
        if role == Qt.ItemDataRole.TextAlignmentRole and column > 1:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None


class ReviewTable(QWidget):
    """Images in the order that is given, or sorted by a click on a column; a click picks one."""

    picked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.model = _Model(self)
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSourceModel(self.model)
        self._sorted.setSortRole(SORT_ROLE)
        self.view = QTableView()
        make_plain(self.view, min_width=30)
        self.view.setModel(self._sorted)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)  # as given
        self.view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.view.setWordWrap(False)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setMinimumHeight(220)
        header = self.view.horizontalHeader()
        for column, text in enumerate(WIDEST[1:], 1):  # the names take the room that is left
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            width = self.view.fontMetrics().horizontalAdvance(text) + 2 * GAP
            disc_width = 3 * GAP if column == 1 else 0
            header.resizeSection(column, width + disc_width)
        self.view.clicked.connect(self._on_clicked)
        self.view.activated.connect(self._on_clicked)
        self.counts = Note()
        put(QVBoxLayout(self), self.view, self.counts)

    def show_results(self, results: Sequence[ImageResult], opened: int | None) -> None:
        """Show these results, one of them as the open one."""
        if self.model.results != list(results):
            self.model.show(results)
        counts: Counter[str] = Counter(one.status for one in results)
        counts["to look at"] = counts.pop("done", 0) + counts.pop("skipped", 0)
        colours = {**COLOURS, "to look at": COLOURS["done"]}
        words = [
            f'<span style="color:{colours[what]}">●</span> {counts[what]} {what}'
            for what in ("failed", "to look at", "reviewed")
            if counts[what]
        ]
        self.counts.say(" &nbsp;".join(words))
        if opened is None:
            self.view.clearSelection()
            return
        place = self._sorted.mapFromSource(self.model.index(opened, 0))
        self.view.selectRow(place.row())
        self.view.scrollTo(place)

    def order(self) -> list[int]:
        """Numbers of the results from top to bottom."""
        rows = range(self._sorted.rowCount())
        return [self._sorted.mapToSource(self._sorted.index(row, 0)).row() for row in rows]

    def _on_clicked(self, place: QModelIndex) -> None:
        self.picked.emit(self._sorted.mapToSource(place).row())


def _names(images: Sequence[Path]) -> list[str]:
    """What tells images apart: names, or paths from the folder that all are in."""
    names = [stem_of(path) for path in images]
    if len(set(names)) == len(names):
        return names
    try:
        common = os.path.commonpath([path.parent for path in images])
    except ValueError:  # on several drives
        return [str(path) for path in images]
    return [path.relative_to(common).as_posix() for path in images]
