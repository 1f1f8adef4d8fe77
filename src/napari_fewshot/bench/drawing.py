"""Colours, orientation and overlays of slices for people to look at."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..geometry import Frame
from ..types import Array, Volume

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["View", "grey_range", "label_colours", "overlay"]

Colour = tuple[int, int, int]

# The eight-colour set of Okabe and Ito without black, then the light set of Paul Tol: both can
# be told apart with the common kinds of colour blindness.
_PALETTE = (
    "E69F00 56B4E9 009E73 F0E442 0072B2 D55E00 CC79A7 BBCC33 FFAABB 99DDFF 44BB99 EE8866 AAAA00"
)


def label_colours(labels: list[int]) -> dict[int, Colour]:
    """Choose a colour (0..255 RGB) for each label; distinct, and the same in every call.

    Parameters
    ----------
    labels : list of int
        Label values above 0, in the order in which colours are given.
    """
    fixed = [(int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in _PALETTE.split()]
    colours = {}
    for n, label in enumerate(labels):
        if n < len(fixed):
            colours[label] = fixed[n]
        else:
            # Steps of the golden angle never repeat; brightness alternates between three levels.
            hue = n * 0.618034 % 1
            r, g, b = colorsys.hsv_to_rgb(hue, 0.55 + 0.3 * (n % 2), (0.95, 0.75, 0.6)[n % 3])
            colours[label] = (round(255 * r), round(255 * g), round(255 * b))
    return colours


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
    the left. Arrays without an affine are shown as stored.

    Parameters
    ----------
    axis : int
        The axis of the array that the slices are taken along.
    swap : bool
        Whether rows and columns change places; before the flips.
    flips : tuple of bool
        Whether rows and columns are then reversed.
    step : tuple of float
        Size of a pixel in mm, (rows, columns) of the display.
    shape : tuple of int
        Pixels before the cut, (rows, columns) of the display.
    cut : tuple of int
        First row, last row + 1, first column, last column + 1 that are shown.
    size : tuple of int
        Height and width of the panel in screen pixels.
    """

    axis: int
    swap: bool
    flips: tuple[bool, bool]
    step: tuple[float, float]
    shape: tuple[int, int]
    cut: tuple[int, int, int, int]
    size: tuple[int, int]

    @classmethod
    def of(cls, image: Volume, axis: int, slices: list[int], side: int) -> View:
        """View on the body that fills panels whose longer side has ``side`` screen pixels."""
        planes = [a for a in range(3) if a != axis]
        swap, flips = _turn(image.affine, planes)
        if swap:
            planes.reverse()
        step = (image.spacing[planes[0]], image.spacing[planes[1]])
        shape = (image.shape[planes[0]], image.shape[planes[1]])
        whole = cls(axis, swap, flips, step, shape, (0, shape[0], 0, shape[1]), shape)
        grey = np.max([np.nan_to_num(_grey(whole.take(image.data, n))) for n in slices], axis=0)
        cut = _body(grey)
        height, width = (cut[1] - cut[0]) * step[0], (cut[3] - cut[2]) * step[1]
        scale = side / max(height, width)
        size = max(1, round(height * scale)), max(1, round(width * scale))
        return cls(axis, swap, flips, step, shape, cut, size)

    def take(self, data: Array, position: int) -> Array:
        """One slice as it is shown; a last axis of channels is kept."""
        plane = np.take(data, position, axis=self.axis)
        plane = plane.swapaxes(0, 1) if self.swap else plane
        rows, columns = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        top, bottom, left, right = self.cut
        return np.asarray(plane[rows, columns][top:bottom, left:right])

    def locate(self, position: tuple[float, float, float]) -> tuple[float, float]:
        """Screen (x, y) within the panel of an array position (z, y, x)."""
        first, second = (position[a] for a in range(3) if a != self.axis)
        row, column = (second, first) if self.swap else (first, second)
        row = self.shape[0] - 1 - row if self.flips[0] else row
        column = self.shape[1] - 1 - column if self.flips[1] else column
        top, bottom, left, right = self.cut
        return (
            (column - left + 0.5) / (right - left) * self.size[1],
            (row - top + 0.5) / (bottom - top) * self.size[0],
        )


