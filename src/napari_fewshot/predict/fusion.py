"""Several planes of a volume, fused: mean of their probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..slices.stack import SliceStack
from ..types import Array
from .scratch import scratch_array

__all__ = ["fused_probabilities"]

_IN_MEMORY = 1024 * 2**20


def fused_probabilities(
    parts: Sequence[tuple[SliceStack, Iterator[tuple[int, Array]]]],
) -> Iterator[tuple[int, Array]]:
    """Average probabilities that were predicted along several axes of one volume.

    Parameters
    ----------
    parts : sequence of (SliceStack, iterator of (index, probabilities))
        Stacks of one volume along different canonical axes; probabilities have shape
        (L + 1, H, W) in the order of their stack.

    Yields
    ------
    index, probabilities
        In the order of the first stack. Sums are kept as float16, on disk when large.
    """
    first = parts[0][0]
    total: Array | None = None
    for stack, planes in parts:
        for index, plane in planes:
            if total is None:
                shape = (len(plane), *first.grid.shape)
                total = scratch_array(shape, np.float16, _IN_MEMORY)
            # axes of `total` after the class axis: the first stack's slices, rows, columns
            view = np.moveaxis(total, 1, 1 + first.axis)
            where = np.moveaxis(view, 1 + stack.axis, 1)
            where[:, index] += (plane / len(parts)).astype(np.float16)
    if total is None:
        return
    for index in range(first.grid.shape[0]):
        plane = total[:, index].astype(np.float32)
        yield index, plane / np.maximum(plane.sum(axis=0), 1e-6)
