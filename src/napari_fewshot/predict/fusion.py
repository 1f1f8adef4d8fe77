"""One prediction of several: the mean along the planes that were painted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..arrays import release
from ..scratch import bands, scratch_array
from ..slices.region import box_shape, whole_box
from ..slices.stack import SliceStack
from ..types import Array, Box

__all__ = ["fused_probabilities"]


def fused_probabilities(
    parts: Sequence[tuple[SliceStack, Iterator[tuple[int, Array]]]], box: Box | None = None
) -> Iterator[tuple[int, Array]]:
    """Average probabilities that were predicted along several canonical axes of one volume.

    Each stack comes with its slices, (index, (L + 1, H, W)); with a ``box`` of the volume, in file
    order, with what lies in it. Yields the same of the first stack. Sums are kept as float16, on
    disk when large.
    """
    first = parts[0][0]
    box = whole_box(first.volume) if box is None else box
    own = first.box_from_file(box)
    count, height, width = box_shape(own)
    total: Array | None = None
    for stack, planes in parts:
        start = stack.box_from_file(box)[0].start
        for index, plane in planes:
            if total is None:
                total = scratch_array((len(plane), count, height, width), np.float16)
            # axes of `total` after the class axis: the first stack's slices, rows, columns
            view = np.moveaxis(total, 1, 1 + first.axis)
            where = np.moveaxis(view, 1 + stack.axis, 1)
            for rows in bands(plane.shape[1], plane[:, 0].size):
                where[:, index - start, rows] += (plane[:, rows] / len(parts)).astype(np.float16)
            release(total)
    if total is None:
        return
    for number in range(count):
        plane = scratch_array((len(total), height, width), np.float32)
        for rows in bands(height, plane[:, 0].size):
            band = total[:, number, rows].astype(np.float32)
            plane[:, rows] = band / np.maximum(band.sum(axis=0), 1e-6)
        release(plane)
        release(total)
        yield own[0].start + number, plane
