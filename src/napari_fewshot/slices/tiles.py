"""Cut a long side into overlapping tiles, and put the tiles' feature grids together again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..types import Array

__all__ = ["blend_weights", "stitch", "tile_starts"]


def tile_starts(length: int, tile: int, overlap: float, unit: int) -> tuple[int, ...]:
    """Origins of the tiles that cover a side.

    Parameters
    ----------
    length : int
        Side in pixels, a multiple of ``unit``.
    tile : int
        Side of a tile in pixels, a multiple of ``unit``.
    overlap : float
        Least share of a tile that it has in common with the next one.
    unit : int
        Origins are multiples of this (the cell size), so that the cells of neighbouring tiles
        fall on one another and stitching interpolates nothing.

    Returns
    -------
    tuple of int
        Spread evenly; the first is 0 and the last ``length - tile``.
    """
    span = (length - tile) // unit
    if span <= 0:
        return (0,)
    step = max(1, int(tile * (1 - overlap)) // unit)
    count = -(-span // step) + 1
    return tuple(round(i * span / (count - 1)) * unit for i in range(count))


def blend_weights(cells: int) -> Array:
    """Weight of each cell along one side of a tile: rises linearly from both ends.

    Divided by their sum over the tiles, these weights fade one tile into the next linearly,
    and are 1 where only one tile reaches. Shape (cells,), float32.
    """
    index = np.arange(cells, dtype=np.float32) + 0.5
    weights: Array = np.minimum(index, cells - index)
    return weights


def stitch(tiles: Iterable[tuple[tuple[int, int], Array]], grid: tuple[int, int]) -> Array:
    """Blend the feature grids of tiles into one.

    Parameters
    ----------
    tiles : iterable of ((row, column), array)
        Origin of each tile in cells, and its features, float32, shape (C, h, w).
    grid : tuple of int
        Cells (h, w) of the whole; cells of tiles beyond it are cut off.

    Returns
    -------
    array, shape (C, h, w), float32
    """
    total: Array | None = None
    weight = np.zeros(grid, np.float32)
    for (row, column), data in tiles:
        kept = data[:, : grid[0] - row, : grid[1] - column]
        rows = slice(row, row + kept.shape[1])
        columns = slice(column, column + kept.shape[2])
        one = np.outer(blend_weights(data.shape[1]), blend_weights(data.shape[2]))
        one = one[: kept.shape[1], : kept.shape[2]]
        if total is None:
            total = np.zeros((data.shape[0], *grid), np.float32)
        total[:, rows, columns] += kept * one
        weight[rows, columns] += one
    if total is None or not weight.all():
        raise ValueError("the tiles do not cover the grid")
    total /= weight
    return total
