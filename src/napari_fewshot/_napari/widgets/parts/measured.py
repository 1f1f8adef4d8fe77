"""A table of measurements, to be read and sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtWidgets import QHeaderView, QSizePolicy, QTableView

from .tables import SORT_ROLE, TableModel, make_plain

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MeasuredTable"]

HEIGHT = 180


class _Model(TableModel):
    def __init__(self, parent: QTableView, table: pd.DataFrame | None) -> None:
        columns = () if table is None else tuple(map(str, table.columns))
        super().__init__(parent, columns, columns)
        values = [] if table is None else [table[name].tolist() for name in columns]
        self._rows = list(zip(*values, strict=True))

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        return self._rows

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        value = self._rows[index.row()][index.column()]
        if role == SORT_ROLE:
            return value
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{value:.5g}" if isinstance(value, float) else str(value)
        return None


class MeasuredTable(QTableView):
    """Rows of measurements under the names of their columns; a click on one sorts."""

    def __init__(self) -> None:
        super().__init__()
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSortRole(SORT_ROLE)
        self.setModel(self._sorted)
        make_plain(self, 30)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.setSortingEnabled(True)
        self.setMinimumHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.setVisible(False)

    def show_table(self, table: pd.DataFrame | None) -> None:
        """Show a table in its own order, or none."""
        self._sorted.setSourceModel(_Model(self, table))
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.resizeColumnsToContents()
        self.setVisible(table is not None)
