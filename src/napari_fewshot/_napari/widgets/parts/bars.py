"""Numbers from 0 to 1 as small bars in the cells of a table."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen

__all__ = ["paint_bar"]

NUMBER_WIDTH = 32


def paint_bar(
    painter: QPainter,
    option: Any,
    value: float | None,
    colour: str,
    text: str,
    mark: float | None = None,
) -> None:
    """Paint a value (None: none) as a bar with a text behind it; a line stands at ``mark``.

    Where there is no room for both, the text alone is painted.
    """
    area = QRectF(option.rect).adjusted(3, 4, -NUMBER_WIDTH - 2, -4)
    ink = option.palette.color(option.palette.ColorRole.Text)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if area.width() > 8:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(_faint(ink, 40))
        painter.drawRoundedRect(area, 2, 2)
        if value is not None:
            bar = QRectF(area)
            bar.setWidth(area.width() * min(max(value, 0.0), 1.0))
            painter.setBrush(QColor(colour))
            painter.drawRoundedRect(bar, 2, 2)
        if mark is not None:
            x = int(area.left() + mark * area.width())
            painter.setPen(QPen(_faint(ink, 120), 1))
            painter.drawLine(x, int(area.top()) - 2, x, int(area.bottom()) + 2)
    painter.setPen(ink)
    number = QRectF(option.rect).adjusted(option.rect.width() - NUMBER_WIDTH, 0, -3, 0)
    right = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    painter.drawText(number, right, text)
    painter.restore()


def _faint(colour: QColor, alpha: int) -> QColor:
    faint = QColor(colour)
    faint.setAlpha(alpha)
    return faint
