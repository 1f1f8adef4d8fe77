"""One slice's features as a zarr array of a single chunk, with a checksum over all of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..types import Array, FeatureMap

__all__ = ["FORMAT", "PackedMap", "pack", "read_entry", "write_entry"]

FORMAT = 1
ATTRIBUTE = "napari_fewshot"
HALF_MAX = 65504.0
HALF_SMALL = 2.0**-8


@dataclass(frozen=True, eq=False)
class PackedMap:
    """A feature map in float16, and the power of two that its values were divided by.

    Parameters
    ----------
    data : array, shape (C, h, w), float16
    scale : float
        1 unless the largest absolute value is beyond float16 (65504) or so small that float16
        would lose digits of it; a power of two, so that dividing rounds nothing.
    shape, extent
        As in :class:`~napari_fewshot.types.FeatureMap`.
    """

    data: Array
    scale: float
    shape: tuple[int, int]
    extent: tuple[float, float]

    def unpack(self) -> FeatureMap:
        """Return the feature map: float16, or float32 where a scale had to be used."""
        data = self.data
        if self.scale != 1.0:
            data = data.astype(np.float32) * np.float32(self.scale)
        return FeatureMap(data, self.shape, self.extent)


def pack(data: Array, shape: tuple[int, int], extent: tuple[float, float]) -> PackedMap:
    """Round finite features, shape (C, h, w), float32, to float16."""
    peak = float(np.abs(data).max(initial=0.0))
    scale = 1.0
    if peak > HALF_MAX or 0 < peak < HALF_SMALL:
        scale = 2.0 ** (math.frexp(peak)[1] - 15)
        data = data / np.float32(scale)
    return PackedMap(np.ascontiguousarray(data, dtype=np.float16), scale, shape, extent)


def write_entry(folder: Path, packed: PackedMap, names: dict[str, str]) -> None:
    """Write an entry to a folder that does not exist yet.

    ``names`` (signature and key) are kept with it, so that an entry that was copied to the
    wrong place is recognised.
    """
    import zarr

    about = _about(packed, names)
    array = zarr.create_array(
        str(folder),
        shape=packed.data.shape,
        chunks=packed.data.shape,
        dtype=packed.data.dtype,
        compressors=None,  # float16 features hardly shrink
        filters=None,
        fill_value=0,
        attributes={ATTRIBUTE: {**about, "digest": _digest(packed.data, about)}},
        dimension_names=("channel", "y", "x"),
        zarr_format=3,
        config={"write_empty_chunks": True},  # a missing chunk must not read as zeros
    )
    array[...] = packed.data


def read_entry(folder: Path, names: dict[str, str]) -> PackedMap | None:
    """Read an entry; None when it is absent, damaged, half-written or another's."""
    if not folder.is_dir():
        return None
    try:
        return _read(folder, names)
    except Exception:  # a damaged file may raise anything; what it held is computed again
        return None


def _read(folder: Path, names: dict[str, str]) -> PackedMap | None:
    import zarr

    array = zarr.open_array(str(folder), mode="r")
    about: dict[str, Any] = dict(cast(Mapping[str, Any], array.attrs[ATTRIBUTE]))
    digest = about.pop("digest")
    # The size on disk first: a damaged shape must not ask for the memory of the machine.
    if array.dtype != np.float16 or (folder / "c/0/0/0").stat().st_size != array.nbytes:
        return None
    packed = PackedMap(
        np.asarray(array[...]),
        float(about["scale"]),
        (int(about["shape"][0]), int(about["shape"][1])),
        (float(about["extent"][0]), float(about["extent"][1])),
    )
    expected = _about(packed, names)
    return packed if about == expected and digest == _digest(packed.data, expected) else None


def _about(packed: PackedMap, names: dict[str, str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "scale": packed.scale,
        "shape": list(packed.shape),
        "extent": list(packed.extent),
        **names,
    }


def _digest(data: Array, about: dict[str, Any]) -> str:
    head = json.dumps([about, list(data.shape)], sort_keys=True)
    digest = hashlib.blake2b(head.encode(), digest_size=20)
    digest.update(np.ascontiguousarray(data).view(np.uint8).data)
    return digest.hexdigest()
