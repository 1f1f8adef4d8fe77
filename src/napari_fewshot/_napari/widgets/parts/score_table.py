"""Table of held-out scores with a bar for each label."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QModelIndex, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from .forms import MARGIN, note
from .score_rows import GOOD, LabelScore, score_rows, verdict

__all__ = ["ScoreTable"]

TRUST_COLOURS = {"good": "#2e9e5b", "check": "#e0a030", "weak": "#d05050", "unknown": "#808890"}
COLUMNS = ("Label", "Held-out Dice", "What to do")
MOST_ROWS_SHOWN = 9
ROW_HEIGHT = 20
DICE_ROLE = Qt.ItemDataRole.UserRole


class _Bars(QStyledItemDelegate):
    """Paints a Dice as a bar from 0 to 1, with its number and a mark at what is good."""

    def paint(self, painter: QPainter, option: Any, index: QModelIndex) -> None:
        dice, trust = index.data(DICE_ROLE)
        area = QRectF(option.rect).adjusted(3, 4, -34, -4)
        text = option.palette.color(option.palette.ColorRole.Text)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        groove = QColor(text)
        groove.setAlpha(40)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(groove)
        painter.drawRoundedRect(area, 2, 2)
        if not math.isnan(dice):
            bar = QRectF(area)
            bar.setWidth(area.width() * min(max(dice, 0.0), 1.0))
            painter.setBrush(QColor(TRUST_COLOURS[trust]))
            painter.drawRoundedRect(bar, 2, 2)
        x = area.left() + GOOD * area.width()
        faint = QColor(text)
        faint.setAlpha(120)
        painter.setPen(QPen(faint, 1))
        painter.drawLine(int(x), int(area.top()) - 2, int(x), int(area.bottom()) + 2)
        painter.setPen(text)
        number = QRectF(option.rect).adjusted(option.rect.width() - 32, 0, -3, 0)
        words = "?" if math.isnan(dice) else f"{dice:.2f}"
        painter.drawText(
            number, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), words
        )
        painter.restore()


class ScoreTable(QWidget):
    """Held-out Dice per label: a table whose second column is a bar plot, and a verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[LabelScore] = []
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.setItemDelegateForColumn(1, _Bars(self.table))
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setShowGrid(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(50)
        self.verdict = note()
        self.verdict.setToolTip(
            "Dice on template slices that took no part in the training. It tends to be\n"
            "optimistic: slices that people paint are easy, and lie near each other."
        )
        self.table.setToolTip(self.verdict.toolTip())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(MARGIN)
        layout.addWidget(self.verdict)
        layout.addWidget(self.table)
        self.clear("Not scored yet: train first.")

    def clear(self, why: str) -> None:
        """Show no score, and why there is none."""
        self.rows = []
        self.table.setRowCount(0)
        self.table.setVisible(False)
        self.verdict.setText(why)
        self.verdict.setVisible(True)

    def show_scores(
        self,
        dice: Mapping[int, float],
        names: Mapping[int, str],
        colours: Mapping[int, QColor] | None = None,
    ) -> None:
        """Show the score of each label, those that need paint first.

        Parameters
        ----------
        dice : mapping of int to float
            0 to 1, nan where unknown.
        names : mapping of int to str
            Names of the labels; one without is called by its value.
        colours : mapping of int to QColor, optional
            Colours of the labels in the viewer.
        """
        self.rows = score_rows(dice, names)
        self.table.setRowCount(len(self.rows))
        for number, entry in enumerate(self.rows):
            name = QTableWidgetItem(entry.name)
            if colours and entry.value in colours:
                name.setData(Qt.ItemDataRole.DecorationRole, colours[entry.value])
            bar = QTableWidgetItem("" if math.isnan(entry.dice) else f"{entry.dice:.2f}")
            bar.setData(DICE_ROLE, (entry.dice, entry.trust))
            for place, item in enumerate((name, bar, QTableWidgetItem(entry.advice))):
                item.setToolTip(_tip(entry))
                self.table.setItem(number, place, item)
        shown = min(len(self.rows), MOST_ROWS_SHOWN)
        header = self.table.horizontalHeader().sizeHint().height()
        self.table.setFixedHeight(header + shown * ROW_HEIGHT + 6)
        self.table.setVisible(bool(self.rows))
        self.verdict.setText(verdict(self.rows))


def _tip(entry: LabelScore) -> str:
    if math.isnan(entry.dice):
        return f"{entry.name} is painted on one slice only: paint it on a second one to know."
    return f"{entry.name} (label {entry.value}): Dice {entry.dice:.3f} on held-out slices."
