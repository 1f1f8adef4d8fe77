"""Templates whose labels are instances: many that look alike, each of which occurs once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..templates.template import Template
from ..types import Array

__all__ = ["are_instances", "count_instances", "merge_labels"]

_MANY = 8
"""Labels from which on they may be instances."""
_PARTS = 1.1
"""Connected parts of a label on a slice, at most, as a mean: an instance is one."""
_LOOK = 5
"""Slices of a template that are looked at, at most."""
_ALIKE = 16.0
"""Area of the upper quartile over that of the lower, at most: organs differ more."""


def count_instances(templates: Sequence[Template]) -> int:
    """Number of labels if they are instances, as far as one can see, else 0.

    They are as in :func:`are_instances` in one template, and have no names of their own. Each would
    be learned as a class.
    """
    return max((_count(template) for template in templates), default=0)


def _count(template: Template) -> int:
    planes = list(template.painted_planes(template.file_axis()).values())
    named = any(name != str(value) for value, name in template.names.items())
    if named or not planes:
        return 0
    some = [planes[k] for k in sorted({round(k) for k in np.linspace(0, len(planes) - 1, _LOOK)})]
    known = [np.where(plane == template.background, 0, plane) for plane in some]
    return len(template.painted_labels()) if are_instances(known) else 0


def are_instances(planes: Sequence[Array]) -> bool:
    """Whether labels of slices look like instances.

    They are eight or more, each in one part on its slices, and of like sizes.

    Parameters
    ----------
    planes : sequence of int array, each of shape (H, W)
        0 is background; values below count for nothing.
    """
    from skimage.measure import label

    labels: set[int] = set()
    areas: list[int] = []
    parts = 0
    for plane in planes:
        known = np.maximum(plane, 0)
        values, sizes = np.unique(known[known > 0], return_counts=True)
        labels.update(values.tolist())
        areas += sizes.tolist()
        parts += int(label(known, background=0, return_num=True)[1])
    if len(labels) < _MANY or parts > _PARTS * len(areas):
        return False
    low, high = np.percentile(areas, (25, 75))
    return bool(high <= _ALIKE * low)


def merge_labels(template: Template, name: str = "object") -> Template:
    """Return the template with all of its labels as one, of this name.

    It is label 1, or 2 where background is painted as 1.

    Raises
    ------
    InputError
        If it has points, whose labels are names of places.
    """
    if template.points:
        raise InputError("points", "not be merged", f"{len(template.points)} landmarks")
    volume = template.label_volume
    if volume is None:  # without points there are labels
        return template
    merged = 2 if template.kind == "scribble" and template.background == 1 else 1
    data = np.where(volume.data > 0, merged, volume.data).astype(np.int32)
    if template.kind == "scribble":
        data = np.where(volume.data == template.background, template.background, data)
    axis = template.axis
    if axis is None and template.volume.ndim == 3:
        axis = template.file_axis()
    names = {merged: name}
    slices = template.painted_slices() if template.slices is None else template.slices
    return replace(
        template,
        labels=volume.with_data(data, names=names),
        slices=slices,
        known_labels=None if template.known_labels is None else (merged,),
        axis=axis,
        names=names,
    )
