"""What a person would paint: a few slices of a phantom."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..errors import InputError
from ..types import Volume
from .phantom import Phantom, is_whole

__all__ = ["painted_labels", "template_slices"]


def template_slices(phantom: Phantom, n: int, axis: int = 0) -> tuple[int, ...]:
    """Choose ``n`` slices, evenly spaced over the range that holds labels.

    The range is cut into ``n`` equal parts and the middle of each is taken.

    Parameters
    ----------
    phantom : Phantom
        The patient.
    n : int
        At least 1, at most the number of slices in the range.
    axis : int
        Axis of the array, 0..2.

    Returns
    -------
    tuple of int
        Increasing.

    Raises
    ------
    InputError
        If ``n`` or ``axis`` breaks its limit.
    """
    _check_axis(axis)
    others = tuple(a for a in range(3) if a != axis)
    used = np.flatnonzero(phantom.labels.data.any(axis=others))
    first, last = int(used[0]), int(used[-1])
    if not is_whole(n) or not 1 <= n <= last - first + 1:
        raise InputError("n", f"be a whole number from 1 to {last - first + 1}", n)
    width = (last - first + 1) / n
    return tuple(int(first + (part + 0.5) * width) for part in range(n))


def painted_labels(phantom: Phantom, slices: Iterable[int], axis: int = 0) -> Volume:
    """Keep the labels of the given slices and clear all others.

    Parameters
    ----------
    phantom : Phantom
        The patient.
    slices : iterable of int
        Positions along ``axis``.
    axis : int
        Axis of the array, 0..2.

    Raises
    ------
    InputError
        If a slice or the axis lies outside of the volume.
    """
    _check_axis(axis)
    size = phantom.labels.shape[axis]
    chosen = sorted(set(slices))
    for position in chosen:
        if not 0 <= position < size:
            raise InputError("slices", f"lie within 0..{size - 1}", position)
    data = np.zeros_like(phantom.labels.data)
    where = (slice(None),) * axis + (chosen,)
    data[where] = phantom.labels.data[where]
    return phantom.labels.with_data(data)


def _check_axis(axis: int) -> None:
    if axis not in (0, 1, 2):
        raise InputError("axis", "be 0, 1 or 2", axis)
