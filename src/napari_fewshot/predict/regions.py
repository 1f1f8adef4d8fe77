"""Connected regions of a map that is smoothed a little, the highest first, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..arrays import release
from ..scratch import scratch_array
from ..types import Array, Box
from .components import Components, block_by_block, blocks_of, box_of, within

__all__ = ["Region", "regions", "smoothed"]

# Width of the smoothing, in units of the finest spacing: enough that a single hot voxel loses
# most of its height, while a disk of three pixels' radius keeps nearly all of it.
_SMOOTHING = 0.75
_REACH = 3
"""Voxels on each side that a smoothed value depends on."""
_HUNDREDTH = 0.011  # and what rounding adds
_FIRST = 8  # regions whose boxes are found together, then more and more


@dataclass(frozen=True, eq=False)
class Region:
    """A region of a smoothed map.

    Parameters
    ----------
    smooth : float32 array
        Values in the region's box, 0 outside of the region; in a temporary file where it is large.
    corner : tuple of int
        Place of the box in the array.
    top, mass : float
        Highest value, and how much lies above a share of it: no part of the region with a peak as
        high, to a hundredth, has more.
    """

    smooth: Array
    corner: tuple[int, ...]
    top: float
    mass: float


def smoothed(probability: Array, box: Box, spacing: Array) -> Array:
    """Smooth the probability in a box by less than a voxel, as if there were nothing around.

    ``probability`` is floating, nan being 0, or uint8 in 255ths. float32; in a temporary file where
    it is large.
    """
    from scipy import ndimage

    part = probability[box]

    def smooth(where: Box) -> Array:
        values = np.nan_to_num(part[where].astype(np.float32), nan=0.0, posinf=1.0)
        release(probability)
        if probability.dtype == np.uint8:
            values /= 255
        widths = _SMOOTHING * spacing.min() / spacing
        found: Array = ndimage.gaussian_filter(values, widths, mode="nearest")
        return found

    result = scratch_array(part.shape, np.float32)
    return block_by_block(part.shape, _REACH, smooth, result)


def regions(probability: Array, low: float, level: float, spacing: Array) -> Iterator[Region]:
    """Find the connected sets of voxels that reach ``low``, the highest first.

    They are those above the share ``level`` of it; masses are above that share of their own top.
    Of equally high ones (in hundredths), that with the larger mass is first. Voxels touch at
    corners too. ``probability`` and ``spacing`` are as for
    :func:`~napari_fewshot.predict.landmarks.find_landmarks`.
    """
    floor = level * low
    bound = floor * 255 if probability.dtype == np.uint8 else floor
    box = box_of(probability, lambda part: part >= bound, _REACH)
    if box is None:
        return
    smooth = smoothed(probability, box, spacing)

    def read(where: Box) -> Array:
        above: Array = smooth[where] >= floor
        release(smooth)
        return above

    parts = Components(read, smooth.shape, smooth.ndim)
    tops = np.zeros(len(parts.sizes), np.float32)
    masses = np.zeros(len(parts.sizes))
    for where, numbers, names in parts.blocks():
        np.maximum.at(tops, names[numbers.ravel()], smooth[where].ravel())
        release(smooth)
    for where, numbers, names in parts.blocks(tops >= low):
        least = level * (tops[names] - _HUNDREDTH)
        more = np.maximum(smooth[where] - least[numbers], 0).ravel()
        np.add.at(masses, names, np.bincount(numbers.ravel(), more, len(names)))
        release(smooth)
    order = np.lexsort((-masses[1:], -tops[1:].round(2))) + 1
    order = order[tops[order] >= low]
    start, count = 0, _FIRST
    while start < len(order):
        some = order[start : start + count]
        for number, inner in zip(some, parts.boxes(some.tolist()), strict=True):
            yield Region(
                _alone(smooth, parts, int(number), inner),
                tuple(side.start for side in within(box, inner)),
                float(tops[number]),
                float(masses[number]),
            )
        start, count = start + count, 4 * count


def _alone(smooth: Array, parts: Components, number: int, box: Box) -> Array:
    """Values of one region in its box, 0 in others."""
    mask, values = parts.mask(number, box), smooth[box]
    result = scratch_array(mask.shape, smooth.dtype)
    for where in blocks_of(mask.shape):
        np.copyto(result[where], values[where], where=mask[where])
        for array in (result, mask, smooth):
            release(array)
    return result
