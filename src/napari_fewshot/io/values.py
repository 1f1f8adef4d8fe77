"""Values of images and labels: which dtypes and numbers are accepted, and as what."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..types import Array

__all__ = ["as_image", "as_labels", "fitting_dtype"]

_LARGEST = int(np.iinfo(np.int32).max)


def as_image(array: Array, source: str) -> Array:
    """Bring image values to a dtype that the later stages take.

    Integers keep their dtype (in native byte order), truth values become ``uint8``, floats
    ``float32``. NaN and infinity stay: intensity normalisation ignores them. Constant images,
    all zero or all NaN, are images like others.

    Raises
    ------
    InputError
        If the values are complex or no numbers.
    """
    kind = array.dtype.kind
    if kind == "b":
        return array.astype(np.uint8)
    if kind in "iu":
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            return array.astype(np.float32, copy=False)
    raise InputError(
        source,
        "hold real numbers",
        f"values of type {array.dtype}",
        "Save the magnitude (or another real part) as an image of its own.",
    )


def as_labels(array: Array, source: str, has_channels: bool = False) -> Array:
    """Check label values and bring them to an integer dtype of at most 32 bits.

    Whole numbers stored as floats are accepted, and so are colour channels that all hold the
    same values.

    Parameters
    ----------
    array : array, shape (Z, Y, X) or (Y, X), with a last axis of channels if ``has_channels``
        Values as they were read.
    source : str
        Name of the file or argument, for messages.
    has_channels : bool
        Whether there is an axis of channels.

    Returns
    -------
    array without channels; ``uint8``, ``int8``, ``uint16``, ``int16`` and ``int32`` are kept,
    all others become ``int32``.

    Raises
    ------
    InputError
        If the values are colours, NaN or infinite, no whole numbers, negative, or above the
        largest 32-bit integer.
    """
    if has_channels:
        array = _single_channel(array, source)
    kind = array.dtype.kind
    if kind == "b":
        return array.astype(np.uint8)
    if kind == "f":
        _check_whole(array, source)
    elif kind not in "iu":
        raise InputError(source, "hold whole numbers as labels", f"values of type {array.dtype}")
    low, high = array.min(), array.max()
    if low < 0:
        raise InputError(
            source,
            "hold labels of at least 0",
            f"values down to {int(low)}",
            "Replace negative values: 0 is the background, labels count from 1.",
        )
    if high > _LARGEST:
        remedy = "Renumber the labels."
        raise InputError(source, f"hold labels up to {_LARGEST}", f"{int(high)}", remedy)
    small = kind != "f" and np.can_cast(array.dtype, np.int32)
    return array.astype(array.dtype.newbyteorder("=") if small else np.int32, copy=False)


def fitting_dtype(labels: Array) -> np.dtype[np.integer]:
    """Smallest of ``uint8``, ``uint16`` and ``int32`` that holds all label values.

    These three are read by every program for the formats written here. ``labels`` passed
    :func:`as_labels`.
    """
    high = int(labels.max(initial=0))
    for dtype in (np.uint8, np.uint16):
        if high <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.int32)


def _single_channel(array: Array, source: str) -> Array:
    first = array[..., :1]
    if not np.array_equal(array, np.broadcast_to(first, array.shape)):
        raise InputError(
            source,
            "hold one whole number for each pixel",
            f"a colour image of {array.shape[-1]} channels",
            "Save the labels as a grey or palette image.",
        )
    single: Array = first[..., 0]
    return single


def _check_whole(array: Array, source: str) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        raise InputError(
            source,
            "hold finite labels",
            f"{int((~finite).sum())} values that are NaN or infinite",
            "Replace them by 0, the background.",
        )
    broken = array != np.rint(array)
    if broken.any():
        raise InputError(
            source,
            "hold whole numbers as labels",
            f"values such as {float(array[broken][0]):g}",
            "Is it an image or a probability map, or was it interpolated? "
            "Resample labels with nearest neighbours.",
        )
