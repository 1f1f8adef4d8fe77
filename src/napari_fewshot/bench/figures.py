"""Contact sheets: slices of a volume beside truth and prediction, as one PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..io.outputs import replacing
from ..types import Array, Landmark, Volume
from .drawing import View, grey_range, label_colours, overlay

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

__all__ = ["SheetRow", "contact_sheet", "even_slices"]

_PAPER, _INK, _SOFT, _ACCENT = (18, 20, 24), (236, 238, 242), (150, 156, 166), (255, 196, 61)
_SIDE, _GAP, _GUTTER, _TOP, _MARGIN = 236, 6, 34, 46, 18
_ENTRY, _MARK = (250, 26), (330, 26)  # width and height of an entry of the legends


@dataclass(frozen=True, eq=False)
class SheetRow:
    """One row of overlays.

    Parameters
    ----------
    title : str
    labels : array of int, of the spatial shape of the image
    landmarks : tuple of Landmark
        Of the first row with landmarks: drawn as + in all rows, as the truth. Of later rows:
        drawn as ×; the legend gives their distance to the truth of equal name in mm.
    """

    title: str
    labels: Array
    landmarks: tuple[Landmark, ...] = ()


def even_slices(labels: Array, n: int = 8, axis: int = 0) -> list[int]:
    """At most ``n`` slices along ``axis``, evenly spaced over those that hold a label.

    Parameters
    ----------
    labels : array of int, shape (Z, Y, X)
        Where it is empty, the whole axis counts.
    n : int
        Wanted number; fewer where fewer hold a label.
    axis : int
        Axis of the array.
    """
    used = np.flatnonzero(labels.any(axis=tuple(a for a in range(labels.ndim) if a != axis)))
    first, last = (int(used[0]), int(used[-1])) if used.size else (0, labels.shape[axis] - 1)
    width = (last - first + 1) / max(1, n)
    return sorted({int(first + (part + 0.5) * width) for part in range(max(1, n))})


def contact_sheet(
    image: Volume,
    rows: Sequence[SheetRow],
    path: str | Path,
    *,
    names: Mapping[int, str] | None = None,
    slices: Sequence[int] | None = None,
    axis: int = 0,
    scores: Mapping[int, float] | None = None,
    template_slices: Sequence[int] = (),
) -> Path:
    """Draw slices as columns, and the image and each row of labels below one another.

    Pixels keep their aspect in mm; with an affine, superior (or anterior) is up and the right of
    the patient is on the left.

    Parameters
    ----------
    image : Volume
        2D or 3D; colour is kept.
    rows : sequence of SheetRow
        For example truth and prediction.
    path : str or Path
        The PNG; it appears only when it is whole.
    names : mapping of int to str, optional
        Names of the labels; by default those of ``image``, else the values.
    slices : sequence of int, optional
        Positions along ``axis``; by default eight over the labels of the first row.
    axis : int
        Axis of the array; of no meaning in 2D.
    scores : mapping of int to float, optional
        Dice of each label, for the legend; NaN is shown as "none".
    template_slices : sequence of int
        Slices that were painted, for marks above their columns.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If a row does not match the image, or a slice or the axis lies outside of it.
    """
    path = Path(path)
    image, rows, axis = _checked(image, rows, axis)
    first = rows[0].labels if rows else np.zeros(image.shape, dtype=np.uint8)
    chosen = _chosen(first, slices, axis)
    present = {int(v) for row in rows for v in np.unique(row.labels)} - {0}
    names = dict(names if names is not None else image.names)
    labels = sorted(present | {value for value in names if value > 0})
    names = {value: names.get(value, f"label {value}") for value in labels}
    sheet = _Sheet(image, View.of(image, axis, chosen, _SIDE), chosen, label_colours(labels))
    picture = sheet.draw(rows, names, scores, {int(n) for n in template_slices})
    with replacing(path) as part:
        picture.save(part, format="PNG")
    return path


def _checked(
    image: Volume, rows: Sequence[SheetRow], axis: int
) -> tuple[Volume, list[SheetRow], int]:
    for row in rows:
        if row.labels.shape != image.shape:
            raise InputError(
                f"labels of {row.title!r}", f"have shape {image.shape}", f"shape {row.labels.shape}"
            )
    if image.ndim == 2:
        flat = Volume(
            image.data[None], (1.0, *image.spacing), None, image.has_channels, image.names
        )
        return flat, [SheetRow(r.title, r.labels[None], r.landmarks) for r in rows], 0
    if axis not in (0, 1, 2):
        raise InputError("axis", "be 0, 1 or 2", axis)
    return image, list(rows), axis


def _chosen(labels: Array, slices: Sequence[int] | None, axis: int) -> list[int]:
    if slices is None:
        return even_slices(labels, 8, axis)
    chosen = sorted({int(n) for n in slices})
    if not chosen or chosen[0] < 0 or chosen[-1] >= labels.shape[axis]:
        raise InputError("slices", f"be at least one of 0..{labels.shape[axis] - 1}", chosen)
    return chosen


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


class _Sheet:
    """The layout of one contact sheet."""

    def __init__(
        self, image: Volume, view: View, slices: list[int], colours: dict[int, tuple[int, int, int]]
    ) -> None:
        self.image, self.view, self.slices, self.colours = image, view, slices, colours
        self.limits = grey_range(image)

    def draw(
        self,
        rows: list[SheetRow],
        names: Mapping[int, str],
        scores: Mapping[int, float] | None,
        templates: set[int],
    ) -> Image.Image:
        from PIL import Image, ImageDraw

        height, width = self.view.size
        truth = next((row.landmarks for row in rows if row.landmarks), ())
        total = max(
            _GUTTER + len(self.slices) * (width + _GAP) + _MARGIN, _GUTTER + 2 * _ENTRY[0] + _MARGIN
        )
        columns = max(1, (total - _GUTTER - _MARGIN) // _ENTRY[0])
        label_lines = -(-len(names) // columns)
        mark_columns = max(1, (total - _GUTTER - _MARGIN) // _MARK[0])
        mark_lines = -(-len(truth) // mark_columns)
        legend_top = _TOP + (len(rows) + 1) * (height + _GAP) + 14
        bottom = legend_top + label_lines * _ENTRY[1] + (mark_lines * _MARK[1] + 34) * bool(truth)
        sheet = Image.new("RGB", (total, bottom + _MARGIN), _PAPER)
        pen = ImageDraw.Draw(sheet)
        for n, position in enumerate(self.slices):
            left = _GUTTER + n * (width + _GAP)
            self._header(pen, left, position, position in templates)
            for line, row in enumerate([None, *rows]):
                top = _TOP + line * (height + _GAP)
                sheet.paste(self._panel(position, row, truth), (left, top))
        for line, title in enumerate(["image", *(row.title for row in rows)]):
            _sideways(sheet, title, _TOP + line * (height + _GAP), height)
        self._legend(pen, legend_top, columns, names, scores)
        if truth:
            top = legend_top + label_lines * _ENTRY[1] + 8
            self._landmark_legend(pen, top, mark_columns, rows, truth)
        return sheet

    def _header(self, pen: ImageDraw.ImageDraw, left: int, position: int, painted: bool) -> None:
        width = self.view.size[1]
        centre = left + width / 2
        colour = _ACCENT if painted else _SOFT
        text = f"slice {position}" + ("  painted" if painted else "")
        pen.text((centre, _TOP - 26), text, fill=colour, font=_font(15), anchor="mm")
        if painted:
            pen.rectangle((left, _TOP - 10, left + width - 1, _TOP - 6), fill=_ACCENT)

    def _panel(
        self, position: int, row: SheetRow | None, truth: tuple[Landmark, ...]
    ) -> Image.Image:
        from PIL import ImageDraw

        grey = self.view.take(self.image.data, position)
        labels = None if row is None else self.view.take(row.labels, position)
        picture = overlay(grey, labels, self.limits, self.colours, self.view.size)
        if row is None:
            return picture
        pen = ImageDraw.Draw(picture)
        numbers = {mark.name: n for n, mark in enumerate(truth, start=1)}
        for mark in truth:
            if self._column(mark) == position:
                _cross(pen, self.view.locate(mark.position), str(numbers[mark.name]))
        if row.landmarks is not truth:
            for mark in row.landmarks:
                if self._column(mark) == position:
                    tag = "" if mark.name in numbers else mark.name
                    _cross(pen, self.view.locate(mark.position), tag, slanted=True)
        return picture

    def _column(self, mark: Landmark) -> int:
        """Find the slice shown that is nearest to a landmark."""
        at = mark.position[self.view.axis]
        return min(self.slices, key=lambda position: abs(position - at))

    def _legend(
        self,
        pen: ImageDraw.ImageDraw,
        top: int,
        columns: int,
        names: Mapping[int, str],
        scores: Mapping[int, float] | None,
    ) -> None:
        for n, (label, name) in enumerate(names.items()):
            x, y = _GUTTER + n % columns * _ENTRY[0], top + n // columns * _ENTRY[1]
            colour = self.colours[label]
            pen.rounded_rectangle((x, y + 4, x + 16, y + 18), 3, fill=colour)
            pen.text((x + 24, y + 11), _short(name, 15), fill=_INK, font=_font(14), anchor="lm")
            if scores is None:
                continue
            score = scores.get(label, float("nan"))
            known = bool(np.isfinite(score))
            # A bar as long as the Dice, so that weak labels are seen before they are read.
            pen.rectangle((x + 146, y + 8, x + 196, y + 14), fill=(52, 56, 64))
            if known:
                pen.rectangle((x + 146, y + 8, x + 146 + 50 * min(1, score), y + 14), fill=colour)
            text = f"{score:.2f}" if known else "none"
            pen.text((x + 203, y + 11), text, fill=_INK, font=_font(14), anchor="lm")

    def _landmark_legend(
        self,
        pen: ImageDraw.ImageDraw,
        top: int,
        columns: int,
        rows: list[SheetRow],
        truth: tuple[Landmark, ...],
    ) -> None:
        text = "Landmarks, in the nearest slice shown:"
        pen.text((_GUTTER, top + 10), text, fill=_SOFT, font=_font(14), anchor="lm")
        # The marks are drawn, since the built-in font lacks the sign ×.
        for x, text, slanted in ((288, "truth", False), (358, "predicted, distance in mm", True)):
            _cross(pen, (_GUTTER + x, top + 10), "", slanted=slanted)
            pen.text((_GUTTER + x + 13, top + 10), text, fill=_SOFT, font=_font(14), anchor="lm")
        found = [row.landmarks for row in rows if row.landmarks and row.landmarks is not truth]
        for n, mark in enumerate(truth):
            x, y = _GUTTER + n % columns * _MARK[0], top + 26 + n // columns * _MARK[1]
            near = [self._distance(mark, m) for row in found for m in row if m.name == mark.name]
            missed = "  missed" if found else ""
            error = f"  {min(near):.1f}" if near else missed
            text = f"{n + 1}  {_short(mark.name, 34)}{error}"
            pen.text((x, y + 11), text, fill=_INK, font=_font(14), anchor="lm")

    def _distance(self, first: Landmark, second: Landmark) -> float:
        gap = (np.asarray(first.position) - second.position) * self.image.spacing
        return float(np.linalg.norm(gap))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _sideways(sheet: Image.Image, title: str, top: int, height: int) -> None:
    from PIL import Image, ImageDraw

    strip = Image.new("RGB", (height, _GUTTER), _PAPER)
    pen = ImageDraw.Draw(strip)
    text = _short(title, max(8, height // 8))
    pen.text((height / 2, _GUTTER / 2), text, fill=_INK, font=_font(16), anchor="mm")
    sheet.paste(strip.rotate(90, expand=True), (0, top))


def _cross(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], tag: str, *, slanted: bool = False
) -> None:
    x, y = at
    arm = 5.0 if slanted else 7.0
    first = ((x - arm, y - arm), (x + arm, y + arm)) if slanted else ((x - arm, y), (x + arm, y))
    second = ((x - arm, y + arm), (x + arm, y - arm)) if slanted else ((x, y - arm), (x, y + arm))
    # A dark rim keeps the cross visible on bone.
    for width, colour in ((5, (0, 0, 0)), (2, _ACCENT if slanted else (255, 255, 255))):
        for line in (first, second):
            pen.line(line, fill=colour, width=width)
    if tag:
        pen.text(
            (x + 8, y - 9), tag, fill=_INK, font=_font(13), anchor="lm",
            stroke_width=2, stroke_fill=(0, 0, 0),
        )  # fmt: skip
