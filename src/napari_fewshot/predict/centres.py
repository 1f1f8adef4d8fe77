"""Middles of parts of an array, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..scratch import scratch_array
from ..types import Array, Box
from .components import AT_ONCE, block_by_block, blocks_of
from .domes import cells, cells_needed

__all__ = ["centre_of"]


def centre_of(
    core: Callable[[Box], Array],
    weights: Callable[[Box], Array],
    shape: tuple[int, ...],
    spacing: Array,
) -> tuple[Array, float]:
    """Find the weighted centre of a part of an array, and the sum of its weights.

    Where the centre is not in the part, that is the part's voxel farthest from its border; in
    arrays of more than four million voxels, the middle of such a cell of several voxels.

    Parameters
    ----------
    core, weights : callable
        Give booleans and weights of a box: what is in the part, and by how much it counts there, 0
        outside.
    shape : tuple of int
        Of the array; at least one voxel is in the part.
    spacing : array, shape (axes,)
        Size of a voxel, in mm.
    """
    sums = [np.zeros(length) for length in shape]
    for where in blocks_of(shape):
        part = weights(where).astype(np.float64)
        for axis, side in enumerate(where):
            others = tuple(number for number in range(part.ndim) if number != axis)
            sums[axis][side] += part.sum(axis=others)
    mass = float(sums[0].sum())
    if mass > 0:
        centre = np.array([float(along @ np.arange(len(along))) / mass for along in sums])
        if core(tuple(slice(int(at), int(at) + 1) for at in np.round(centre))).any():
            return centre, mass
    return _deepest(core, shape, spacing), mass


def _deepest(core: Callable[[Box], Array], shape: tuple[int, ...], spacing: Array) -> Array:
    part = block_by_block(shape, 0, core, scratch_array(shape, bool))
    if part.size <= AT_ONCE:
        return _deepest_voxel(part, spacing)
    side = cells_needed(part, AT_ONCE)
    full = cells(part, side, np.logical_and)
    some = full if full.any() else cells(part, side, np.logical_or)
    start = (_deepest_voxel(some, spacing * side) * side).astype(int)
    cell = part[tuple(slice(at, at + side) for at in start)]
    if full.any():
        return start + (np.array(cell.shape) - 1) / 2
    return start + _deepest_voxel(cell, spacing)


def _deepest_voxel(part: Array, spacing: Array) -> Array:
    from scipy import ndimage

    (box,) = ndimage.find_objects(part.view(np.uint8))
    depth = ndimage.distance_transform_edt(np.pad(part[box], 1), sampling=spacing)
    deepest = np.array(np.unravel_index(depth.argmax(), depth.shape), float) - 1
    deepest += [side.start for side in box]
    return deepest
