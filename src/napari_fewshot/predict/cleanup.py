"""Connected components: remove the small and the stray parts of predicted labels."""

from __future__ import annotations

import numpy as np

from ..arrays import release
from ..config import CleanupConfig
from ..errors import InputError
from ..scratch import duplicate, scratch_array
from ..types import Array, Box
from .components import Components, box_of

__all__ = ["clean_labels"]


def clean_labels(labels: Array, config: CleanupConfig) -> Array:
    """Remove components of each label that are small, or small beside its largest.

    A component is a set of touching voxels of one label. Voxels of removed components become
    background (0).

    Parameters
    ----------
    labels : array, shape (slices, H, W) or (H, W), integers
        A 2D image is one slice, whatever ``config.dimensions``.
    config : CleanupConfig
        With both rules, the largest component is kept only if it has the smallest size. With
        ``min_fraction`` 1 one component stays: of equal ones that which comes first in the array.

    Returns
    -------
    array, shape and dtype of ``labels``
        A new array, in a temporary file where it is large. :class:`InputError` if there are no
        integers, or other axes.
    """
    if labels.ndim not in (2, 3) or labels.dtype.kind not in "iu":
        given = f"shape {labels.shape}, dtype {labels.dtype}"
        raise InputError("labels", "be an array of integers with two or three axes", given)
    if not config.changes_labels:
        return duplicate(labels)
    result = scratch_array(labels.shape, labels.dtype)
    if labels.ndim == 3 and config.dimensions == 2:
        for part, cleaned in zip(labels, result, strict=True):
            _clean(part, cleaned, config)
    else:
        _clean(labels, result, config)
    return result


def _clean(labels: Array, result: Array, config: CleanupConfig) -> None:
    """Copy what stays of one slice or volume to an array of zeros."""
    box = box_of(labels, lambda part: part != 0)
    if box is None:
        return
    part, cleaned = labels[box], result[box]

    def read(where: Box) -> Array:
        release(labels)
        return np.asarray(part[where])

    # One pass for all labels: touching voxels are joined where their values are equal.
    components = Components(read, part.shape, config.connectivity)
    keep = _kept(components, config)
    for where, numbers, names in components.blocks(keep):
        np.copyto(cleaned[where], read(where), where=keep[names][numbers])
        release(result)


def _kept(components: Components, config: CleanupConfig) -> Array:
    """Which components stay; [0] is background."""
    sizes = components.sizes
    keep: Array = sizes >= config.min_size
    if config.min_fraction > 0:
        values = components.values
        # By value, then size, the largest first; components are numbered in array order.
        order = np.lexsort((np.arange(1, len(sizes)), -sizes[1:], values[1:])) + 1
        _, first, counts = np.unique(values[order], return_index=True, return_counts=True)
        enough = sizes[order] / np.repeat(sizes[order[first]], counts) > config.min_fraction
        enough[first] = True  # of equal ones, where all but the largest go
        keep[order] &= enough
    keep[0] = False
    return keep
