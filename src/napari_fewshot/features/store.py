"""Features on disk: each slice is computed once, by whichever run comes first."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..config import STORE_LIMIT_GB
from ..errors import FewShotError, InputError
from ..folders import cache_folder, with_home
from ..io.zarr.arrays import check_codecs
from ..types import Array, FeatureMap

__all__ = [
    "FORMAT",
    "FeatureStore",
    "PackedMap",
    "default_store_root",
    "pack",
    "write_entry",
]

FORMAT = 1
ATTRIBUTE = "napari_fewshot"
HALF_MAX = 65504.0
HALF_SMALL = 2.0**-8


@dataclass(frozen=True, eq=False)
class PackedMap:
    """A feature map as float16 ``data``, (C, h, w), and what its values were divided by.

    ``scale`` is 1 unless the largest value is beyond float16 (65504) or so small that digits would
    be lost; a power of two, so that dividing rounds nothing. The rest is as in ``FeatureMap``.
    """

    data: Array
    scale: float
    shape: tuple[int, int]
    extent: tuple[float, float]
    origin: tuple[int, int] = (0, 0)

    def unpack(self) -> FeatureMap:
        """Return the feature map: float16, or float32 where a scale had to be used."""
        data = self.data
        if self.scale != 1.0:
            data = data.astype(np.float32) * np.float32(self.scale)
        return FeatureMap(data, self.shape, self.extent, self.origin)


def pack(features: FeatureMap) -> PackedMap:
    """Round finite features, float32, to float16."""
    data = features.data
    peak = float(np.abs(data).max(initial=0.0))
    scale = 1.0
    if peak > HALF_MAX or 0 < peak < HALF_SMALL:
        scale = 2.0 ** (math.frexp(peak)[1] - 15)
        data = data / np.float32(scale)
    half = np.ascontiguousarray(data, dtype=np.float16)
    return PackedMap(half, scale, features.shape, features.extent, features.origin)


def write_entry(folder: Path, packed: PackedMap, names: dict[str, str]) -> None:
    """Write an entry to a folder that does not exist yet.

    By ``names`` (signature and key) one that was copied to the wrong place is recognised.
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


def _read_entry(folder: Path, names: dict[str, str]) -> PackedMap | None:
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
    check_codecs(array, folder)
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


ENVIRONMENT = "NAPARI_FEWSHOT_CACHE"
ENTRY_OVERHEAD = 6 * 4096
"""Bytes of folders and metadata of one entry, in blocks of 4 KiB."""
STALE_SECONDS = 3600.0
_ENTRY_NAME = re.compile(r"[0-9a-f]{40}")


