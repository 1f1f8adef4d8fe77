"""NIfTI-1 and NIfTI-2, plain or gzipped, through nibabel.

Arrays are transposed from (i, j, k) to (k, j, i); nothing else moves. The header stays with the
volume, so that results are written with the same affine, codes, units and shape, exactly.

Slope and intercept are applied; integers without scaling keep their dtype, all else becomes
``float32``. Spacing and affine are in mm whatever the units of the header (unknown units are
taken as mm). The affine is that of the sform, else of the qform; a file with neither, or with a
singular one, has none. Colours (RGB24, RGBA32) become a last axis of channels, without alpha.
Trailing axes of one are dropped, and restored on writing. One more axis is that of time points.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..types import Array, Volume
from .blocks import slabs
from .checks import DEFLATE_LIMIT, as_image, damaged, frame_index, same_affine
from .formats import Format
from .outputs import replacing

__all__ = ["ENTRIES", "NiftiHeader", "read_nifti_frames", "write_nifti"]

_LOGGER = logging.getLogger(__name__)
_MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}
_SECONDS_PER_UNIT = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
_LABEL = "label"
_NIFTI1_LARGEST = 32767
# Labels shrink well at any level; higher ones cost seconds on confidence volumes.
_GZIP_LEVEL = 4

# nibabel is typed in part only.
Nifti1Header = Any
Nifti1Image = Any


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """What is kept of a file to write results on its grid.

    ``header`` is as it was read (of either version); ``shape`` is (i, j, k) on disk for results,
    with trailing axes of one; ``affine``, in array order and mm, shows whether a volume was
    changed since.
    """

    header: Nifti1Header
    shape: tuple[int, ...]
    affine: Array | None

    @property
    def says_labels(self) -> bool:
        """Whether the file says that its values are labels (intent code ``LABEL``)."""
        return bool(self.header.get_intent()[0] == _LABEL)

    @property
    def frame_step_s(self) -> float | None:
        """Seconds between frames, where the file says them."""
        sizes = self.header.get_zooms()
        factor = _SECONDS_PER_UNIT.get(self.header.get_xyzt_units()[1])
        if len(sizes) < 4 or factor is None or not np.isfinite(sizes[3]) or sizes[3] <= 0:
            return None
        return float(sizes[3]) * factor


def read_nifti_frames(path: Path, exact: bool = False) -> list[Volume]:
    """Read all time points of a NIfTI image, one volume each; a single volume is one."""
    return _read(path, exact, None, every=True)


def write_nifti(path: Path, data: Array, like: Volume, intent: str = "none") -> None:
    """Write ``data`` on the grid of ``like``.

    The header is that of the file that ``like`` was read from, with the dtype of ``data`` and
    neither scaling nor display range; without one, it is made from affine or spacing. Names
    ending in ``.gz`` are compressed without a time stamp, so that equal results are equal
    bytes. ``data`` may have a first axis of time points; the three fields of a structured
    ``uint8`` dtype R, G, B are colours. ``intent`` is what values mean, in nibabel's words.
    """
    kept = like.header
    shape = data.shape[::-1]
    if isinstance(kept, NiftiHeader) and _still_valid(kept, like):
        header = _header_like(kept, shape, data.dtype, len(shape) > like.ndim)
    else:
        header = _header_from_geometry(shape, data.dtype, like)
    header.set_intent(intent)
    with replacing(path) as temporary, temporary.open("wb") as raw:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as stream:
                _write_stream(stream, header, data)
        else:
            _write_stream(raw, header, data)


def _is_nifti(head: bytes) -> bool:
    """Whether the first bytes of a file (after decompression) are those of single-file NIfTI."""
    if len(head) < 348:
        return head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c", b"\x1c\x02\0\0", b"\0\0\x02\x1c")
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def _read_one(path: Path, frame: int | None, exact: bool) -> Volume:
    return _read(path, exact, frame)[0]


def _read(path: Path, exact: bool, frame: int | None, every: bool = False) -> list[Volume]:
    """Read the frame, or every frame: they lie one after the other, so one pass is enough."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    library = (ImageFileError, HeaderDataError, WrapStructError)
    try:
        zipped = _is_zipped(path)
        with gzip.open(path) if zipped else path.open("rb") as stream:
            head: bytes = stream.read(8)
            stream.seek(0)
            image = _image_class(head[4:7] == b"n+2").from_stream(stream)
            shape = image.header.get_data_shape()
            _check_size(path, image.header, zipped)
            count = int(np.prod(shape[3:]))
            chosen = _frame_index(path, shape, 0 if every else frame)
            frames = list(range(count)) if every and count > 1 else [chosen]
            arrays = [_load(image, index, exact) for index in frames]
            while zipped and stream.read(1 << 20):  # to its end, where the check sum is compared
                pass
    except InputError:
        raise
    except (EOFError, OSError, ValueError, zlib.error, *library) as error:
        raise damaged(path, "NIfTI", str(error)) from error
    return [_volume(path, image.header, shape, data, exact) for data in arrays]


