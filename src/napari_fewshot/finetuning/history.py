"""What happened step by step: a table, and a picture of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..io.outputs import replacing
from ..types import Array

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

__all__ = ["History", "write_grid"]

_SIZE = (900, 260)
_MARGIN = (70, 30)  # left and right, above and below
_INK = (40, 40, 40)
_PALE = (225, 225, 225)
_LINES = {"loss": (31, 119, 180), "score": (214, 39, 40), "rank": (44, 160, 44)}
_SMOOTHED = 0.9


@dataclass
class History:
    """Losses of every step, and scores of some, as columns by name; None where there is none."""

    rows: list[dict[str, float]] = field(default_factory=list)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add what is known of a step; of one that is there already, more."""
        if self.rows and self.rows[-1]["step"] == step:
            self.rows[-1].update(values)
        else:
            self.rows.append({"step": step, **values})

    def column(self, name: str) -> list[tuple[int, float]]:
        """Steps and values of a column, where it has some."""
        return [(int(row["step"]), row[name]) for row in self.rows if name in row]

    def to_csv(self) -> str:
        """The table as text."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in self.rows)
        return text.getvalue()

    def write_csv(self, path: Path) -> None:
        """Write the table."""
        with replacing(path) as temporary:
            temporary.write_text(self.to_csv(), encoding="utf-8")

    def write_png(self, path: Path) -> None:
        """Draw loss, score and rank over the steps, one below the other."""
        from PIL import Image

        with replacing(path) as temporary:
            Image.fromarray(self.drawn()).save(temporary, "PNG")

    def drawn(self, width: int = _SIZE[0], height: int = _SIZE[1]) -> Array:
        """The same as an array, shape (H, W, 3), uint8; ``height`` is that of one curve."""
        from PIL import Image
        from PIL.ImageDraw import Draw

        panels = [name for name in _LINES if self.column(name)]
        picture = Image.new("RGB", (width, height * max(1, len(panels))), "white")
        draw = Draw(picture)
        last = max([int(row["step"]) for row in self.rows], default=0)
        for number, name in enumerate(panels):
            points = self.column(name)
            box = (_MARGIN[0], height * number + _MARGIN[1],
                   width - _MARGIN[0] // 2, height * (number + 1) - _MARGIN[1])  # fmt: skip
            _panel(draw, box, name, points, last)
        return np.asarray(picture)


def _panel(
    draw: ImageDraw, box: tuple[int, int, int, int], name: str, points: list[tuple[int, float]],
    last: int,
) -> None:  # fmt: skip
    """Draw one curve in its frame: pale as it is, and smoothed where there are many values."""
    left, top, right, bottom = box
    values = np.array([value for _, value in points])
    low, high = float(values.min()), float(values.max())
    room = (high - low) or max(abs(high), 1e-6)
    low, high = low - 0.05 * room, high + 0.05 * room

    def place(step: float, value: float) -> tuple[float, float]:
        across = left + (right - left) * step / max(1, last)
        return across, bottom - (bottom - top) * (value - low) / (high - low)

    for share in (0, 0.5, 1):
        at = bottom - (bottom - top) * share
        draw.line([(left, at), (right, at)], fill=_PALE)
        draw.text((6, at - 6), f"{low + share * (high - low):.4g}", fill=_INK)
        draw.text((left + (right - left) * share - 8, bottom + 6), f"{round(last * share)}",
                  fill=_INK)  # fmt: skip
    draw.text((left, top - 18), name, fill=_LINES[name])
    line = [place(step, value) for step, value in points]
    many = len(points) > 50
    if len(line) > 1:
        draw.line(line, fill=_PALE if many else _LINES[name], width=1 if many else 2)
    if many:
        mean = values[0]
        smooth = [mean := _SMOOTHED * mean + (1 - _SMOOTHED) * value for value in values]
        line = [place(step, value) for (step, _), value in zip(points, smooth, strict=True)]
        draw.line(line, fill=_LINES[name], width=2)
    else:
        for x, y in line:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=_LINES[name])


def write_grid(path: Path, pictures: Array | Sequence[Array], gap: int = 2) -> None:
    """Write pictures, shape (rows, columns, H, W, 3), uint8, as one PNG."""
    from PIL import Image

    grid = np.asarray(pictures)
    padded = np.pad(grid, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    rows, columns, height, width = padded.shape[:4]
    whole = padded.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    with replacing(path) as temporary:
        Image.fromarray(whole).save(temporary, "PNG")
