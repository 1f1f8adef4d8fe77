"""Lists of what there is: slices with their status and score, and templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from .bars import paint_bar
from .forms import ActionButton, Note, put, row
from .keys import let_keys_pass

if TYPE_CHECKING:
    from ...session import SliceInfo

__all__ = [
    "ROW_HEIGHT",
    "SORT_ROLE",
    "SliceTable",
    "TableModel",
    "TemplateList",
    "disc",
    "fit_rows",
    "make_plain",
]

STATUS_COLOURS = {
    "painted": "#2e9e5b",
    "reviewed": "#3f7fd0",
    "predicted": "#e0a030",
    "empty": "#808890",
}
"""Colours that can be told apart on napari's dark and light backgrounds."""
STATUS_TIPS = {
    "painted": "painted by a person: a template",
    "reviewed": "looked at by a person, all that is there is painted: a template, even if empty",
    "predicted": "labels come from the model",
    "empty": "nothing painted or predicted yet",
}
STROKES_TIP = "; a person painted a part of it: these strokes teach, the rest does not"
COLUMNS = ("Slice", "Status", "Score")
COLUMN_TIPS = (
    "Number along the working axis; click to go there.",
    "Painted and reviewed slices are never written to by a prediction.",
    "How much painting this slice should help: unsure, and unlike the templates. 1 is most.",
)
ROW_HEIGHT = 20
MIN_ROWS_SHOWN, MAX_ROWS_SHOWN = 4, 9
NUMBER_WIDTH, ICON_WIDTH = 44, 30
SORT_ROLE = Qt.ItemDataRole.UserRole


def make_plain(table: QTableView, min_width: int) -> None:
    """Make a table one to be read: columns that share its width, no grid, no editing."""
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setShowGrid(False)
    table.setWordWrap(False)  # else long names lose their ends, not their middle
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    header.setMinimumSectionSize(min_width)
    let_keys_pass(table)


def fit_rows(table: QTableView, rows: int) -> None:
    """Make a table as high as its header and so many whole rows."""
    header = table.horizontalHeader().sizeHint().height()
    table.setFixedHeight(header + rows * ROW_HEIGHT + 2 * table.frameWidth())


