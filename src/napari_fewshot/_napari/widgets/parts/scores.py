"""Held-out score of each label, as a table of bars, and what it says."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QColor, QPainter, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...wording import shortened
from .bars import paint_bar
from .forms import Note, put
from .tables import ICON_WIDTH, fit_rows, make_plain

if TYPE_CHECKING:
    from ....segmenter import HeldOutScore

__all__ = ["LabelScore", "ScoreTable", "score_rows", "verdict"]

Trust = Literal["good", "check", "weak", "unknown"]

GOOD = 0.8
"""Dice from which corrections are mostly small."""
WEAK = 0.6
"""Dice below which more paint helps more than corrections."""
TRUST: dict[Trust, tuple[str, str]] = {
    "good": ("#2e9e5b", "trust"),
    "check": ("#e0a030", "check"),
    "weak": ("#d05050", "paint more"),
    "unknown": ("#808890", "1 more slice"),
}
"""Colour of the bar, and what to do about the label."""
COLUMNS = ("Label", "Agreement", "What to do")
MAX_ROWS_SHOWN = 9
BAR_WIDTH, ADVICE_WIDTH, LEAST_BAR_WIDTH = 100, 78, 78
_LONGEST = 26
"""Characters of a name within a sentence."""
SCORE_ROLE = Qt.ItemDataRole.UserRole


@dataclass(frozen=True)
class LabelScore:
    """Held-out Dice of one label: 0 to 1, nan where it is not known.

    ``doubtful``: two slices have it, and one was predicted from the other.
    """

    value: int
    name: str
    dice: float
    doubtful: bool = False

    @property
    def trust(self) -> Trust:
        """What the Dice is worth."""
        if math.isnan(self.dice) or (self.doubtful and self.dice < GOOD):
            return "unknown"
        if self.dice >= GOOD:
            return "good"
        return "check" if self.dice >= WEAK else "weak"

    @property
    def about(self) -> str:
        """One sentence on it."""
        if self.doubtful and self.trust == "unknown":
            dice = "" if math.isnan(self.dice) else f" (Dice {self.dice:.3f})"
            return (
                f"{self.name}: not known yet. It is painted on two slices, and one tells little of "
                f"the other{dice}: paint it on one more slice."
            )
        if self.trust == "unknown":
            return (
                f"{self.name}: not known yet. Without the slices that were left out, none was left "
                "to learn it from: paint it on one more slice."
            )
        return f"{self.name} (label {self.value}): Dice {self.dice:.3f} on held-out slices."


def score_rows(
    dice: Mapping[int, float], names: Mapping[int, str], doubtful: Collection[int] = ()
) -> list[LabelScore]:
    """Scores of labels, those that need paint first."""
    rows = [LabelScore(v, names.get(v) or f"label {v}", d, v in doubtful) for v, d in dice.items()]
    return sorted(rows, key=lambda r: (-1.0 if math.isnan(r.dice) else r.dice, r.value))


def verdict(rows: list[LabelScore]) -> str:
    """One or two sentences: what to trust, and which label needs paint most."""
    trusted = [row.name for row in rows if row.trust == "good"]
    if rows and len(trusted) == len(rows):
        return "All labels look good on slices that were left out."
    needy = [row.name for row in rows if row.trust == "weak"]
    sentences = [f"Needs more paint: {_some(needy)}."] if needy else []
    unknown = [row.name for row in rows if row.trust == "unknown"]
    if unknown:
        sentences.append(f"Not known yet, paint on one more slice: {_some(unknown)}.")
    if trusted:
        sentences.append(f"Can be trusted: {_some(trusted)}.")
    return " ".join(sentences) or "Check all labels: none is sure yet."


def _some(names: list[str], shown: int = 4) -> str:
    more = len(names) - shown
    short = [shortened(name, _LONGEST) for name in names[:shown]]
    return ", ".join(short) + (f" and {more} more" if more > 0 else "")


class _Bars(QStyledItemDelegate):
    """Paints a Dice as a bar from 0 to 1, with its number and a mark at what is good."""

    def paint(self, painter: QPainter, option: Any, index: QModelIndex) -> None:
        dice, trust = index.data(SCORE_ROLE)
        known = not math.isnan(dice)
        text = f"{dice:.2f}" if known else "?"
        paint_bar(painter, option, dice if known else None, TRUST[trust][0], text, GOOD)


class ScoreTable(QWidget):
    """Held-out Dice per label: a table whose second column is a bar plot, and a verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[LabelScore] = []
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.setItemDelegateForColumn(1, _Bars(self.table))
        make_plain(self.table, min_width=50)
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        header = self.table.horizontalHeader()
        for column, width in enumerate((BAR_WIDTH, ADVICE_WIDTH), 1):  # the names have the rest
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.verdict = Note()
        for part in (self.verdict, self.table):
            part.setToolTip(
                "Agreement (Dice) with painted slices that took no part in the training. It tends\n"
                "to be optimistic: slices that people paint are easy, and lie near each other."
            )
        put(QVBoxLayout(self), self.verdict, self.table)
        self.clear("Not scored yet: train first.")

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """In a narrow dock names matter more: what to do is in the sentence above, too."""
        super().resizeEvent(event)
        self._make_room(event.size().width())

    def _make_room(self, width: int) -> None:
        """Leave out what to do, then a part of the bars, where names have no room for it."""
        names = [row.name for row in self.rows]
        metrics = self.table.fontMetrics()
        longest = max((metrics.horizontalAdvance(name) for name in names), default=0) + ICON_WIDTH
        self.table.setColumnHidden(2, width < longest + BAR_WIDTH + ADVICE_WIDTH)
        bars = min(max(width - longest, LEAST_BAR_WIDTH), BAR_WIDTH)
        self.table.horizontalHeader().resizeSection(1, bars)

    def clear(self, why: str) -> None:
        """Show no score, and why there is none."""
        self.show_scores({}, {}, {})
        self.verdict.say(why)

    def show_score(
        self,
        score: HeldOutScore,
        names: Mapping[int, str],
        colours: Mapping[int, tuple[float, ...]],
    ) -> None:
        """Show a score as :meth:`show_scores`; of first figures, the labels that they tell of."""
        done = score.folds - score.left
        known = {v: dice for v, dice in score.dice.items() if not (score.left and math.isnan(dice))}
        self.show_scores(known, names, colours, score.doubtful)
        if score.left:
            self.verdict.say(f"First figures, of {done} of {score.folds} parts; the rest follows.")

    def show_scores(
        self,
        dice: Mapping[int, float],
        names: Mapping[int, str],
        colours: Mapping[int, tuple[float, ...]],
        doubtful: Collection[int] = (),
    ) -> None:
        """Show the Dice, name and colour (RGBA in 0..1) of labels, those that need paint first."""
        self.rows = score_rows(dice, names, doubtful)
        self.table.setRowCount(len(self.rows))
        for number, score in enumerate(self.rows):
            name = QTableWidgetItem(score.name)
            if score.value in colours:
                colour = QColor.fromRgbF(*colours[score.value])
                name.setData(Qt.ItemDataRole.DecorationRole, colour)
            bar = QTableWidgetItem("" if math.isnan(score.dice) else f"{score.dice:.2f}")
            bar.setData(SCORE_ROLE, (score.dice, score.trust))
            advice = QTableWidgetItem(TRUST[score.trust][1])
            for place, item in enumerate((name, bar, advice)):
                item.setToolTip(score.about)
                self.table.setItem(number, place, item)
        fit_rows(self.table, min(len(self.rows), MAX_ROWS_SHOWN))
        self.table.setVisible(bool(self.rows))
        self._make_room(self.width())
        self.verdict.say(verdict(self.rows))
