"""Arrays that need not fit in memory: large ones lie in a nameless temporary file."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from typing import IO

import numpy as np
import numpy.typing as npt

from .arrays import release
from .errors import InputError
from .types import Array

__all__ = ["IN_MEMORY", "bands", "contiguous", "duplicate", "scratch_array"]

IN_MEMORY = 64 * 2**20
"""Bytes of an array above which it lies in a temporary file."""
_RUN = 1024
"""Values of a run that is copied: of four bytes, a page of memory."""
_AT_ONCE = 2**22
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def scratch_array(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Make an array of zeros: in memory up to 64 MB, else in a temporary file.

    The file has no name, or is marked for deletion; it goes when the array goes, also when the
    process is killed. Its room is taken at once, since a write to a mapped file on a full disk
    kills the process.

    Raises
    ------
    InputError
        If the folder for temporary files has no room for it.
    """
    kind = np.dtype(dtype)
    size = kind.itemsize * math.prod(shape)
    if size <= IN_MEMORY:
        return np.zeros(shape, dtype=kind)
    with tempfile.TemporaryFile(prefix="napari-fewshot-") as file:  # the map keeps it open
        _reserve(file, size)
        mapped: Array = np.memmap(file, dtype=kind, mode="r+", shape=shape)
    return mapped


def _reserve(file: IO[bytes], size: int) -> None:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    try:
        if size > free:
            raise OSError(errno.ENOSPC, "no room")
        file.truncate(size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in _FULL:
            return  # a file system that cannot reserve room
        raise InputError(
            "folder for temporary files",
            f"have room for {size / 2**30:.2f} GiB more",
            f"{tempfile.gettempdir()} with {free / 2**30:.2f} GiB",
            "Free some, or name a folder on a larger disk in the environment variable TMPDIR.",
        ) from error


def bands(length: int, size: int, at_once: int = 2**18) -> list[slice]:
    """Cut ``length`` rows of ``size`` values each into bands of about so many values."""
    step = max(1, at_once // max(1, size))
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def contiguous(array: Array) -> Array:
    """Return the array in C order, itself where it is; a large copy lies in a temporary file."""
    return array if array.flags.c_contiguous else duplicate(array)


def duplicate(array: Array) -> Array:
    """Copy an array to C order; a large copy lies in a temporary file."""
    if array.nbytes <= IN_MEMORY:
        return np.array(array, order="C")
    result = scratch_array(array.shape, array.dtype)
    # Whole pages of both files, as far as one block allows.
    block = [1] * array.ndim
    inner = int(np.argmin([abs(step) for step in array.strides]))
    for axis in dict.fromkeys([array.ndim - 1, inner, *reversed(range(array.ndim))]):
        room = _AT_ONCE // math.prod(block)
        limit = _RUN if axis in (inner, array.ndim - 1) else room
        block[axis] = max(1, min(array.shape[axis], limit, room))
    counts = [-(-length // side) for length, side in zip(array.shape, block, strict=True)]
    for corner in np.ndindex(*counts):
        part = tuple(slice(k * side, (k + 1) * side) for k, side in zip(corner, block, strict=True))
        result[part] = array[part]
        release(result)
        release(array)
    return result
