"""The smallest size of objects that painted slices speak for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..types import Array

__all__ = ["proposed_min_size"]

_MIN_OUTLINES = 5
"""Fewer tell nothing of sizes."""
_FRACTION = 0.25
"""Of a typical object: with more, small ones of a kind go; with less, much that is none stays."""


def proposed_min_size(
    planes: Sequence[Array], spacing: Sequence[float], axis: int | None = None
) -> int:
    """Propose the smallest size of objects: a quarter of a typical one, by what is painted.

    A typical object has the median of the painted outlines: its area, or in a volume the ball that
    has it as its largest one. Most slices show an object beside its middle, so that this is rather
    small. Of several labels, the one with the smallest objects counts.

    Parameters
    ----------
    planes : sequence of int array, each of shape (H, W)
        Slices on which all objects are painted, as classes or as instances. 0 is background; values
        below count for nothing.
    spacing : sequence of float
        Of the image, two or three numbers, all in one unit.
    axis : int, optional
        Axis of the slices in a volume.

    Returns
    -------
    int
        Pixels, in a volume voxels; 0 where fewer than five outlines of a label are painted. Labels
        with fewer, such as instances, are taken together.
    """
    groups = _outlines(planes)
    if not groups or min(map(len, groups)) < _MIN_OUTLINES:
        return 0
    area = min(float(np.median(areas)) for areas in groups)
    if len(spacing) == 2 or axis is None:
        return int(_FRACTION * area)
    pixel = math.prod(size for k, size in enumerate(spacing) if k != axis)
    radius = math.sqrt(area * pixel / math.pi)
    return int(_FRACTION * 4 / 3 * math.pi * radius**3 / math.prod(spacing))


def _outlines(planes: Sequence[Array]) -> list[list[int]]:
    """Areas of painted outlines in pixels, by label; labels with few are one group."""
    from skimage.measure import label

    found: dict[int, list[int]] = {}
    for plane in planes:
        parts = label(np.maximum(plane, 0), connectivity=1)
        sizes = np.bincount(parts.ravel())[1:]
        _, first = np.unique(parts, return_index=True)
        values = plane.ravel()[first[-len(sizes) :]] if len(sizes) else ()
        for value, size in zip(values, sizes.tolist(), strict=True):
            found.setdefault(int(value), []).append(size)
    many = [areas for areas in found.values() if len(areas) >= _MIN_OUTLINES]
    few = [size for areas in found.values() if len(areas) < _MIN_OUTLINES for size in areas]
    return [*many, few] if few else many
