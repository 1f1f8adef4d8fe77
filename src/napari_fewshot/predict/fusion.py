"""One prediction of several: the mean along planes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..arrays import release
from ..scratch import bands, scratch_array
from ..slices.region import box_shape, whole_box
from ..slices.stack import SliceStack
from ..types import Array, Box

__all__ = ["Part", "fused_probabilities"]

Part = tuple[SliceStack, Iterator[tuple[int, Array]], float]


def fused_probabilities(
    parts: Iterable[Part], box: Box | None = None
) -> Iterator[tuple[int, Array]]:
    """Average probabilities that were predicted along several canonical axes of one volume.

    Each stack comes with its slices, (index, (L + 1, H, W)), and with its weight; with a ``box`` of
    the volume, in file order, with what lies in it. Yields the same of the first stack. Parts are
    asked for one after the other. Sums are kept as float16, on disk when large.
    """
    total: Array | None = None
    first: SliceStack | None = None
    own: Box = ()
    for stack, planes, weight in parts:
        seen = stack.box_from_file(whole_box(stack.volume) if box is None else box)
        if first is None:
            first, own = stack, seen
        begin = seen[0].start
        for index, plane in planes:
            if total is None:
                total = scratch_array((len(plane), *box_shape(own)), np.float16)
            # axes of `total` after the class axis: the first stack's slices, rows, columns
            view = np.moveaxis(total, 1, 1 + first.axis)
            where = np.moveaxis(view, 1 + stack.axis, 1)
            for rows in bands(plane.shape[1], plane[:, 0].size):
                where[:, index - begin, rows] += (plane[:, rows] * weight).astype(np.float16)
            release(total)
    if total is None:
        return
    _, count, height, width = total.shape
    for number in range(count):
        plane = scratch_array((len(total), height, width), np.float32)
        for rows in bands(height, plane[:, 0].size):
            band = total[:, number, rows].astype(np.float32)
            plane[:, rows] = band / np.maximum(band.sum(axis=0), 1e-6)
        release(plane)
        release(total)
        yield own[0].start + number, plane
