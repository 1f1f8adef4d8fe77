"""The three planes of a volume, fused: mean of their probabilities."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from ..features.planes import SliceStack
from ..types import Array

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
                total = _empty((len(plane), *first.grid.shape))
            # axes of `total` after the class axis: the first stack's slices, rows, columns
            view = np.moveaxis(total, 1, 1 + first.axis)
            where = np.moveaxis(view, 1 + stack.axis, 1)
            where[:, index] += (plane / len(parts)).astype(np.float16)
    if total is None:
        return
    for index in range(first.grid.shape[0]):
        plane = total[:, index].astype(np.float32)
        yield index, plane / np.maximum(plane.sum(axis=0), 1e-6)


def _empty(shape: tuple[int, ...]) -> Array:
    if 2 * int(np.prod(shape, dtype=np.int64)) <= _IN_MEMORY:
        return np.zeros(shape, dtype=np.float16)
    file = tempfile.TemporaryFile(prefix="napari-fewshot-")  # noqa: SIM115 - lives as long as the array
    mapped: Array = np.memmap(file, dtype=np.float16, mode="w+", shape=shape)
    return mapped
