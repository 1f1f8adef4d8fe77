"""Peaks of a region that stand out, and which part of the region belongs to each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..arrays import release
from ..types import Array, Box
from .components import AT_ONCE, blocks_of, inside, widened

__all__ = ["ROUNDING", "Basins", "cells", "cells_needed"]

ROUNDING = 1e-4
"""Values of 0..1 that differ by less are equal: smoothing a constant leaves rounding errors."""
# A second peak in one region counts when the saddle between is lower than it by this share.
_PROMINENCE = 0.15
_MARGIN = 10 * ROUNDING  # of a path, which rounding must not break
_CELLS = 2**20
"""Cells of a region of more than four million voxels, at most."""
_MAX_TOPS = 2**14
_MAX_UNSETTLED = 256
_NEIGHBOURS = 16
_FIRST_REACH = 8  # voxels round a peak in which its dome is looked for, then more
_SAMPLES = 2**18  # places on paths that are looked at together


@dataclass(frozen=True, eq=False)
class Basins:
    """Which voxels of a region belong to which of its peaks.

    Regions of more than four million voxels, where they have several peaks, are divided in cells of
    several voxels, so that memory does not grow with them.

    Parameters
    ----------
    smooth : float32 array
        Values of a region, 0 outside.
    numbered : int array or None
        Peak of each cell, from 1; None where all belong to one peak.
    side : int
        Voxels of a cell along each axis.
    """

    smooth: Array
    numbered: Array | None
    side: int = 1

    @classmethod
    def of(cls, smooth: Array, top: float, floor: float) -> Basins:
        """Divide a region, whose highest value is ``top`` and whose lowest is ``floor``."""
        side = cells_needed(smooth, _CELLS) if smooth.size > AT_ONCE else 1
        if side > 1 and _unsettled(smooth, top, floor) == []:
            return cls(smooth, None)
        coarse = cells(smooth, side, np.maximum)
        markers, count = _domes(coarse, top, floor)
        if count < 2:
            return cls(smooth, None)
        from skimage.segmentation import watershed

        return cls(smooth, watershed(-coarse, markers, mask=coarse > 0), side)

    def boxes(self) -> list[Box]:
        """Return the box of each basin."""
        from scipy import ndimage

        shape = self.smooth.shape
        if self.numbered is None:
            return [tuple(slice(0, length) for length in shape)]
        return [
            tuple(
                slice(side.start * self.side, min(side.stop * self.side, length))
                for side, length in zip(box, shape, strict=True)
            )
            for box in ndimage.find_objects(self.numbered)
        ]

    def values(self, number: int, where: Box) -> Array:
        """Values of a part of the region, 0 but for those of one peak, counted from 0."""
        found = np.asarray(self.smooth[where])
        if self.numbered is not None:
            at = (np.arange(side.start, side.stop) // self.side for side in where)
            found = np.where(self.numbered[np.ix_(*at)] == number + 1, found, 0)
        release(self.smooth)
        return found


def cells_needed(array: Array, most: int) -> int:
    """Voxels along each axis of a cell, such that there are at most about so many cells."""
    side = 1
    while array.size > most * side**array.ndim:
        side += 1
    return side


def cells(array: Array, side: int, pool: np.ufunc) -> Array:
    """Reduce each cell of ``side`` voxels along each axis to one value; the last may be smaller."""
    if side == 1:
        return array
    shape = tuple(-(-length // side) for length in array.shape)
    result = np.empty(shape, array.dtype)
    rows = max(1, AT_ONCE // (side * math.prod(array.shape[1:])))
    for start in range(0, shape[0], rows):
        part = np.asarray(array[start * side : (start + rows) * side])
        for axis in range(part.ndim):
            part = pool.reduceat(part, np.arange(0, part.shape[axis], side), axis=axis)
        result[start : start + rows] = part
        release(array)
    return result


def _domes(smooth: Array, top: float, floor: float) -> tuple[Array, int]:
    """Mark the parts of a region round peaks that stand out by a share of the highest.

    Returns markers, numbered from 1, and their count; no markers where there is but one.
    """
    peaks = _unsettled(smooth, top, floor)
    if peaks is None:
        return _domes_of_many(smooth)
    markers, count = np.zeros(smooth.shape, np.int32), 0
    if not peaks:
        return markers, 1
    highest = np.unravel_index(int(smooth.argmax()), smooth.shape)
    for peak in [tuple(map(int, highest)), *peaks]:
        dome = None if markers[peak] else _dome(smooth, peak, top)
        if dome is not None and not markers[dome[0]][dome[1]].any():
            count += 1
            markers[dome[0]][dome[1]] = count
    return markers, count


def _dome(smooth: Array, peak: tuple[int, ...], top: float) -> tuple[Box, Array] | None:
    """Find the dome of a peak: its box, and what of that is in it.

    None if it does not stand out: then something higher is connected above its foot.
    """
    from scipy import ndimage

    height = smooth[peak]
    foot = height - np.float32(_PROMINENCE * top) + np.float32(ROUNDING)
    reach = _FIRST_REACH
    while True:
        box = widened(tuple(slice(k, k + 1) for k in peak), [reach] * smooth.ndim, smooth.shape)
        part = smooth[box]
        numbered, _ = ndimage.label(part > foot, np.ones((3,) * part.ndim))
        mine = numbered == numbered[tuple(k - s.start for k, s in zip(peak, box, strict=True))]
        if part[mine].max() > height + ROUNDING:
            return None
        if not _goes_on(mine, box, smooth.shape):
            return box, mine
        reach *= 2


def _goes_on(mask: Array, box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a mask reaches a side of its box beyond which the array goes on."""
    for axis, (side, length) in enumerate(zip(box, shape, strict=True)):
        if side.start > 0 and mask.take(0, axis).any():
            return True
        if side.stop < length and mask.take(-1, axis).any():
            return True
    return False