class TableModel(QAbstractTableModel):
    """Rows that a person reads, under columns with a title and a tip each."""

    def __init__(self, parent: QWidget, columns: Sequence[str], tips: Sequence[str]) -> None:
        super().__init__(parent)
        self._columns, self._tips = columns, tips

    @property
    def rows(self) -> Sequence[Any]:
        """What there is a row for."""
        raise NotImplementedError

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Count the rows."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Count the columns."""
        return 0 if parent is not None and parent.isValid() else len(self._columns)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Any, role: int = 0
    ) -> Any:
        """Title and tip of a column."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole and section == 0:  # room for the arrow
            return int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.DisplayRole:
            return self._columns[section]
        return self._tips[section] if role == Qt.ItemDataRole.ToolTipRole else None


class _Model(TableModel):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, COLUMNS, COLUMN_TIPS)
        self.slices: tuple[SliceInfo, ...] = ()
        self._icons = {status: disc(colour) for status, colour in STATUS_COLOURS.items()}

    @property
    def rows(self) -> Sequence[SliceInfo]:
        return self.slices

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        entry, column = self.slices[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            score = "" if entry.score is None else f"{entry.score:.2f}"
            status = "strokes" if entry.strokes else entry.status
            return (str(entry.index), status, score)[column]
        if role == SORT_ROLE:
            score_or_least = -1.0 if entry.score is None else entry.score
            return (entry.index, list(STATUS_COLOURS).index(entry.status), score_or_least)[column]
        if role == Qt.ItemDataRole.DecorationRole and column == 1:
            return self._icons[entry.status]
        if role == Qt.ItemDataRole.ToolTipRole:
            tip = STATUS_TIPS[entry.status] + STROKES_TIP * entry.strokes
            return f"Slice {entry.index}: {tip}. Click to go there."
        if role == Qt.ItemDataRole.TextAlignmentRole and column != 1:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def show(self, slices: Sequence[SliceInfo]) -> None:
        """Replace the slices; the view keeps its place while their number stays."""
        if len(self.slices) != len(slices):
            self.beginResetModel()
            self.slices = tuple(slices)
            self.endResetModel()
            return
        self.slices = tuple(slices)
        if slices:
            last = self.index(len(slices) - 1, len(COLUMNS) - 1)
            self.dataChanged.emit(self.index(0, 0), last)


class _Bars(QStyledItemDelegate):
    """Paints how much painting a slice should help as a bar; nothing without a score."""

    def paint(self, painter: QPainter, option: Any, index: QModelIndex) -> None:
        text = index.data(Qt.ItemDataRole.DisplayRole)
        if text and not option.state & QStyle.StateFlag.State_Selected:
            paint_bar(painter, option, index.data(SORT_ROLE), STATUS_COLOURS["predicted"], text)
        else:
            super().paint(painter, option, index)


class SliceTable(QWidget):
    """Slices with status and score, a click on one tells its number, and a line that counts them.

    Columns sort on a click; hundreds of slices are shown without a widget for each.
    """

    picked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.model = _Model(self)
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSourceModel(self.model)
        self._sorted.setSortRole(SORT_ROLE)
        self.view = QTableView()
        make_plain(self.view, min_width=40)
        self.view.setModel(self._sorted)
        self.view.setItemDelegateForColumn(2, _Bars(self.view))
        header, words = self.view.horizontalHeader(), (*STATUS_COLOURS, "strokes")
        longest = max(self.view.fontMetrics().horizontalAdvance(word) for word in words)
        for column, width in enumerate((NUMBER_WIDTH, longest + ICON_WIDTH)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.clicked.connect(self._on_clicked)
        self.view.activated.connect(self._on_clicked)
        self.counts = Note()
        put(QVBoxLayout(self), self.view, self.counts)

    def show_slices(self, slices: Sequence[SliceInfo]) -> None:
        """Show these slices in place of those before."""
        self.model.show(slices)
        fit_rows(self.view, min(max(len(slices), MIN_ROWS_SHOWN), MAX_ROWS_SHOWN))
        counts: Counter[str] = Counter(entry.status for entry in slices)
        words = [
            f'<span style="color:{colour}">●</span> {counts[status]} {status}'
            for status, colour in STATUS_COLOURS.items()
            if counts[status]
        ]
        self.counts.say(" &nbsp;".join(words))

    def slice_at(self, index: int | None) -> SliceInfo | None:
        """What is shown of a slice."""
        return next((entry for entry in self.model.slices if entry.index == index), None)

    def show_current(self, current: SliceInfo | None) -> None:
        """Select the slice in view, and scroll to it."""
        if current is None:
            self.view.clearSelection()
            return
        place = self._sorted.mapFromSource(self.model.index(self.model.slices.index(current), 0))
        self.view.selectRow(place.row())
        self.view.scrollTo(place)

    def _on_clicked(self, place: QModelIndex) -> None:
        source = self._sorted.mapToSource(place)
        self.picked.emit(self.model.slices[source.row()].index)


def disc(colour: str) -> QPixmap:
    """Disc of a colour, for a status."""
    pixmap = QPixmap(10, 10)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawEllipse(1, 1, 8, 8)
    painter.end()
    return pixmap


class TemplateList(QWidget):
    """One line for each template; the buttons tell what a person wants."""

    adding = Signal()
    removing = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.list = QListWidget()
        let_keys_pass(self.list)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setFixedHeight(72)
        self.list.setToolTip("Image and labels pairs that the model learns from.")
        self.add = ActionButton(
            "Add template",
            "Learn from the chosen image and labels.\n"
            "Several pairs, also of other volumes, can be added.",
        )
        self.remove = ActionButton("Remove", "Take the selected template out; its layers stay.")
        self.empty = Note("No templates yet.")
        put(QVBoxLayout(self), row(self.add, self.remove), self.empty, self.list)
        self.add.clicked.connect(self.adding)
        self.remove.clicked.connect(self._on_remove)
        self.list.itemSelectionChanged.connect(self._on_selection)
        self.show_templates([])

    def show_templates(self, templates: Sequence[tuple[Any, str, str]]) -> None:
        """Show templates as (template, line, tooltip); what was selected stays selected."""
        before = self._selected()
        self.list.clear()
        for template, text, tip in templates:
            item = QListWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, template)
            item.setToolTip(tip)
            self.list.addItem(item)
            if template is before:
                self.list.setCurrentItem(item)
        self.empty.setVisible(not templates)
        self.list.setVisible(bool(templates))
        self._on_selection()

    def _selected(self) -> Any:
        items = self.list.selectedItems()
        return items[0].data(Qt.ItemDataRole.UserRole) if items else None

    def _on_selection(self) -> None:
        if not self.list.count():
            self.remove.block("there are no templates")
        else:
            self.remove.block("" if self.list.selectedItems() else "select a template in the list")

    def _on_remove(self) -> None:
        template = self._selected()
        if template is not None:
            self.removing.emit(template)
