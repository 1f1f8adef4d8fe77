"""Which volumes are one image: several templates may be of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import is_lazy
from ..types import Volume

__all__ = ["number_images"]

_READ = 16
"""Slices that are compared of images that are read as they are indexed."""


def number_images(volumes: Sequence[Volume]) -> list[int]:
    """Number images from 0 in the order of their first appearance.

    Images of equal voxels are one, whatever they were read from: a file has several (time
    points), and one image is in several files. Their geometry may differ.
    """
    different: list[Volume] = []
    numbers = []
    for volume in volumes:
        same = (k for k, known in enumerate(different) if _is_same(volume, known))
        number = next(same, len(different))
        if number == len(different):
            different.append(volume)
        numbers.append(number)
    return numbers


def _is_same(one: Volume, other: Volume) -> bool:
    a: Any = one.data
    b: Any = other.data
    if a.shape != b.shape or one.has_channels != other.has_channels:
        return False
    where = _where(a)
    if a is b or (where is not None and where == _where(b)):
        return True
    lazy = not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray))
    some = np.linspace(0, len(a) - 1, min(_READ, len(a))).astype(int)
    # The middle first: there, other images nearly always differ.
    order = [len(a) // 2, *(some if lazy else range(len(a)))]
    return all(np.array_equal(np.asarray(a[k]), np.asarray(b[k]), equal_nan=True) for k in order)


def _where(array: Any) -> object:
    """What arrays that read the same memory, or compute the same, have in common."""
    if isinstance(array, np.ndarray):
        return array.__array_interface__["data"], array.strides, array.dtype
    return getattr(array, "name", None) if is_lazy(array) else None