def _domes_of_many(smooth: Array) -> tuple[Array, int]:
    """As :func:`_domes`, in a time that does not depend on the number of local maxima."""
    from scipy import ndimage
    from skimage.morphology import reconstruction

    prominence = _PROMINENCE * smooth.max()
    rest = smooth - reconstruction(smooth - prominence, smooth)
    # Each part of the rest above 0 is one dome; those lower than the prominence are ripples.
    numbered, count = ndimage.label(rest > ROUNDING, np.ones((3,) * smooth.ndim))
    tops = np.zeros(count + 1, rest.dtype)
    np.maximum.at(tops, numbered.ravel(), rest.ravel())
    high = np.flatnonzero(tops[1:] >= prominence - ROUNDING) + 1
    renumber = np.zeros(count + 1, np.int32)
    renumber[high] = np.arange(1, len(high) + 1)
    return renumber[numbered], len(high)


def _unsettled(smooth: Array, top: float, floor: float) -> list[tuple[int, ...]] | None:
    """Local maxima that may stand out, beside the highest of all; the highest first.

    From all others a straight path, to the highest of all or to one that is near, leads to a
    higher one without going down by the prominence. None where there are too many.
    """
    from scipy.spatial import cKDTree

    points = _local_maxima(smooth)
    if len(points) > _MAX_TOPS:
        return None
    values = smooth[tuple(points.T)]
    order = np.argsort(-values, kind="stable")  # of equal ones the first leads
    points, values = points[order], values[order]
    needed = values - np.float32(_PROMINENCE * top - _MARGIN)
    left = np.flatnonzero(needed > floor)  # all else is connected above that anyway
    left = left[left > 0]
    left = left[_lowest(smooth, points[left], points[np.zeros_like(left)]) < needed[left]]
    if len(left) == 0:
        return []
    near = cKDTree(points).query(points[left], range(1, min(_NEIGHBOURS, len(points)) + 1))[1]
    for rank in range(near.shape[1]):
        to = near[:, rank]
        tried = np.flatnonzero(to < left)
        if len(tried):
            lowest = _lowest(smooth, points[left[tried]], points[to[tried]])
            done = tried[lowest >= needed[left[tried]]]
            left, near = np.delete(left, done), np.delete(near, done, axis=0)
    return None if len(left) > _MAX_UNSETTLED else list(map(tuple, points[left].tolist()))


def _local_maxima(smooth: Array) -> Array:
    """Places (n, axes) of voxels above 0 that no neighbour exceeds, of flat tops a few.

    Stops when there are more than are looked at.
    """
    found = [np.zeros((0, smooth.ndim), np.int64)]
    before = [at for at in np.ndindex((3,) * smooth.ndim) if at < (1,) * smooth.ndim]
    for where in blocks_of(smooth.shape):
        around = widened(where, [2] * smooth.ndim, smooth.shape)
        part = np.asarray(smooth[around])
        highest = part
        for axis in range(part.ndim):
            highest = _with_neighbours(highest, axis)
        tops = np.pad((part >= highest) & (part > 0), 1)
        middle = tops[(slice(1, -1),) * part.ndim]
        first = middle.copy()
        for at in before:
            first &= ~tops[tuple(slice(k, k + n) for k, n in zip(at, part.shape, strict=True))]
        inner = inside(around, where)
        places = np.argwhere(first[inner]) + [side.start for side in where]
        found.append(places)
        release(smooth)
        if sum(map(len, found)) > _MAX_TOPS:
            break
    return np.concatenate(found)


def _with_neighbours(values: Array, axis: int) -> Array:
    """Highest of each value and its neighbours along an axis."""
    result = values.copy()
    into, of = np.moveaxis(result, axis, 0), np.moveaxis(values, axis, 0)
    np.maximum(into[1:], of[:-1], out=into[1:])
    np.maximum(into[:-1], of[1:], out=into[:-1])
    return result


def _lowest(smooth: Array, starts: Array, ends: Array) -> Array:
    """Lowest value (n,) on straight paths between voxels (n, axes); neighbours touch at corners."""
    steps = int(np.abs(ends - starts).max(initial=0)) + 1
    share = np.linspace(0, 1, steps)[:, None]
    lowest = np.empty(len(starts), smooth.dtype)
    at_once = max(1, _SAMPLES // steps)
    for first in range(0, len(starts), at_once):
        part = slice(first, first + at_once)
        way = starts[part, None] + share * (ends[part] - starts[part])[:, None]
        lowest[part] = smooth[tuple(np.moveaxis(np.floor(way + 0.5).astype(int), -1, 0))].min(
            axis=1
        )
        release(smooth)
    return lowest
