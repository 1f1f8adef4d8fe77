"""The IoU of strategies of refinement as bars."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..io.outputs import replacing

if TYPE_CHECKING:
    from .refinement_strategies import StrategyComparison

__all__ = ["strategy_plot"]

_PAPER, _INK, _SOFT = (255, 255, 255), (30, 34, 42), (150, 156, 166)
_BETTER, _WORSE, _BEFORE, _DOT = (0, 114, 178), (213, 94, 0), (205, 209, 216), (30, 34, 42)
_WIDTH, _ROW, _NAMES, _MARGIN, _TOP = 900, 40, 230, 70, 64


def strategy_plot(comparison: StrategyComparison, path: Path) -> Path:
    """Draw a bar for the mean IoU of each strategy, a line where it was before, dots for labels.

    Parameters
    ----------
    comparison : StrategyComparison
        Scores of all strategies.
    path : Path
        The PNG; it appears only when it is whole.
    """
    from PIL import Image, ImageDraw, ImageFont

    def after(name: str) -> float:
        mean = comparison.mean(name, "iou_after")
        return 0.0 if math.isnan(mean) else mean

    names = sorted(comparison.slices, key=lambda name: -after(name))
    height = _TOP + _ROW * len(names) + 50
    picture = Image.new("RGB", (_WIDTH, height), _PAPER)
    pen = ImageDraw.Draw(picture)
    small, large = ImageFont.load_default(14), ImageFont.load_default(18)
    pen.text((20, 16), "Mean IoU per strategy of refinement", fill=_INK, font=large)
    legend = "line: before    blue: better    orange: worse    dots: labels"
    pen.text((20, 40), legend, fill=_SOFT, font=small)

    def place(iou: float) -> float:
        return _NAMES + iou * (_WIDTH - _NAMES - _MARGIN)

    bottom = _TOP + _ROW * len(names)
    for tenth in range(0, 11, 2):
        x = place(tenth / 10)
        pen.line(((x, _TOP), (x, bottom)), fill=(235, 237, 240))
        pen.text((x, bottom + 8), f"{tenth / 10:.1f}", fill=_SOFT, font=small, anchor="mt")
    for number, name in enumerate(names):
        top = _TOP + number * _ROW
        middle = top + _ROW / 2
        mean, before = after(name), comparison.mean(name, "iou_before")
        worse = mean < before
        pen.rectangle(
            (place(0), top + 8, place(mean), top + _ROW - 8), fill=_WORSE if worse else _BETTER
        )
        pen.text((_NAMES - 10, middle), name, fill=_INK, font=small, anchor="rm")
        for row in comparison.rows:
            if row.strategy == name and not math.isnan(row.iou_after):
                x = place(row.iou_after)
                pen.ellipse((x - 2, middle - 2, x + 2, middle + 2), fill=_DOT, outline=_BEFORE)
        if not math.isnan(before):
            line = ((place(before), top + 3), (place(before), top + _ROW - 3))
            pen.line(line, fill=_INK, width=2)
        text = f"{mean:.3f}"
        pen.text((_WIDTH - _MARGIN + 8, middle), text, fill=_INK, font=small, anchor="lm")
    with replacing(path) as part:
        picture.save(part, format="PNG")
    return path
