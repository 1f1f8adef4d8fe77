"""The levels of a multiscale image, written block by block, each from the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from ...arrays import read, release
from ...types import Array
from ..blocks import Retyped, regions

if TYPE_CHECKING:
    import zarr

__all__ = ["mean_of_parts", "most_frequent", "write_levels"]

Reduce = Callable[[Sequence[Array]], Array]

_COARSE = 256
"""Longest side of the last level."""
_COMPRESSORS: dict[int, Any] = {
    2: {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 1},
    3: {
        "name": "blosc",
        "configuration": {"cname": "zstd", "clevel": 1, "shuffle": "shuffle"},
    },
}
_CHUNK_2D = 1024
_CHUNK_3D = (16, 256, 256)


def most_frequent(parts: Sequence[Array]) -> Array:
    """Return the most frequent label of every place; of equally frequent ones, the first."""
    best = parts[0]
    most = sum((best == other).view(np.uint8) for other in parts)
    for part in parts[1:]:
        count = sum((part == other).view(np.uint8) for other in parts)
        better = count > most
        best, most = np.where(better, part, best), np.where(better, count, most)
    return best


def mean_of_parts(parts: Sequence[Array]) -> Array:
    """Return the mean of every place."""
    total = parts[0].astype(np.float32)
    for part in parts[1:]:
        total += part
    return total / np.float32(len(parts))


def write_levels(
    group: zarr.Group,
    data: Any,
    shape: Sequence[int],
    spacing: Sequence[float],
    names: Sequence[str],
    reduce: Reduce,
    dropped: int | None = None,
) -> list[tuple[int, ...]]:
    """Write an array and its coarser levels, named 0, 1 and so on.

    Parameters
    ----------
    group : zarr.Group
        An empty one.
    data : array-like
        Values, read by blocks.
    shape : sequence of int
        Shape of the finest level: that of ``data``, but for ``dropped``.
    spacing : sequence of float
        Distance of voxels along each axis: coarse axes are halved later than fine ones.
    names : sequence of str
        Names of the axes.
    reduce : callable
        Value of a coarse voxel from those of its fine ones, given as arrays.
    dropped : int, optional
        Axis of one that ``data`` does not have.

    Returns
    -------
    list of tuple of int
        For each level, how many finest voxels are one of its voxels, along each axis.
    """
    level = _create(group, "0", shape, data.dtype, names)
    kept = [axis for axis in range(len(shape)) if axis != dropped]
    for region in regions(shape, level.chunks, data.dtype.itemsize):
        block = read(data[tuple(region[axis] for axis in kept)])
        level[region] = block.reshape([part.stop - part.start for part in region])
        if isinstance(data, Retyped):
            data.release()
        else:
            release(data)
    factors = [(1,) * len(shape)]
    while halved := _halved(level.shape, spacing, factors[-1]):
        steps = [2 if axis in halved else 1 for axis in range(len(shape))]
        coarse = [-(-size // step) for size, step in zip(level.shape, steps, strict=True)]
        after = _create(group, str(len(factors)), coarse, data.dtype, names)
        # A region of the coarse level is made of up to eight times as many bytes.
        for region in regions(coarse, after.chunks, data.dtype.itemsize * 2 ** len(halved)):
            after[region] = _reduced(level, region, halved, reduce)
        factors.append(tuple(f * step for f, step in zip(factors[-1], steps, strict=True)))
        level = after
    return factors


def _halved(shape: Sequence[int], spacing: Sequence[float], factors: Sequence[int]) -> list[int]:
    """Axes to halve next: those as fine as the finest long one, so that voxels become cubes."""
    sizes = [size * factor for size, factor in zip(spacing, factors, strict=True)]
    long = [sizes[axis] for axis, length in enumerate(shape) if length > _COARSE]
    if not long:
        return []
    limit = min(long) * sqrt(2)
    return [axis for axis, length in enumerate(shape) if length > 1 and sizes[axis] <= limit]


def _reduced(
    level: zarr.Array[Any], region: tuple[slice, ...], halved: Sequence[int], reduce: Reduce
) -> Array:
    """Read the fine voxels of a coarse region, and reduce them."""
    fine = tuple(
        slice(2 * part.start, min(2 * part.stop, level.shape[axis])) if axis in halved else part
        for axis, part in enumerate(region)
    )
    block = np.asarray(level[fine])
    odd = [(0, block.shape[axis] % 2 if axis in halved else 0) for axis in range(block.ndim)]
    if any(after for _, after in odd):
        block = np.pad(block, odd, mode="edge")
    steps = [(0, 1) if axis in halved else (None,) for axis in range(block.ndim)]
    parts = [
        block[tuple(slice(None) if at is None else slice(at, None, 2) for at in corner)]
        for corner in product(*steps)
    ]
    return reduce(parts)


def _create(
    group: zarr.Group, name: str, shape: Sequence[int], dtype: Any, names: Sequence[str]
) -> zarr.Array[Any]:
    version = group.metadata.zarr_format
    flat = sum(size > 1 for size in shape) < 3
    chunks = [_CHUNK_2D] * len(shape) if flat else list(_CHUNK_3D[-len(shape) :])
    return group.create_array(
        name,
        shape=tuple(shape),
        chunks=tuple(min(side, size) for side, size in zip(chunks, shape, strict=True)),
        dtype=dtype,
        fill_value=0,
        compressors=_COMPRESSORS[version],
        chunk_key_encoding={"name": "default" if version == 3 else "v2", "separator": "/"},
        dimension_names=list(names) if version == 3 else None,
    )
