"""Arrays in memory, and arrays that are read as they are indexed (dask), handled alike.

What is larger than memory is never turned into a NumPy array as a whole: it is indexed in the order
of its file and then read (:func:`read`), or passed over block by block (:func:`blocks`).
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import accumulate, product
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LARGE", "block_shape", "blocks", "is_lazy", "lazy_array", "read", "release", "wrapped"]

LARGE = 64 * 2**20
"""Bytes above which readers of files give arrays that are read as they are indexed."""
_BLOCK = 4 * 2**20
"""Bytes of a block of such an array, about: no more is read for a slice than for some of it."""
_AT_ONCE = 64 * 2**20
"""Bytes that are in memory while an array is passed over."""

Array = npt.NDArray[Any]


def is_lazy(array: Any) -> bool:
    """Whether an array is read as it is indexed."""
    return hasattr(array, "__dask_graph__")


def wrapped(array: Any) -> Array:
    """Take an array: one in memory as NumPy, one that is read as it is indexed as dask.

    Nothing is read of dask arrays and of what has a shape, a NumPy dtype and can be indexed, as
    arrays of zarr and data sets of HDF5; of an array of xarray, its data is taken.
    """
    if isinstance(array, np.ndarray):
        return np.asarray(array)
    if is_lazy(array) and not hasattr(array, "dims"):
        return array  # type: ignore[no-any-return]
    if hasattr(array, "dims") and hasattr(array, "data"):
        return wrapped(array.data)
    kind = getattr(array, "dtype", None)
    if isinstance(array, np.generic) or not isinstance(kind, np.dtype):
        return np.asarray(array)
    if not hasattr(array, "shape") or not hasattr(array, "__getitem__"):
        return np.asarray(array)
    native = getattr(array, "chunks", None)
    return lazy_array(array, native if native and isinstance(native[0], int) else None)


def lazy_array(source: Any, native: Sequence[int] | None = None, name: str = "") -> Array:
    """Make an array that is read from ``source`` as it is indexed.

    Parameters
    ----------
    source : object
        It has ``shape`` and ``dtype``, and gives arrays when it is indexed with whole numbers and
        slices of positive steps, also from several threads.
    native : sequence of int, optional
        Shape of the blocks that are stored, of which a whole number is read at once.
    name : str, optional
        What arrays of the same content have in common; by default it differs from all others.
    """
    from dask.array import from_array

    chunks = block_shape(source.shape, source.dtype.itemsize, native)
    # Told that fancy indices are no good, dask would read whole blocks for any index.
    result: Array = from_array(
        _Plain(source),
        chunks=chunks,
        name=name or False,
        lock=False,
        asarray=True,
        meta=np.empty((0,) * len(source.shape), source.dtype),
    )
    return result


def block_shape(
    shape: Sequence[int], itemsize: int, native: Sequence[int] | None = None, size: int = _BLOCK
) -> tuple[int, ...]:
    """Shape of blocks of about ``size`` bytes, whole ones of ``native`` shape, last axes first."""
    sides = [min(n, max(1, k)) for n, k in zip(shape, native or [1] * len(shape), strict=True)]
    for axis in reversed(range(len(sides))):
        room = size // (itemsize * math.prod(sides))
        sides[axis] = min(shape[axis], sides[axis] * max(1, room))
    return tuple(sides)


def read(array: Array) -> Array:
    """Load an array, or what an index left of it, into memory.

    In this process, also where a cluster is there to compute what nobody says otherwise.
    """
    if not is_lazy(array):
        return np.asarray(array)
    lazy: Any = array
    found = lazy.compute(scheduler="threads" if lazy.npartitions > 1 else "synchronous")
    return np.asarray(found)


def blocks(array: Array) -> Iterator[tuple[tuple[slice, ...], Array]]:
    """Pass over an array: indices of blocks that cover it, and what is in them.

    Of an array that is read as it is indexed, each block is read once, and about 64 MB are in
    memory; else these are views, of whose file the memory is given back where it has one. An empty
    array has none.
    """
    if not math.prod(array.shape):
        return
    if is_lazy(array):
        sides: Any = array.chunks  # type: ignore[attr-defined]
    else:
        sides = tuple(
            _equal_parts(length, side)
            for length, side in zip(
                array.shape, block_shape(array.shape, array.itemsize, size=_AT_ONCE), strict=True
            )
        )
    room = max(1, _AT_ONCE // (array.dtype.itemsize * math.prod(max(parts) for parts in sides)))
    grid: list[list[slice]] = []
    for parts in reversed(sides):
        together = min(room, len(parts))
        grid.insert(0, _slices([sum(group) for group in _groups(parts, together)]))
        room = max(1, room // together)
    for place in product(*grid):
        yield place, read(array[place])
        release(array)


def release(array: Any) -> None:
    """Give the memory of a mapped array back; what is in it stays, in its file.

    Works on views too. Does nothing for arrays in memory, for maps whose changes do not go to
    their file, and where the system knows no such advice.
    """
    while array is not None and not isinstance(array, mmap.mmap):
        if getattr(array, "mode", None) == "c":  # changes are in memory alone
            return
        array = getattr(array, "base", None)
    if array is not None and hasattr(mmap, "MADV_DONTNEED"):
        with suppress(OSError, ValueError):
            array.madvise(mmap.MADV_DONTNEED)


class _Plain:
    """A source that is asked for nothing but whole numbers and slices of positive steps."""

    def __init__(self, source: Any) -> None:
        self.source, self.shape = source, tuple(source.shape)
        self.dtype, self.ndim = source.dtype, len(self.shape)

    def __getitem__(self, index: Any) -> Array:
        asked: list[int | slice] = []
        rest: list[slice | Array] = []
        for one, length in zip(index, self.shape, strict=False):
            if not isinstance(one, slice) and np.ndim(one) == 0:
                asked.append(int(one))
                continue
            if isinstance(one, slice) and (one.step or 1) > 0:
                asked.append(one)
                rest.append(slice(None))
                continue
            numbers = np.arange(length)[one]
            first = int(numbers.min(initial=length))
            asked.append(slice(min(first, length), int(numbers.max(initial=first - 1)) + 1))
            rest.append(numbers - first)
        found = np.asarray(self.source[tuple(asked)])
        for axis, one in enumerate(rest):
            if not isinstance(one, slice):
                found = found.take(one, axis)
        return found


def _equal_parts(length: int, side: int) -> list[int]:
    return [min(side, length - start) for start in range(0, length, side)]


def _groups(parts: Sequence[int], count: int) -> list[Sequence[int]]:
    return [parts[start : start + count] for start in range(0, len(parts), count)]


def _slices(sides: Sequence[int]) -> list[slice]:
    stops = list(accumulate(sides))
    return [slice(stop - side, stop) for side, stop in zip(sides, stops, strict=True)]
