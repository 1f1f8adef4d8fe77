"""Connected components of arrays that need not fit in memory, found block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import product

import numpy as np

from ..arrays import release
from ..scratch import scratch_array
from ..types import Array, Box

__all__ = [
    "AT_ONCE",
    "Components",
    "block_by_block",
    "blocks_of",
    "box_of",
    "inside",
    "widened",
    "within",
]

AT_ONCE = 2**22
"""Voxels that are numbered at once."""
_DEPTH = 4
"""Slices of a block, where a slice has more voxels than a block."""


class Components:
    """Sets of touching voxels of one value each; 0 belongs to none.

    Arrays of more than about four million voxels are read block by block, each with a layer of the
    blocks before it: what shares a voxel of that layer is one component. They are read again for
    :meth:`blocks`, so that no numbering of a large array is kept.

    Parameters
    ----------
    read : callable
        Gives the values of a box of the array, boolean or integers; the same at each call.
    shape : tuple of int
        (Z, Y, X) or (Y, X).
    connectivity : int
        Voxels touch across faces (1), edges too (2) or corners too (3); at most the axes.

    Attributes
    ----------
    sizes : int array, shape (count + 1,)
        Voxels of each component, numbered from 1 by their first voxel in array order; [0] is of no
        meaning.
    firsts : int array, shape (count + 1,)
        Place of the first voxel of each, in the flattened array.
    """

    def __init__(
        self, read: Callable[[Box], Array], shape: tuple[int, ...], connectivity: int
    ) -> None:
        self._read, self._connectivity = read, min(connectivity, len(shape))
        self._shape = shape
        self._only: Array | None = None
        self._owned = blocks_of(shape)
        self._counts: list[int] = []
        joins = _Joins(shape) if len(self._owned) > 1 else None
        sizes = []
        for owned in self._owned:
            around, inner = _with_layer(owned)
            part = read(around)
            numbers, count = self._numbered(part)
            sizes.append(np.bincount(numbers[inner].ravel(), minlength=count + 1)[1:])
            self._counts.append(count)
            if joins is None:
                self._only = numbers
            else:
                joins.take(part, numbers, count, owned)
        self.sizes = np.concatenate([[0], *sizes])
        if joins is None:
            self._names = np.arange(len(self.sizes))
        else:
            self._names, self.values, self.firsts = joins.finish()
            merged = np.zeros(len(self.values), np.int64)
            np.add.at(merged, self._names, self.sizes)
            self.sizes = merged

    @cached_property
    def values(self) -> Array:
        """Value (count + 1,) of each component."""
        part = self._read(self._owned[0])
        values = np.zeros(len(self.sizes), part.dtype)
        values[self._only] = part
        return values

    @cached_property
    def firsts(self) -> Array:
        """Place (count + 1,) of the first voxel of each component in the flattened array."""
        numbers = np.asarray(self._only)
        return np.concatenate([[-1], _first_places(numbers, len(self.sizes) - 1)])

    def blocks(self, wanted: Array | None = None) -> Iterator[tuple[Box, Array, Array]]:
        """Parts of the array that together make it up, in array order.

        ``wanted``, booleans (count + 1,), leaves out blocks that have nothing of these components.

        Yields
        ------
        where : tuple of slice
        numbers : int array
            Components of this part, numbered among themselves; 0 is background.
        names : int array
            Number in the whole array of each of these; ``names[numbers]`` numbers the voxels.
        """
        start = 1
        for owned, count in zip(self._owned, self._counts, strict=True):
            names = np.concatenate([[0], self._names[start : start + count]])
            start += count
            if wanted is not None and not wanted[names[1:]].any():
                continue
            numbers = self._only
            if numbers is None:
                around, inner = _with_layer(owned)
                numbers = self._numbered(self._read(around))[0][inner]
            yield owned, numbers, names

    def boxes(self, wanted: Sequence[int]) -> list[Box]:
        """Return the smallest box of each of some components."""
        from scipy.ndimage import find_objects

        chosen = np.zeros(len(self.sizes), bool)
        chosen[list(wanted)] = True
        found: dict[int, Box] = {}
        for where, numbers, names in self.blocks(chosen):
            local = find_objects(numbers)
            for number in np.flatnonzero(chosen[names[1 : len(local) + 1]]):
                if local[number] is None:  # in the layer before alone
                    continue
                name = int(names[number + 1])
                box = within(where, local[number])
                found[name] = tuple(
                    slice(min(a.start, b.start), max(a.stop, b.stop))
                    for a, b in zip(found.get(name, box), box, strict=True)
                )
        return [found[name] for name in wanted]

    def mask(self, wanted: int, box: Box) -> Array:
        """Which voxels of a box are of a component that lies in it; large ones on disk."""
        result = scratch_array(tuple(side.stop - side.start for side in box), bool)
        if self._only is None and result.size <= AT_ONCE:
            # It is connected within its box too.
            numbers, _ = self._numbered(self._read(box))
            first = np.unravel_index(self.firsts[wanted], self._shape)
            mine = tuple(int(at) - side.start for at, side in zip(first, box, strict=True))
            result[:] = numbers == numbers[mine]
            return result
        chosen = np.zeros(len(self.sizes), bool)
        chosen[wanted] = True
        for where, numbers, names in self.blocks(chosen):
            shared = [
                slice(max(a.start, b.start), min(a.stop, b.stop))
                for a, b in zip(where, box, strict=True)
            ]
            if any(side.start >= side.stop for side in shared):
                continue
            part = tuple(shared)
            result[inside(box, part)] = chosen[names][numbers[inside(where, part)]]
            release(result)
        return result

    def _numbered(self, part: Array) -> tuple[Array, int]:
        from skimage.measure import label

        numbers, count = label(part, background=0, return_num=True, connectivity=self._connectivity)
        return numbers, int(count)


class _Joins:
    """Which components of blocks are one, as blocks come in array order."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        # Numbers in the last slice of the blocks before, and of those that lie beside.
        self._before, self._here = (scratch_array(shape[1:], np.int64) for _ in range(2))
        self._row = np.zeros(0, np.int64)
        self._total = 0
        self._pairs: list[Array] = [np.zeros((2, 0), np.int64)]
        self._firsts: list[Array] = [np.full(1, -1)]
        self._values: list[Array] = []

    def take(self, part: Array, numbers: Array, count: int, owned: Box) -> None:
        """Take a block with the layer before it: its values, and the numbers of its components."""
        around, inner = _with_layer(owned)
        first = np.unravel_index(_first_places(numbers, count), numbers.shape)
        self._values.append(part[first])
        places = [at + side.start for at, side in zip(first, around, strict=True)]
        self._firsts.append(np.ravel_multi_index(places, self._shape))
        if around[0].start < owned[0].start:
            self._join(numbers[0], self._before[around[1:]])
        if around[1].start < owned[1].start:
            self._join(numbers[inner[0], 0], self._row)
        mine = numbers[inner]
        self._here[owned[1:]] = self._ids(mine[-1])
        self._row = self._ids(mine[:, -1])
        if owned[1].stop == self._shape[1]:
            self._before, self._here = self._here, self._before
        release(self._before)
        release(self._here)
        self._total += count

    def finish(self) -> tuple[Array, Array, Array]:
        """Component of each number, of all blocks one after the other; their values and places.

        Components are numbered by their first voxel, of which the places are; [0] is background.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        a, b = np.concatenate(self._pairs, axis=1)
        total = self._total + 1
        graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(total, total))
        count, merged = connected_components(graph, directed=False)
        first = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(first, merged, np.concatenate(self._firsts))
        rank = np.empty(count, np.int64)
        rank[np.argsort(first)] = np.arange(count)
        names = rank[merged]
        values = np.zeros(count, self._values[0].dtype)
        values[names[1:]] = np.concatenate(self._values)
        return names, values, np.sort(first)

    def _ids(self, numbers: Array) -> Array:
        return np.where(numbers > 0, numbers + self._total, 0)

    def _join(self, numbers: Array, ids: Array) -> None:
        same = numbers > 0
        pairs = np.stack([numbers[same] + self._total, ids[same]]).astype(np.int64)
        if pairs.shape[1]:
            new = np.ones(pairs.shape[1], bool)
            new[1:] = (np.diff(pairs, axis=1) != 0).any(axis=0)
            self._pairs.append(np.unique(pairs[:, new], axis=1))


def _first_places(numbers: Array, count: int) -> Array:
    """Place (count,) in array order of the first voxel of each component."""
    backwards = np.flatnonzero(numbers)[::-1]
    first = np.empty(count, np.int64)
    first[numbers.ravel()[backwards] - 1] = backwards  # of equal ones the last is kept
    return first


def blocks_of(shape: tuple[int, ...]) -> list[Box]:
    """Cut an array into boxes of about four million voxels, in array order."""
    whole = [slice(0, length) for length in shape[2:]]
    width = math.prod(shape[2:])
    depth, rows = shape[0], shape[1]
    if math.prod(shape) > AT_ONCE:
        depth = max(min(depth, _DEPTH if len(shape) == 3 else 1), AT_ONCE // (rows * width))
        rows = min(rows, max(1, AT_ONCE // (depth * width)))
    return [(*corner, *whole) for corner in product(_cut(shape[0], depth), _cut(shape[1], rows))]


def _cut(length: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def _with_layer(box: Box) -> tuple[Box, Box]:
    """Return the box with a layer before it along its first axes, and where it lies in that."""
    around = tuple(slice(max(0, side.start - 1), side.stop) for side in box)
    return around, inside(around, box)


def box_of(
    array: Array, test: Callable[[Array], Array], margin: int | Sequence[int] = 0
) -> Box | None:
    """Return the smallest box of the voxels that pass a test; None where none does.

    With ``margin``, so many voxels more on each side, as far as the array goes.
    """
    found = [np.zeros(length, bool) for length in array.shape]
    for where in blocks_of(array.shape):
        passed = test(np.asarray(array[where]))
        release(array)
        for axis, side in enumerate(where):
            others = tuple(number for number in range(array.ndim) if number != axis)
            found[axis][side] |= passed.any(axis=others)
    if not found[0].any():
        return None
    places = [np.flatnonzero(along) for along in found]
    box = tuple(slice(int(along[0]), int(along[-1]) + 1) for along in places)
    return widened(box, np.broadcast_to(margin, array.ndim).tolist(), array.shape)


def block_by_block(
    shape: tuple[int, ...],
    margin: int | Sequence[int],
    function: Callable[[Box], Array],
    result: Array,
) -> Array:
    """Fill an array with what a function gives for its blocks with a margin around each."""
    margins = np.broadcast_to(margin, len(shape)).tolist()
    for where in blocks_of(shape):
        around = widened(where, margins, shape)
        result[where] = function(around)[inside(around, where)]
        release(result)
    return result


def widened(box: Box, margins: Sequence[int], shape: tuple[int, ...]) -> Box:
    """Return a box with margins on both sides of each axis, as far as the array goes."""
    return tuple(
        slice(max(side.start - margin, 0), min(side.stop + margin, length))
        for side, margin, length in zip(box, margins, shape, strict=True)
    )


def within(outer: Box, inner: Box) -> Box:
    """Return a box that counts from the corner of another, in the array of that one."""
    return tuple(
        slice(a.start + b.start, a.start + b.stop) for a, b in zip(outer, inner, strict=True)
    )


def inside(outer: Box, inner: Box) -> Box:
    """Undo :func:`within`: where a box lies in another one around it."""
    return tuple(
        slice(b.start - a.start, b.stop - a.start) for a, b in zip(outer, inner, strict=True)
    )
