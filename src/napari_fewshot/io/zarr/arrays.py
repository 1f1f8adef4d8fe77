"""Zarr folders, versions 2 and 3: what they hold, and arrays that are read block by block."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...arrays import block_shape, lazy_array
from ...errors import UnreadableFileError
from ...types import Array
from ..reading import check_room, telling_damage

if TYPE_CHECKING:
    import zarr

__all__ = ["array_of", "check_codecs", "holds_zarr", "open_node"]

_TITLE = "Zarr"
_MAX_BLOCKS = 2**18
"""Of 4 MB each: whatever a damaged shape claims."""
_MARKS = ("zarr.json", ".zarray", ".zgroup")


def holds_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return any((folder / mark).is_file() for mark in _MARKS)


def open_node(path: Path) -> zarr.Array[Any] | zarr.Group:
    """Open an array or a group for reading.

    Raises
    ------
    UnreadableFileError
        If its metadata cannot be read.
    """
    import zarr

    with telling_damage(path, _TITLE):
        return zarr.open(store=str(path), mode="r")


class _ZarrBlocks:
    """A Zarr array that says which folder it is when a block turns out to be damaged."""

    def __init__(self, array: zarr.Array[Any], path: Path) -> None:
        self._array, self._path = array, path
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)

    def __getitem__(self, index: Any) -> Array:
        with telling_damage(self._path, _TITLE):
            return np.asarray(self._array[index])


def check_codecs(array: zarr.Array[Any], path: Path) -> None:
    """Refuse an array whose blocks are pickles: reading one would run what it holds.

    Newer versions of Zarr refuse it themselves.

    Raises
    ------
    UnreadableFileError
        If it is one.
    """
    about = array.metadata.to_dict()
    codecs = [about.get(key) for key in ("filters", "compressor", "codecs")]
    if array.dtype.hasobject or "pickle" in repr(codecs).lower():
        remedy = "Save it as numbers."
        raise UnreadableFileError(str(path), "hold numbers", "pickled objects", remedy)


def array_of(array: zarr.Array[Any], path: Path) -> Array:
    """Return an array that is read as it is indexed, in blocks of whole chunks.

    Raises
    ------
    InputError
        If it claims more than a list of its blocks could hold, or blocks larger than the memory,
        or if these are pickles.
    """
    check_codecs(array, path)
    check_room(path, math.prod(array.chunks) * np.dtype(array.dtype).itemsize)
    sides = block_shape(array.shape, array.dtype.itemsize, array.chunks)
    count = math.prod(-(-n // max(1, side)) for n, side in zip(array.shape, sides, strict=True))
    if count > _MAX_BLOCKS:
        given = f"the shape {array.shape}"
        raise UnreadableFileError(str(path), "be of a size that can be read", given, "Crop it.")
    return lazy_array(_ZarrBlocks(array, path), array.chunks)
