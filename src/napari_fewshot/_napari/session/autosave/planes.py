"""Slices of layers on disk, of which those of the last save stay until the next one is whole.

The array of a layer has two places for each slice, ``(2, *shape)``. A save writes slices that have
changed to the place that does not count, and which one counts is said by the description of the
session, which is replaced last: a process that is killed meanwhile leaves the last save.
"""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import InputError
from ....io.zarr.arrays import check_codecs
from ....memory import free_memory
from ....types import Array
from ..slicing import Key, Slicing

__all__ = ["PlaneFiles", "read_planes"]

_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-confidence)?(\.\d{1,9})?")
"""Names of arrays: the identity of a layer, and a number where there was one before.

No other is read or removed.
"""


@dataclass(frozen=True)
class _Stored:
    """An array on disk: check sum of each slice, and the place that holds it."""

    name: str
    array: Any
    sums: dict[Key, int] = field(default_factory=dict)
    places: dict[Key, int] = field(default_factory=dict)

    def copy(self) -> _Stored:
        return _Stored(self.name, self.array, dict(self.sums), dict(self.places))


class PlaneFiles:
    """Arrays of a session in a folder; after the first time only slices that changed are written.

    What :meth:`write` has written counts from :meth:`kept` on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: dict[str, _Stored] = {}
        self._next: dict[str, _Stored] = {}

    def write(self, name: str, data: Any, slicing: Slicing, dtype: Any = None) -> dict[str, Any]:
        """Write the slices that are not as they were last; return what finds them again.

        ``name`` is that of a layer; ``dtype`` that on the disk, None: as it is.
        """
        dtype = np.dtype(data.dtype if dtype is None else dtype)
        stored = self._stored(name, data.shape, dtype, slicing)
        keys = _keys(slicing)
        for key in keys:
            plane = np.ascontiguousarray(slicing.plane(data, key))
            found = zlib.crc32(plane.tobytes())
            if stored.sums.get(key) != found:
                place = 1 - stored.places.get(key, 1)
                stored.array[(place, *slicing.index(key))] = plane.astype(dtype, copy=False)
                stored.sums[key], stored.places[key] = found, place
        self._next[name] = stored
        return {"array": stored.name, "places": "".join(str(stored.places[key]) for key in keys)}

    def begin(self) -> None:
        """Begin a save: one that failed has written nothing that counts."""
        self._next = {}

    def kept(self) -> None:
        """The description names what was written: the arrays of other layers are removed."""
        self._last = self._next
        names = {stored.name for stored in self._last.values()}
        for path in self.folder.glob("*"):
            if _NAME.fullmatch(path.name) and path.name not in names:
                shutil.rmtree(path, ignore_errors=True)

    def _stored(self, name: str, shape: tuple[int, ...], dtype: Any, slicing: Slicing) -> _Stored:
        """Where a layer is written: its array of the last save, a new one if that does not fit."""
        import zarr
        from zarr.codecs import ZstdCodec

        last = self._last.get(name)
        if last is not None:
            # It may be gone: another session writes to the folder, or somebody has emptied it.
            is_there = (self.folder / last.name / "zarr.json").is_file()
            if is_there and (last.array.shape, last.array.dtype) == ((2, *shape), dtype):
                return last.copy()
        free = (f"{name}.{number}" if number else name for number in range(10**9))
        own = next(one for one in free if not (self.folder / one).exists())
        chunks = [1] * slicing.leading + list(slicing.shape[slicing.leading :])
        if slicing.layer_axis is not None:
            chunks[slicing.layer_axis] = 1
        array = zarr.create_array(
            str(self.folder / own),
            shape=(2, *shape),
            chunks=(1, *chunks),
            dtype=dtype,
            fill_value=0,
            compressors=ZstdCodec(level=0, checksum=True),  # damaged paint is not taken for paint
        )
        return _Stored(own, array)


def read_planes(folder: Path, about: Mapping[str, Any], axis: int) -> Array:
    """Read what :meth:`PlaneFiles.write` has told of; ``axis`` is that of the slices.

    Raises whatever zarr makes of a damaged file, and InputError where it claims too much.
    """
    import zarr

    name, places = str(about["array"]), about.get("places")
    if not _NAME.fullmatch(name):
        raise InputError("array", "have the name of a layer", name)
    stored = zarr.open_array(str(folder / name), mode="r")
    check_codecs(stored, folder / name)
    shape = stored.shape if places is None else stored.shape[1:]
    needed = int(np.prod(shape, dtype=object)) * stored.dtype.itemsize
    if needed > free_memory():
        raise InputError("array", "fit into the memory that is free", f"{needed / 1e9:.1f} GB")
    if places is None:  # a session of format 1, which has one place for each slice
        return np.asarray(stored[...])
    slicing = Slicing(shape, axis)
    data = np.zeros(shape, stored.dtype)
    for key, place in zip(_keys(slicing), places, strict=True):
        index = slicing.index(key)
        data[index] = stored[({"0": 0, "1": 1}[place], *index)]
    return data


def _keys(slicing: Slicing) -> list[Key]:
    """All slices, in order."""
    return [key for lead in slicing.leads() for key in slicing.keys(lead)]
