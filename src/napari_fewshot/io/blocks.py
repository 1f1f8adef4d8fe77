"""Arrays that are written block by block, so that none is held or converted whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import read, release
from ..types import Array

__all__ = ["AT_ONCE", "Retyped", "regions", "slabs"]

AT_ONCE = 32 * 2**20
"""Bytes that a writer takes of an array at a time."""


class Retyped:
    """An array of another dtype, converted where it is indexed.

    ``np.asarray`` converts all of it, for writers of formats that are small.
    """

    def __init__(self, array: Any, dtype: npt.DTypeLike) -> None:
        self._array = array
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.ndim = len(self.shape)
        self.nbytes = prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, index: Any) -> Array:
        return read(self._array[index]).astype(self.dtype, copy=False)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self[...], dtype=dtype, copy=copy)

    def release(self) -> None:
        """Give memory of a mapped array back (:func:`~napari_fewshot.arrays.release`)."""
        release(self._array)


def slabs(array: Any) -> Iterator[Array]:
    """Cut an array along its first axes into parts that follow each other in C order."""
    size = prod(array.shape[1:]) * array.dtype.itemsize
    if size > AT_ONCE and array.ndim > 1:
        for index in range(array.shape[0]):
            yield from slabs(_Row(array, index))
        return
    step = max(1, AT_ONCE // max(1, size))
    for start in range(0, array.shape[0], step):
        yield np.ascontiguousarray(read(array[start : start + step]))
        _release(array)


def regions(
    shape: Sequence[int], chunks: Sequence[int], itemsize: int
) -> Iterator[tuple[slice, ...]]:
    """Cut a shape into regions of whole chunks, joined along the last axes."""
    sides = [min(side, length) for side, length in zip(chunks, shape, strict=True)]
    for axis in reversed(range(len(sides))):
        room = AT_ONCE // max(1, prod(sides) * itemsize)
        whole = sides[axis] * max(1, room)
        if whole < shape[axis]:
            sides[axis] = whole
            break
        sides[axis] = shape[axis]
    starts = [range(0, length, side) for length, side in zip(shape, sides, strict=True)]
    for corner in product(*starts):
        yield tuple(
            slice(at, min(at + side, length))
            for at, side, length in zip(corner, sides, shape, strict=True)
        )


class _Row:
    """One index along the first axis of an array."""

    def __init__(self, array: Any, index: int) -> None:
        self._array, self._index = array, index
        self.shape, self.dtype, self.ndim = array.shape[1:], array.dtype, array.ndim - 1

    def __getitem__(self, index: Any) -> Array:
        rest = index if isinstance(index, tuple) else (index,)
        return read(self._array[(self._index, *rest)])

    def release(self) -> None:
        _release(self._array)


def _release(array: Any) -> None:
    if isinstance(array, (Retyped, _Row)):
        array.release()
    else:
        release(array)
