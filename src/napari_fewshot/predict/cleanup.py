"""Connected components: remove the small and the stray parts of predicted labels."""

from __future__ import annotations

import numpy as np

from ..config import CleanupConfig
from ..errors import InputError
from ..types import Array

__all__ = ["clean_labels"]


def clean_labels(labels: Array, config: CleanupConfig, axis: int = 0) -> Array:
    """Remove components of each label that are small, or small beside its largest.

    A component is a set of touching voxels of one label. Voxels of removed components become
    background (0).

    Parameters
    ----------
    labels : array, shape (Z, Y, X) or (Y, X), integers
        A 2D image is one slice, whatever ``config.dimensions``.
    config : CleanupConfig
        With both rules, the largest component is kept only if it has the smallest size. With
        ``min_fraction`` 1 one component stays: of equal ones that which comes first in the array.
    axis : int
        Axis of the slices, for components in two dimensions.

    Returns
    -------
    array, shape and dtype of ``labels``
        A new array. :class:`InputError` if there are no integers, or no such axes.
    """
    if labels.ndim not in (2, 3) or labels.dtype.kind not in "iu":
        given = f"shape {labels.shape}, dtype {labels.dtype}"
        raise InputError("labels", "be an array of integers with two or three axes", given)
    if axis not in range(labels.ndim):
        raise InputError("axis", f"be in 0..{labels.ndim - 1}", axis)
    result = labels.copy()
    if not config.changes_labels:
        return result
    if labels.ndim == 3 and config.dimensions == 2:
        for part in np.moveaxis(result, axis, 0):
            _clean(part, config)
    else:
        _clean(result, config)
    return result


def _clean(labels: Array, config: CleanupConfig) -> None:
    """Clean one slice or volume in place."""
    from skimage.measure import label as find_components

    box = _foreground_box(labels)
    if box is None:
        return
    part = labels[box]
    # One pass for all labels: touching voxels are joined where their values are equal.
    components, count = find_components(
        part, background=0, return_num=True, connectivity=min(config.connectivity, part.ndim)
    )
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    keep = sizes >= config.min_size
    if config.min_fraction > 0:
        values = np.zeros(count + 1, part.dtype)
        values[components] = part
        # By value, then size, the largest first; components are numbered in array order.
        order = np.lexsort((np.arange(1, count + 1), -sizes[1:], values[1:])) + 1
        _, first, counts = np.unique(values[order], return_index=True, return_counts=True)
        enough = sizes[order] / np.repeat(sizes[order[first]], counts) > config.min_fraction
        enough[first] = True  # of equal ones, where all but the largest go
        keep[order] &= enough
    keep[0] = True
    part[~keep[components]] = 0


def _foreground_box(labels: Array) -> tuple[slice, ...] | None:
    """Return the smallest box that holds all labels, None where there are none."""
    foreground = labels != 0
    box = []
    for axis in range(labels.ndim):
        others = tuple(number for number in range(labels.ndim) if number != axis)
        places = np.flatnonzero(foreground.any(axis=others))
        if len(places) == 0:
            return None
        box.append(slice(int(places[0]), int(places[-1]) + 1))
    return tuple(box)