def default_store_root() -> Path:
    """Folder of the store: below ``NAPARI_FEWSHOT_CACHE``, else in the user's cache folder."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return with_home(named, ENVIRONMENT) / "features"
    return (
        cache_folder("store", f"name a folder in {ENVIRONMENT}; --no-store keeps none") / "features"
    )


class FeatureStore:
    """A folder of feature maps, one zarr array for each slice.

    ``<root>/features-v1/<backbone>-<signature>/<key>`` holds a zarr 3 array of one chunk.
    The key names the content of a slice and of its context slices, so volumes and templates
    that have slices in common share entries. An entry is written to a temporary folder and
    renamed: it is there whole or not at all, whatever kills the process, and several processes
    may use one store. What is read is checked against a digest of data and metadata; an entry
    that fails is treated as absent and replaced by the next ``put``.

    Parameters
    ----------
    root : Path, optional
        Made when first written to; :func:`default_store_root` when None.
    free_bytes : callable, optional
        ``free_bytes(folder) -> int``: bytes left on the disk of a folder.
    limit_gb : float
        Size that :meth:`prune` leaves; runs call it at their end.

    Raises
    ------
    InputError
        If ``root`` is a file, or the limit is negative.
    """

    def __init__(
        self,
        root: Path | None = None,
        free_bytes: Callable[[Path], int] | None = None,
        limit_gb: float = STORE_LIMIT_GB,
    ) -> None:
        self.root = Path(root) if root is not None else default_store_root()
        if self.root.exists() and not self.root.is_dir():
            raise InputError("store", "be a folder", str(self.root))
        if not 0 <= limit_gb < math.inf:
            raise InputError("store_limit", "be at least 0, and finite", limit_gb)
        self.limit = int(limit_gb * 1e9)
        self._free_bytes = free_bytes or (lambda folder: shutil.disk_usage(folder).free)
        self._swept = False

    def get(self, signature: str, key: str) -> PackedMap | None:
        """Read the features of a slice; None when they are not there or not to be trusted."""
        folder = self._folder(signature, key)
        found = _read_entry(folder, {"signature": signature, "key": key})
        if found is not None:
            with contextlib.suppress(OSError):  # a store on a read-only disk is still of use
                os.utime(folder)
        return found

    def has(self, signature: str, key: str) -> bool:
        """Whether there is an entry, without reading it (it may turn out to be damaged)."""
        return self._folder(signature, key).is_dir()

    def put(self, signature: str, entries: Mapping[str, PackedMap]) -> None:
        """Write the features of slices, given by key; entries appear whole.

        All are written before the first is renamed, so that a kill rarely divides a batch. A full
        disk is a FewShotError, and nothing half-written is left.
        """
        staging = self._staging()
        try:
            self._sweep()
            self._describe(signature)
            staging.mkdir(parents=True)
            for key, packed in entries.items():
                write_entry(staging / key, packed, {"signature": signature, "key": key})
            for key in entries:
                self._publish(staging / key, self._folder(signature, key), signature)
        except OSError as error:
            raise FewShotError(
                f"Features could not be written to {self.root}: {error.strerror or error}. Free "
                f"some space, or set {ENVIRONMENT} to a folder on another disk."
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def require_space(self, needed: int) -> None:
        """Check that ``needed`` more bytes fit on the disk; the FewShotError says what is free."""
        folder = self.root
        while not folder.exists():
            folder = folder.parent
        free = self._free_bytes(folder)
        if needed > free:
            raise FewShotError(
                f"The features need about {needed / 1e6:.1f} MB in {self.root}, and "
                f"{free / 1e6:.1f} MB are free. Free some space, set {ENVIRONMENT} to a folder on "
                "another disk, or work without a store."
            )

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(_tree_bytes(folder) for folder in self._entries())

    def prune(self) -> int:
        """Remove the least recently used entries down to the limit; returns the bytes removed."""
        found = []
        for folder in self._entries():
            with contextlib.suppress(OSError):  # removed by another process
                found.append((folder.stat().st_mtime_ns, _tree_bytes(folder), folder))
        excess = sum(size for _, size, _ in found) - self.limit
        removed = 0
        for _, size, folder in sorted(found):
            if removed >= excess:
                break
            with contextlib.suppress(OSError):  # in use, on Windows: it stays
                self._discard(folder)
                removed += size
        self._sweep()
        return removed

    def clear(self) -> None:
        """Remove all entries, and nothing else that may lie in the folder."""
        for folder in list(self._entries()):
            with contextlib.suppress(OSError):
                self._discard(folder)
        for group in self.root.glob("features-v*/*/zarr.json"):
            with contextlib.suppress(OSError):
                group.unlink()
                group.parent.rmdir()

    def _entries(self) -> Iterator[Path]:
        for folder in self.root.glob("features-v*/*/*"):
            if _ENTRY_NAME.fullmatch(folder.name) and folder.is_dir():
                yield folder

    def _group(self, signature: str) -> Path:
        about = json.loads(signature)
        name = re.sub(r"[^A-Za-z0-9.]+", "-", str(about["backbone"]))[:60]
        digest = hashlib.sha256(signature.encode()).hexdigest()[:16]
        return self.root / f"features-v{FORMAT}" / f"{name}-{digest}"

    def _folder(self, signature: str, key: str) -> Path:
        return self._group(signature) / key

    def _staging(self) -> Path:
        return self.root / "staging" / uuid.uuid4().hex

    def _describe(self, signature: str) -> None:
        """Make the folder of a signature a zarr group that says what it holds."""
        import zarr

        group = self._group(signature)
        if (group / "zarr.json").exists():
            return
        group.mkdir(parents=True, exist_ok=True)
        staging = self._staging()
        zarr.create_group(str(staging), attributes={"signature": signature})
        (staging / "zarr.json").replace(group / "zarr.json")
        staging.rmdir()

    def _publish(self, staged: Path, final: Path, signature: str) -> None:
        """Rename a whole entry to its place; where one is already, keep it if it is sound."""
        for _ in range(3):
            try:
                staged.rename(final)
                return
            except OSError:
                if not final.exists():
                    raise
            names = {"signature": signature, "key": final.name}
            if _read_entry(final, names) is not None:  # another process was faster
                return
            self._discard(final)
        raise FewShotError(f"The entry {final} of the feature store cannot be replaced.")

    def _discard(self, folder: Path) -> None:
        """Remove an entry in one step, so that no reader sees half of it."""
        trash = self._staging()
        trash.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(trash)
        except FileNotFoundError:
            return
        if trash.is_dir():
            shutil.rmtree(trash, ignore_errors=True)
        else:
            trash.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Once per store, remove what killed processes left in the staging folder."""
        if self._swept:
            return
        self._swept = True
        for folder in (self.root / "staging").glob("*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)


def _tree_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file():
                total += path.stat().st_size
    return total