def _turn(affine: Array | None, planes: list[int]) -> tuple[bool, tuple[bool, bool]]:
    """Whether to swap the two axes of a slice, and which of them to flip then."""
    frame = Frame.of(affine, 3)
    if not frame.oriented:
        return False, (False, False)
    canonical = [frame.canonical_axis(axis) for axis in planes]
    swap = canonical[0] > canonical[1]
    if swap:
        canonical.reverse()
    # Canonical axes grow to S, A and R; on the screen these lie at the top and on the left.
    return swap, (not frame.flips[canonical[0]], not frame.flips[canonical[1]])


def _grey(plane: Array) -> Array:
    plane = np.asarray(plane, dtype=np.float32)
    return plane.mean(axis=-1) if plane.ndim == 3 else plane


def _body(grey: Array) -> tuple[int, int, int, int]:
    from scipy.ndimage import binary_opening
    from skimage.filters import threshold_otsu

    height, width = grey.shape
    if grey.min() == grey.max():
        return 0, height, 0, width
    low, high = np.percentile(grey, (1, 99))
    clipped = np.clip(grey, low, high)
    inside = binary_opening(clipped > 0.6 * (threshold_otsu(clipped) - low) + low, iterations=2)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if rows.size == 0:
        return 0, height, 0, width
    pad = 3
    return (
        max(0, int(rows[0]) - pad),
        min(height, int(rows[-1]) + 1 + pad),
        max(0, int(columns[0]) - pad),
        min(width, int(columns[-1]) + 1 + pad),
    )


def overlay(
    grey: Array,
    labels: Array | None,
    limits: tuple[float, float],
    colours: dict[int, Colour],
    size: tuple[int, int],
) -> Image.Image:
    """Draw a slice with translucent labels and their outlines.

    Parameters
    ----------
    grey : array, shape (H, W) or (H, W, C)
        As returned by :meth:`View.take`; ``uint8`` of three channels is shown in colour.
    labels : array of int, shape (H, W), optional
        On the same grid; None draws the image alone.
    limits : tuple of float
        Grey values of black and white.
    colours : dict of int to RGB
        Labels without a colour are not drawn.
    size : tuple of int
        Height and width in screen pixels.
    """
    from PIL import Image

    fine = (size[1] * 2, size[0] * 2)  # drawn at double size, then reduced: smooth edges
    if grey.ndim == 3 and grey.shape[-1] >= 3 and grey.dtype == np.uint8:
        base = Image.fromarray(np.ascontiguousarray(grey[..., :3]))
    else:
        unit = (np.nan_to_num(_grey(grey)) - limits[0]) / (limits[1] - limits[0])
        base = Image.fromarray((np.clip(unit, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    canvas = np.asarray(base.resize(fine, Image.Resampling.BICUBIC), dtype=np.float32)
    if labels is not None:
        present = [label for label in colours if (labels == label).any()]
        canvas = _tint(canvas, _enlarge(labels, present, fine), colours)
    picture = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    return picture.resize((size[1], size[0]), Image.Resampling.LANCZOS)


def _enlarge(labels: Array, present: list[int], size: tuple[int, int]) -> Array:
    """Labels at screen resolution; each mask is interpolated, so that outlines are smooth."""
    from PIL import Image

    result = np.zeros((size[1], size[0]), dtype=np.int64)
    best = np.full(result.shape, -1, dtype=np.float32)
    drawn = np.isin(labels, present)
    for label in (0, *present):
        mask = labels == label if label else ~drawn
        picture = Image.fromarray(mask.astype(np.float32))
        share = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
        wins = share > best
        result[wins], best[wins] = label, share[wins]
    return result


def _tint(canvas: Array, labels: Array, colours: dict[int, Colour]) -> Array:
    from scipy.ndimage import grey_dilation, grey_erosion

    reach = (5, 5)
    edge = (grey_dilation(labels, reach) != labels) | (grey_erosion(labels, reach) != labels)
    result = canvas.copy()
    for label in np.unique(labels[labels > 0]).tolist():
        inside = labels == label
        colour = np.asarray(colours[label], dtype=np.float32)
        result[inside] = 0.66 * canvas[inside] + 0.34 * colour
        result[inside & edge] = 0.08 * canvas[inside & edge] + 0.92 * colour
    return result
