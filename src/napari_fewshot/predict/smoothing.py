"""Smoothing of probabilities within slices and across them: what it needs of other pixels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from ..arrays import release
from ..scratch import bands, scratch_array
from ..slices.stack import SliceStack, Window
from ..types import Array, Box

__all__ = ["Mixing", "PlaneCache", "missing_in_turn", "slices_needed", "windows_of"]

_TRUNCATE = 3.0


class Mixing:
    """Which working slices, with which weights, make up a slice of the original grid."""

    def __init__(self, stack: SliceStack, smoothing: float, across: bool) -> None:
        self.grid = stack.grid
        self.count = len(stack)
        self.smoothing = smoothing
        self.sigma = 0.0  # across slices, in slices
        if across and stack.is_spacing_plausible:
            self.sigma = min(1.0, smoothing / stack.slice_distance)
        self.reach = int(np.ceil(2.5 * self.sigma)) if self.sigma > 0.2 else 0

    def parts(self, index: int) -> dict[int, float]:
        """Interpolation across slices, and the Gaussian over their neighbours, as one."""
        targets = self.grid.targets(index) if self.grid.changes_slices else [(index, 1.0)]
        merged: dict[int, float] = {}
        for centre, fraction in targets:
            near = range(max(0, centre - self.reach), min(self.count, centre + self.reach + 1))
            weights = [np.exp(-0.5 * ((k - centre) / max(self.sigma, 1e-6)) ** 2) for k in near]
            for k, weight in zip(near, weights, strict=True):
                merged[k] = merged.get(k, 0.0) + fraction * float(weight / sum(weights))
        return dict(sorted(merged.items()))

    def blurred(self, plane: Array) -> Array:
        """Gaussian within the slice."""
        from scipy.ndimage import gaussian_filter

        if not self.smoothing:
            return plane
        sigma = (0.0, self.smoothing, self.smoothing)
        halo = _halo(self.smoothing)
        result = scratch_array(plane.shape, np.float32)
        for rows in bands(plane.shape[1], plane[:, 0].size):
            first = max(0, rows.start - halo)
            band = plane[:, first : rows.stop + halo]
            blurred = gaussian_filter(band, sigma, mode="nearest", truncate=_TRUNCATE)
            result[:, rows] = blurred[:, rows.start - first : rows.stop - first]
        release(plane)
        release(result)
        return result


class PlaneCache:
    """Working slices that the next ones of the order may need again."""

    def __init__(self, parts: Sequence[dict[int, float]]) -> None:
        self.planes: OrderedDict[int, Array] = OrderedDict()
        self._max = max((len(weights) for weights in parts), default=1)

    def touch(self, number: int) -> bool:
        """Whether a slice is here; if so it is the last to go."""
        if number not in self.planes:
            return False
        self.planes.move_to_end(number)
        return True

    def drop(self) -> None:
        """Keep no more slices than one output needs."""
        while len(self.planes) > self._max:
            self.planes.popitem(last=False)


def missing_in_turn(parts: Sequence[dict[int, float]]) -> list[int]:
    """Working slices in the order in which they are missing, as known before the first."""
    cache, missing = PlaneCache(parts), []
    for weights in parts:
        for number in weights:
            if not cache.touch(number):
                cache.planes[number] = np.empty(0)
                missing.append(number)
        cache.drop()
    return missing


def slices_needed(stack: SliceStack, smoothing: float, order: Sequence[int]) -> int:
    """Count the working slices that are predicted for slices in this order."""
    mixing = Mixing(stack, smoothing, across=True)
    return len(missing_in_turn([mixing.parts(index) for index in order]))


def windows_of(stack: SliceStack, box: Box, smoothing: float) -> tuple[Window | None, Window]:
    """Which rows and columns are predicted for a box of the stack, and which of these are in it.

    What lies in the box is then as if slices were predicted as a whole, which None stands for: all
    of them where rows and columns are resampled, else as many more as the Gaussian reaches.
    """
    rows, columns = box[1], box[2]
    if stack.grid.changes_plane:
        return None, (rows, columns)
    halo, sides, keep = _halo(smoothing), [], []
    for side, length in zip((rows, columns), stack.shape, strict=True):
        first = max(0, side.start - halo)
        sides.append(slice(first, min(length, side.stop + halo)))
        keep.append(slice(side.start - first, side.stop - first))
    is_whole = sides == [slice(0, length) for length in stack.shape]
    return None if is_whole else (sides[0], sides[1]), (keep[0], keep[1])


def _halo(smoothing: float) -> int:
    """Pixels that the Gaussian within a slice reaches."""
    return int(_TRUNCATE * smoothing + 0.5)
