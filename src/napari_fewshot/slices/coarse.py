"""A whole volume on a coarse grid: small enough to compare it with others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..types import Array
from .grid import Grid, resize_plane
from .stack import SliceStack

__all__ = ["CoarseVolume", "coarse_grid", "coarse_volume", "extent_of"]

_MAX_SIDE = 128


@dataclass(frozen=True, eq=False)
class CoarseVolume:
    """Grey values of a volume in canonical order.

    Parameters
    ----------
    grey : uint8 array, shape (z, y, x)
        0 is black, 255 white, as the intensity settings say.
    spacing : tuple of float
        Of its voxels, in mm.
    """

    grey: Array
    spacing: tuple[float, float, float]

    @property
    def extent(self) -> Array:
        """Sides of the volume in mm, shape (3,)."""
        extent: Array = np.array(self.grey.shape) * np.array(self.spacing)
        return extent


def extent_of(stack: SliceStack) -> Array:
    """Sides of a stack in mm, in canonical order, shape (3,)."""
    extent = list(np.array(stack.grid.shape) * np.array(stack.spacing))
    first = extent.pop(0)
    extent.insert(stack.axis, first)
    return np.array(extent)


def coarse_grid(stack: SliceStack, most_voxels: int) -> Grid:
    """Grid of (slices, rows, columns) that has at most so many voxels, and 128 along a side.

    Voxels come as near to cubes as the slices let them.
    """
    shape = stack.grid.working
    sides = np.array(shape)
    mm = _working_spacing(stack)
    side = float(mm.min())
    while True:
        coarse = np.maximum(1, np.round(sides * mm / np.maximum(mm, side))).astype(int)
        if coarse.prod() <= most_voxels and coarse.max() <= _MAX_SIDE:
            break
        side *= 1.02
    return Grid(shape, (int(coarse[0]), int(coarse[1]), int(coarse[2])))


def coarse_volume(stack: SliceStack, most_voxels: int) -> CoarseVolume:
    """Read the slices of a stack, one after the other, on the grid of :func:`coarse_grid`.

    Channels are averaged.
    """
    grid = coarse_grid(stack, most_voxels)
    users: dict[int, list[tuple[int, float]]] = {}
    for number in range(grid.working[0]):
        for index, weight in grid.sources(number):
            users.setdefault(index, []).append((number, weight))
    volume = np.zeros(grid.working, np.float32)
    for index, numbers in sorted(users.items()):
        plane = resize_plane(stack.slice(index).mean(axis=0), grid.working[1:])
        for number, weight in numbers:
            volume[number] += np.float32(weight) * plane
    spacing = list(_working_spacing(stack) * np.array(grid.shape) / np.array(grid.working))
    first = spacing.pop(0)
    spacing.insert(stack.axis, first)
    grey = np.moveaxis(np.round(255 * np.clip(volume, 0, 1)).astype(np.uint8), 0, stack.axis)
    return CoarseVolume(
        np.ascontiguousarray(grey), (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    )


def _working_spacing(stack: SliceStack) -> Array:
    spacing: Array = np.array(stack.spacing) * stack.grid.shape / np.array(stack.grid.working)
    return spacing
