"""Whole volumes on another grid, so that all methods see and are scored on the same one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from ..slices.grid import resize_plane
from ..types import Array, Landmark, Volume

__all__ = ["resample_points", "resample_volume", "resampled_shape"]


def resampled_shape(
    volume: Volume, axis: int, spacing: float, mode: Literal["inplane", "isotropic"]
) -> tuple[int, ...]:
    """Shape at a spacing in mm.

    Parameters
    ----------
    volume : Volume
        What is to be resampled.
    axis : int
        Working axis in file order, whose length ``inplane`` keeps.
    spacing : float
        mm.
    mode : {"inplane", "isotropic"}
        Rows and columns only, or the slices too.
    """
    shape = [
        max(1, round(n * size / spacing))
        for n, size in zip(volume.shape, volume.spacing, strict=True)
    ]
    if volume.ndim == 3 and mode == "inplane":
        shape[axis] = volume.shape[axis]
    return tuple(shape)


def resample_volume(volume: Volume, shape: Sequence[int], *, labels: bool = False) -> Volume:
    """Bring a volume to another shape that covers the same region.

    Images are interpolated linearly, averaged where they shrink; of labels the nearest is taken.
    """
    old = volume.shape
    if tuple(shape) == old:
        return volume
    data = volume.data if labels else volume.data.astype(np.float32)
    planes = np.moveaxis(data, -1, 0) if volume.has_channels else data
    planes = resize_plane(planes, (shape[-2], shape[-1]), nearest=labels)
    if volume.ndim == 3:
        # Along the first axis: the others lie flat behind it.
        moved = np.moveaxis(planes, -3, -2)
        moved = resize_plane(moved, (shape[0], shape[2]), nearest=labels)
        planes = np.moveaxis(moved, -2, -3)
    if volume.has_channels:
        planes = np.moveaxis(planes, 0, -1)
    ratio = [n / m for n, m in zip(old, shape, strict=True)]
    sizes = tuple(size * r for size, r in zip(volume.spacing, ratio, strict=True))
    affine = None if volume.affine is None else _scaled(volume.affine, ratio)
    return replace(
        volume, data=np.ascontiguousarray(planes), spacing=sizes, affine=affine, header=None
    )


def resample_points(
    points: Sequence[Landmark], old: Sequence[int], new: Sequence[int]
) -> tuple[Landmark, ...]:
    """Bring landmarks from a grid to another one of the same region; shapes in file order."""
    before, after = ((1,) * (3 - len(shape)) + tuple(shape) for shape in (old, new))
    moved = []
    for point in points:
        z, y, x = (
            (p + 0.5) * m / n - 0.5 for p, n, m in zip(point.position, before, after, strict=True)
        )
        moved.append(replace(point, position=(z, y, x)))
    return tuple(moved)


def _scaled(affine: Array, ratio: Sequence[float]) -> Array:
    """Affine of the new grid; ratio: new voxels in old ones."""
    factors = np.ones(3)
    factors[3 - len(ratio) :] = ratio
    result = np.array(affine, dtype=np.float64)
    result[:, :3] = affine[:, :3] * factors
    # The middle of the first new voxel lies half a new voxel from the corner of the old one.
    result[:, 3] = affine[:, 3] + affine[:, :3] @ (0.5 * factors - 0.5)
    return result
