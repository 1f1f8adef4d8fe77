"""Slices for people to look at: turned, cut, with labels over them and a legend below."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..geometry import Frame
from ..types import Array, Volume

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "DARK",
    "PREDICTED",
    "TRUE",
    "Paper",
    "View",
    "as_stack",
    "font",
    "grey_range",
    "judge",
    "label_colours",
    "lay_out",
    "mark",
    "name_panel",
    "overlay",
    "with_legend",
]

Colour = tuple[int, int, int]

TRUE, PREDICTED = (255, 255, 255), (255, 140, 0)
"""Colours of landmarks, and of outlines."""
_RIGHT, _WRONG, _MISSED = (0, 190, 120), (240, 60, 20), (255, 220, 60)


@dataclass(frozen=True)
class Paper:
    """Colours of a sheet: its ground, words, lesser words, and what was painted."""

    ground: Colour = (255, 255, 255)
    ink: Colour = (0, 0, 0)
    soft: Colour = (80, 80, 80)
    accent: Colour = (176, 108, 0)


WHITE, DARK = Paper(), Paper((18, 20, 24), (236, 238, 242), (150, 156, 166), (255, 196, 61))

# The eight-colour set of Okabe and Ito without black, then the light set of Paul Tol: both can
# be told apart with the common kinds of colour blindness.
_PALETTE = (
    "E69F00 56B4E9 009E73 F0E442 0072B2 D55E00 CC79A7 BBCC33 FFAABB 99DDFF 44BB99 EE8866 AAAA00"
)
_MARGIN = 3
_LINE, _SWATCH, _SPACE = 24, 14, 8
_TOP, _GAP, _WORD_LINE = 46, 6, 17


def label_colours(labels: Sequence[int]) -> dict[int, Colour]:
    """Colours (0..255 RGB) of labels above 0, in their order: distinct, the same in every call."""
    colours: list[Colour] = [tuple(bytes.fromhex(c)) for c in _PALETTE.split()]  # type: ignore[misc]
    for n in range(len(colours), len(labels)):
        # Steps of the golden angle never repeat; brightness alternates between three levels.
        hue = n * 0.618034 % 1
        r, g, b = colorsys.hsv_to_rgb(hue, 0.55 + 0.3 * (n % 2), (0.95, 0.75, 0.6)[n % 3])
        colours.append((round(255 * r), round(255 * g), round(255 * b)))
    return dict(zip(labels, colours, strict=False))


def grey_range(image: Volume) -> tuple[float, float]:
    """Grey values shown as black and white: a soft-tissue window for CT, else percentiles."""
    values = np.asarray(image.data, dtype=np.float32)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, (0.5, 99.7)))
    # Air far below zero is found in Hounsfield units only.
    if low <= -500 and np.median(values) < 100 and values.min() >= -9000:
        return -160.0, 240.0
    return low, high if high > low else low + 1.0


@dataclass(frozen=True)
class View:
    """How slices along one axis are turned, cut and enlarged for display.

    Radiological: superior (else anterior) is up, the right of the patient (else anterior) is on
    the left. Arrays without an affine are shown as stored. ``axis`` and ``shape`` are those of
    the array; ``cut`` are its shown rows and columns, ``size`` their height and width on screen.
    """

    frame: Frame
    axis: int
    shape: tuple[int, ...]
    cut: tuple[slice, slice]
    size: tuple[int, int]

    @classmethod
    def of(cls, image: Volume, axis: int, slices: Sequence[int], side: int) -> View:
        """View on the body that fills panels whose longer side has ``side`` screen pixels."""
        frame = Frame.of(image.affine, 3)
        whole = cls(frame, axis, image.shape, (slice(None), slice(None)), (0, 0))
        grey = np.max([np.nan_to_num(_grey(whole.take(image.data, n))) for n in slices], axis=0)
        cut = _body(grey)
        steps = np.delete(frame.canonical_spacing(image.spacing), whole._stacked)
        extent = np.array([part.stop - part.start for part in cut]) * steps
        height, width = np.maximum(1, np.round(side * extent / extent.max())).astype(int).tolist()
        return replace(whole, cut=cut, size=(height, width))

    @property
    def _stacked(self) -> int:
        """Canonical axis that the slices lie along."""
        return self.frame.canonical_axis(self.axis)

    def take(self, data: Array, position: int) -> Array:
        """One slice as it is shown; a last axis of channels is kept."""
        one = np.take(data, [position], axis=self.axis)
        plane = self.frame.to_canonical(one, one.ndim > 3).squeeze(self._stacked)
        # Canonical axes grow to S, A and R; on the screen these lie at the top and on the left.
        plane = plane[::-1, ::-1] if self.frame.oriented else plane
        return np.asarray(plane[self.cut])

    def locate(self, position: Sequence[float]) -> tuple[float, float]:
        """Screen (x, y) within the panel of an array position (z, y, x)."""
        point = self.frame.points_to_canonical(np.array([position]), self.shape)[0]
        row, column = np.delete(point, self._stacked)
        if self.frame.oriented:
            rows, columns = np.delete(self.frame.canonical_shape(self.shape), self._stacked)
            row, column = rows - 1 - row, columns - 1 - column
        (y, x), (height, width) = self.cut, self.size
        return (
            float((column - x.start + 0.5) / (x.stop - x.start) * width),
            float((row - y.start + 0.5) / (y.stop - y.start) * height),
        )


def _grey(plane: Array) -> Array:
    plane = np.asarray(plane, dtype=np.float32)
    return plane.mean(axis=-1) if plane.ndim == 3 else plane


def _body(grey: Array) -> tuple[slice, slice]:
    """Rows and columns of what is brighter than air, with a margin; all where nothing is."""
    from scipy.ndimage import binary_opening, find_objects
    from skimage.filters import threshold_otsu

    low, high = np.percentile(grey, (1, 99))
    clipped = np.clip(grey, low, high)
    inside = binary_opening(clipped > 0.6 * (threshold_otsu(clipped) - low) + low, iterations=2)
    for box in find_objects(inside.astype(np.uint8)):
        rows, columns = (
            slice(max(0, part.start - _MARGIN), min(length, part.stop + _MARGIN))
            for part, length in zip(box, grey.shape, strict=True)
        )
        return rows, columns
    return slice(0, grey.shape[0]), slice(0, grey.shape[1])


def overlay(
    plane: Array,
    labels: Array | None,
    limits: tuple[float, float],
    colours: dict[int, Colour],
    size: tuple[int, int],
) -> Image.Image:
    """Draw a slice with translucent labels and their outlines.

    ``plane`` and ``labels`` are as returned by :meth:`View.take`; ``uint8`` of three channels is
    shown in colour. ``limits`` are the grey values of black and white, ``size`` is the height and
    width in screen pixels. Labels without a colour are not drawn.
    """
    from PIL import Image
    from scipy.ndimage import maximum_filter, minimum_filter

    fine = (size[1] * 2, size[0] * 2)  # drawn at double size, then reduced: smooth edges
    if plane.ndim == 3 and plane.shape[-1] >= 3 and plane.dtype == np.uint8:
        base = Image.fromarray(np.ascontiguousarray(plane[..., :3]))
    else:
        grey = np.interp(np.nan_to_num(_grey(plane)), limits, (0, 255))
        base = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    canvas = np.array(base.resize(fine, Image.Resampling.BICUBIC), dtype=np.float32)
    if labels is not None:
        present = [label for label in colours if np.any(labels == label)]
        # Each mask is interpolated by itself, so that outlines are smooth.
        masks = [~np.isin(labels, present), *(np.equal(labels, label) for label in present)]
        pictures = [Image.fromarray(mask.astype(np.float32)) for mask in masks]
        fractions = [picture.resize(fine, Image.Resampling.BILINEAR) for picture in pictures]
        number = np.argmax(np.stack([np.asarray(one) for one in fractions]), axis=0)
        edge = maximum_filter(number, 5) != minimum_filter(number, 5)
        alpha = np.where(edge, 0.92, 0.34) * (number > 0)
        paint = np.array([(0, 0, 0), *(colours[label] for label in present)])[number]
        canvas += alpha[..., None] * (paint - canvas)
    picture = Image.fromarray(canvas.astype(np.uint8))
    return picture.resize((size[1], size[0]), Image.Resampling.LANCZOS)


def mark(
    picture: Image.Image,
    at: tuple[float, float],
    colour: Colour,
    name: str = "",
    line_to: tuple[float, float] | None = None,
) -> None:
    """Draw a landmark at (x, y); its dark rim keeps it visible on bone."""
    from PIL import ImageDraw

    pen = ImageDraw.Draw(picture)
    if line_to is not None:
        pen.line((at, line_to), fill=colour, width=1)
    x, y = at
    pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour, outline="black")
    _write(pen, (x + 5, y - 10), name)


def font(size: int = 14) -> Any:
    """Font that comes with Pillow."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def with_legend(
    picture: Image.Image,
    entries: Sequence[tuple[str, Colour | None]],
    paper: Paper = WHITE,
) -> Image.Image:
    """Write entries, with their colours if they have one, below a picture."""
    from PIL import Image, ImageDraw

    places, x, line = [], _SPACE, 0
    for text, colour in entries:
        width = (_SWATCH + 6) * (colour is not None) + round(font().getlength(text)) + 2 * _SPACE
        if x > _SPACE and x + width > picture.width:
            x, line = _SPACE, line + 1
        places.append((x, picture.height + line * _LINE + _LINE // 2 + 2))
        x += width
    below = (line + 1) * _LINE + 4 if entries else 0
    sheet = Image.new("RGB", (picture.width, picture.height + below), paper.ground)
    sheet.paste(picture)
    pen = ImageDraw.Draw(sheet)
    for (x, y), (text, colour) in zip(places, entries, strict=True):
        if colour is not None:
            pen.rectangle((x, y - 7, x + _SWATCH, y + 7), fill=colour)
            x += _SWATCH + 6
        pen.text((x, y), text, fill=paper.ink, font=font(), anchor="lm")
    return sheet


def lay_out(
    panels: Sequence[Sequence[Image.Image | None]],
    rows: Sequence[str],
    heads: Sequence[tuple[str, bool]],
    paper: Paper = WHITE,
) -> Image.Image:
    """Lay panels out in rows with a title each, below heads; None is left free.

    A head is what the column shows, and whether that was painted.
    """
    from PIL import Image, ImageDraw

    columns = list(zip(*panels, strict=True))
    widths = [max((p.width for p in column if p), default=1) for column in columns]
    heights = [max((p.height for p in row if p), default=1) for row in panels]
    words = [
        _wrapped(f"{text}  painted" if painted else text, width)
        for (text, painted), width in zip(heads, widths, strict=True)
    ]
    top = _TOP + _WORD_LINE * (max(map(len, words)) - 1)
    gutter = 16 + round(max(font().getlength(title) for title in rows))
    size = gutter + sum(widths) + _GAP * len(widths), top + sum(heights) + _GAP * len(heights)
    sheet = Image.new("RGB", size, paper.ground)
    pen = ImageDraw.Draw(sheet)
    lefts = [gutter + sum(widths[:n]) + _GAP * n for n in range(len(widths))]
    for left, width, lines, (_, painted) in zip(lefts, widths, words, heads, strict=True):
        colour, at = paper.accent if painted else paper.soft, (left + width / 2, top / 2 - 3)
        pen.multiline_text(at, "\n".join(lines), colour, font(), "mm", align="center")
        if painted:
            pen.rectangle((left, top - 10, left + width - 1, top - 6), fill=paper.accent)
    y = top
    for title, row, height in zip(rows, panels, heights, strict=True):
        pen.text((8, y + height / 2), title, paper.ink, font(), "lm")
        for panel, left in zip(row, lefts, strict=True):
            if panel is not None:
                sheet.paste(panel, (left, y))
        y += height + _GAP
    return sheet


def _wrapped(text: str, width: float) -> list[str]:
    """Lines of at most a width in screen pixels; a word that is longer stays whole."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font().getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def judge(panel: Image.Image, false: int, missed: int, *, empty: bool) -> None:
    """Mark a slice in its corner, with how many labels are meant where these are several.

    A red arrow: labels that are ``false`` there; an open one: labels that were ``missed``; green:
    the slice is ``empty`` by the truth, and nothing was found.
    """
    from PIL import ImageDraw

    pen, right = ImageDraw.Draw(panel), panel.width - 4
    arrows = [(false, _WRONG), (missed, None), (int(empty and not false), _RIGHT)]
    for count, inside in arrows:
        if not count:
            continue
        corners = [(right - 16, 4), (right, 4), (right - 8, 18)]
        if inside:
            pen.polygon(corners, fill=inside, outline="black")
        else:
            pen.polygon(corners, outline=_MISSED, width=2)
        right -= 20
        if count > 1:
            _write(pen, (right, 11), str(count), "rm")
            right -= 12


def name_panel(panel: Image.Image, text: str) -> None:
    """Write a word or number into the lower left corner of a slice."""
    from PIL import ImageDraw

    _write(ImageDraw.Draw(panel), (4, panel.height - 11), text)


def _write(pen: Any, at: tuple[float, float], text: str, anchor: str = "lm") -> None:
    """Write on a picture; the dark rim keeps it visible on bone."""
    pen.text(at, text, TRUE, font(13), anchor, stroke_width=2, stroke_fill="black")


def as_stack(image: Volume) -> Volume:
    """One slice of a 2D image as a volume, for the view."""
    if image.ndim == 3:
        return image
    return replace(image, data=image.data[None], spacing=(1.0, *image.spacing), affine=None)