def _is_zipped(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _image_class(is_nifti2: bool) -> Any:
    import nibabel

    return nibabel.Nifti2Image if is_nifti2 else nibabel.Nifti1Image


def _check_size(path: Path, header: Nifti1Header, zipped: bool) -> None:
    """Refuse a header that claims more data than the file can hold, before memory is taken."""
    shape = header.get_data_shape()
    if not 2 <= len(shape) <= 7 or 0 in shape:
        raise InputError(
            str(path), "be a volume of two or three axes, none empty", f"shape {shape}"
        )
    claimed = int(np.prod(shape, dtype=object)) * header.get_data_dtype().itemsize
    stored = path.stat().st_size
    if claimed > stored * (DEFLATE_LIMIT if zipped else 1):
        raise damaged(path, "NIfTI", f"{stored} bytes where the header tells of {claimed}")


def _frame_index(path: Path, shape: tuple[int, ...], frame: int | None) -> int | None:
    """Check ``frame`` against the axes behind the third; None where there is but one frame."""
    count = int(np.prod(shape[3:]))
    chosen = frame_index(path, frame, count, f"shape {shape} with {count} frames")
    if count > 1 and sum(size > 1 for size in shape[3:]) > 1:
        raise InputError(
            str(path),
            "have one axis of frames",
            f"shape {shape}",
            "Split it into files of at most four axes.",
        )
    return chosen if count > 1 else None


def _load(image: Nifti1Image, frame: int | None, exact: bool) -> Array:
    """Take the data in array order (k, j, i), without the axes behind the third."""
    proxy: Any = image.dataobj
    shape = proxy.shape
    index: tuple[Any, ...] = (slice(None),) * min(3, len(shape))
    # At most one of the axes behind the third is longer than one.
    index += tuple(0 if size == 1 else frame for size in shape[3:])
    if frame is None and not exact and proxy.dtype.kind in "iuf":
        scaled = (proxy.slope, proxy.inter) != (1.0, 0.0)
        proxy = np.asarray(proxy, dtype=np.float32) if scaled else proxy.get_unscaled()
    return np.asarray(proxy[index]).T


def _volume(
    path: Path, header: Nifti1Header, shape: tuple[int, ...], data: Array, exact: bool
) -> Volume:
    scale = _MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)
    affine = _affine(path, header, scale)
    if affine is None:
        sizes = np.abs(np.asarray(header.get_zooms()[: data.ndim], dtype=np.float64))[::-1] * scale
    else:
        sizes = np.linalg.norm(affine[:3, :3], axis=0)[3 - data.ndim :]
    spacing = tuple(float(s) if np.isfinite(s) and s > 0 else 1.0 for s in sizes)
    spatial = shape if int(np.prod(shape[3:])) == 1 else shape[:3]
    has_channels = data.dtype.names is not None
    if has_channels:
        data = np.stack([data[channel] for channel in ("R", "G", "B")], axis=-1)
    return Volume(
        data=data if exact else as_image(data, str(path)),
        spacing=spacing,
        affine=affine,
        has_channels=has_channels,
        source=path,
        header=NiftiHeader(header.copy(), spatial, affine),
    )


def _affine(path: Path, header: Nifti1Header, scale: float) -> Array | None:
    """Affine of the array index in mm, or None where the header gives no orientation."""
    if not (header["sform_code"] > 0 or header["qform_code"] > 0):
        return None
    affine = np.array(header.get_best_affine(), dtype=np.float64)
    affine[:3] *= scale
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    usable = np.isfinite(affine).all() and (lengths > 0).all()
    if not usable or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-6:
        _LOGGER.warning("%s has a singular affine; it is read without orientation", path)
        return None
    return affine[:, [2, 1, 0, 3]]


def _still_valid(kept: NiftiHeader, like: Volume) -> bool:
    """Whether the kept header still belongs to the grid of a volume that others may have cut."""
    size = tuple(kept.shape[: like.ndim])[::-1]
    if size != like.shape or int(np.prod(kept.shape)) != int(np.prod(like.shape)):
        return False
    return same_affine(kept.affine, like.affine)


def _write_stream(stream: Any, header: Nifti1Header, data: Array) -> None:
    """Write header and values, which lie in the file as they do in the array."""
    header.write_to(stream)
    dtype = header.get_data_dtype()
    for slab in slabs(data):
        stream.write(slab.astype(dtype, copy=False).tobytes())


def _header_like(
    kept: NiftiHeader, shape: tuple[int, ...], dtype: np.dtype[Any], frames: bool
) -> Nifti1Header:
    shape = (*kept.shape, 1, 1)[:3] + shape[-1:] if frames else kept.shape
    header = kept.header.copy()
    pixdim = header["pixdim"].copy()
    header.set_data_dtype(dtype)
    header.set_slope_inter(1.0, 0.0)
    # The range for display and private extensions tell of the image, not of what we write.
    header["cal_min"] = header["cal_max"] = 0
    header.extensions.clear()
    header["vox_offset"] = 0
    header.set_data_shape(shape)
    header["pixdim"] = pixdim
    return header


def _header_from_geometry(
    shape: tuple[int, ...], dtype: np.dtype[Any], like: Volume
) -> Nifti1Header:
    affine = None if like.affine is None else like.affine[:, [2, 1, 0, 3]]
    nothing = np.broadcast_to(np.zeros((), dtype), shape)  # takes no memory
    header = _image_class(max(shape) > _NIFTI1_LARGEST)(nothing, affine).header
    if affine is None:
        header.set_zooms(like.spacing[::-1] + (1.0,) * (len(shape) - like.ndim))
    header.set_xyzt_units("mm")
    header.set_slope_inter(1.0, 0.0)
    return header


ENTRIES = {
    "nifti": Format(
        "NIfTI",
        (".nii.gz", ".nii"),
        _is_nifti,
        _read_one,
        write_nifti,
        labels_suffix=".nii.gz",
        choice="nii.gz",
        write_labels=partial(write_nifti, intent=_LABEL),
    )
}
