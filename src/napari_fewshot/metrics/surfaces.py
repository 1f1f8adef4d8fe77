"""Distances between the surfaces of predicted and true labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..types import Array

__all__ = ["surface_voxels", "symmetric_surface_distances"]


def surface_voxels(labels: Array) -> Array:
    """Mark the voxels of each label that have a face neighbour of another value.

    Outside the array there is background. Axes of length 1 are not looked along, so that a
    single slice has outlines, not faces.

    Parameters
    ----------
    labels : array, any shape, integers
        All labels are done at once; 0 is background and has no surface.

    Returns
    -------
    array, shape of ``labels``, bool
    """
    surface = np.zeros(labels.shape, bool)
    for axis, length in enumerate(labels.shape):
        if length == 1:
            continue
        here = np.moveaxis(labels, axis, 0)
        marks = np.moveaxis(surface, axis, 0)
        differs = here[1:] != here[:-1]
        marks[1:] |= differs
        marks[:-1] |= differs
        marks[0] = True
        marks[-1] = True
    surface &= labels != 0
    return surface


def symmetric_surface_distances(
    pred: Array, truth: Array, spacing: Sequence[float], size: int, keep: Array | None
) -> Array:
    """Return the average symmetric surface distance of each label.

    The distances of the surface voxels of the prediction to the true surface, and of the
    true ones to the predicted surface, are summed and divided by their number. Surfaces are
    those of the whole masks; surface voxels outside ``keep`` are there to be near to, but
    their own distances are not counted. Distances are those of voxel centres.

    Parameters
    ----------
    pred, truth : array, of one shape
        Unsigned integers below ``size``.
    spacing : sequence of float
        mm, in array order.
    size : int
        Number K of indices, background included.
    keep : array, shape of ``truth``, bool, optional
        Voxels that are counted; None counts all.

    Returns
    -------
    array, shape (K,), float64
        In mm; nan where either surface is missing, and for index 0.
    """
    from scipy.spatial import cKDTree

    result = np.full(size, np.nan)
    ours = _points_by_label(pred, spacing, size, keep)
    theirs = _points_by_label(truth, spacing, size, keep)
    for index in range(1, size):
        (points, counted), (true_points, true_counted) = ours[index], theirs[index]
        if len(points) == 0 or len(true_points) == 0:
            continue
        # Trees of surface points, not distance maps: their cost grows with the surface, not
        # with the box, which scattered false voxels make as large as the volume.
        outward = cKDTree(true_points).query(points[counted])[0]
        inward = cKDTree(points).query(true_points[true_counted])[0]
        number = outward.size + inward.size
        if number:
            result[index] = (outward.sum() + inward.sum()) / number
    return result


def _points_by_label(
    labels: Array, spacing: Sequence[float], size: int, keep: Array | None
) -> list[tuple[Array, Array]]:
    where = np.nonzero(surface_voxels(labels))
    values = labels[where]
    order = np.argsort(values, kind="stable")
    points = np.stack(where, axis=1)[order] * np.asarray(spacing, float)
    counted = np.ones(len(order), bool) if keep is None else keep[where][order]
    ends = np.cumsum(np.bincount(values, minlength=size))[:-1]
    return list(zip(np.split(points, ends), np.split(counted, ends), strict=True))
