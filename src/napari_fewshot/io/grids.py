"""Where the voxels of a volume lie: how far two affines are apart, and affines without shear."""

from __future__ import annotations

from itertools import product

import numpy as np

from ..types import Array

__all__ = ["largest_distance", "square_affines"]


def largest_distance(first: Array, second: Array, shape: tuple[int, ...]) -> float:
    """Largest distance in mm of the corners of a volume under two affines of the array index.

    Along an axis of one voxel the directions are compared, not the lengths: nobody knows how thick
    a single slice is.
    """
    full = (1,) * (3 - len(shape)) + shape
    first, second = np.array(first, np.float64), np.array(second, np.float64)
    steps = []
    for axis in (axis for axis in range(3) if full[axis] == 1):
        lengths = [np.linalg.norm(affine[:3, axis]) for affine in (first, second)]
        second[:3, axis] *= lengths[0] / lengths[1]
        # It has no far corner to show a different direction; one voxel shows it.
        steps.append([*(float(axis == k) for k in range(3)), 1.0])
    corners = [(*corner, 1.0) for corner in product(*((0.0, n - 1.0) for n in full))]
    offsets = np.array([*corners, *steps]) @ (first - second).T
    return float(np.linalg.norm(offsets[:, :3], axis=1).max())


def square_affines(affine: Array) -> list[Array]:
    """Affines with right angles that programs without shear give to a sheared volume.

    The slices along the first axis keep their place and rows; they follow each other along their
    normal at the distance of their centres (ITK), or at that of their planes. The last one is the
    nearest rotation (the qform of a sheared sform). Empty where the angles are right.
    """
    columns = np.array(affine[:3, :3], np.float64)
    lengths = np.linalg.norm(columns, axis=0)
    units = columns / lengths
    if np.abs(units.T @ units - np.eye(3)).max() < 1e-9:
        return []
    row = units[:, 2]
    down = units[:, 1] - (units[:, 1] @ row) * row
    down /= np.linalg.norm(down)
    normal = np.cross(row, down)
    normal *= np.sign(normal @ units[:, 0]) or 1.0
    left, _, right = np.linalg.svd(units)
    found = []
    for step in (lengths[0], columns[:, 0] @ normal):
        found.append(np.stack([normal * step, down * lengths[1], row * lengths[2]], axis=1))
    found.append((left @ right) * lengths)
    return [_with_columns(affine, one) for one in found]


def _with_columns(affine: Array, columns: Array) -> Array:
    result = np.array(affine, np.float64)
    result[:3, :3] = columns
    return result
