"""NIfTI-1 and NIfTI-2, single files and pairs, plain or gzipped, through nibabel.

Arrays are transposed from (i, j, k) to (k, j, i); nothing else moves. The header stays with the
volume, so that results are written with the same affine, codes, units and shape, exactly.

Slope and intercept are applied; integers without scaling keep their dtype, all else becomes
``float32``. Spacing and affine are in mm whatever the units of the header (unknown units are
taken as mm). The affine is that of the sform, else of the qform; a file with neither, or with
singular ones, has none. Colours (RGB24, RGBA32) become a last axis of channels, without alpha.
Trailing axes of one are dropped, and restored on writing. One more axis is that of time points.
"""

from __future__ import annotations

import gzip
import logging
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...types import Array, Volume
from ..blocks import slabs
from ..checks import as_image, frame_index, same_affine
from ..formats import Format
from ..grids import largest_distance
from ..outputs import replacing
from ..reading import check_room, telling_damage
from .header import StoredImage, is_nifti, open_image, transforms, unit_factors

__all__ = ["ENTRIES", "NiftiHeader", "read_nifti_frames", "write_nifti"]

_LOGGER = logging.getLogger(__name__)
_LABEL, _LABEL_CODE = "label", 1002
_SCANNER = 1
_ROUNDING = 1e-3
_NIFTI1_LARGEST = 32767
# Labels shrink well at any level; higher ones cost seconds on confidence volumes.
_GZIP_LEVEL = 4

# nibabel is typed in part only.
Nifti1Header = Any


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """What is kept of a file to write results on its grid.

    ``header`` is as it was read (of either version); ``shape`` is (i, j, k) on disk for results,
    with trailing axes of one; ``affine``, in array order and mm, shows whether a volume was
    changed since. ``other_affine`` is that of a qform which differs from the sform, by which other
    programs may place it. ``unit_of`` is the unit in mm that the file does not say, once known.
    """

    header: Nifti1Header
    shape: tuple[int, ...]
    affine: Array | None
    other_affine: Array | None = None
    unit_of: float | None = None

    @property
    def mm_per_unit(self) -> float | None:
        """Millimetres of the unit that the file counts in; None where it does not say one."""
        return unit_factors(self.header)[0] or self.unit_of

    @property
    def says_labels(self) -> bool:
        """Whether the file says that its values are labels (intent code ``LABEL``)."""
        return int(self.header["intent_code"]) == _LABEL_CODE

    @property
    def frame_step_s(self) -> float | None:
        """Seconds between frames, where the file says them."""
        sizes = self.header.get_zooms()
        factor = unit_factors(self.header)[1]
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

    Raises
    ------
    InputError
        If ``path`` cannot be written, or has the name of one file of a pair.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise InputError(str(path), "be one file (.nii.gz), not a header and its pixels", path.name)
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


def _read_one(path: Path, frame: int | None, exact: bool) -> Volume:
    return _read(path, exact, frame)[0]


def _read(path: Path, exact: bool, frame: int | None, every: bool = False) -> list[Volume]:
    """Read the frame, or every frame: they lie one after the other, so one pass is enough."""
    with telling_damage(path, "NIfTI"), open_image(path) as image:
        count = int(np.prod(image.shape[3:]))
        chosen = _frame_index(path, image.shape, 0 if every else frame)
        frames = list(range(count)) if every and count > 1 else [chosen]
        one = math.prod(image.shape[:3]) * image.pixels.dtype.itemsize
        check_room(path, one * len(frames))
        arrays = [_load(image, index, exact) for index in frames]
    return [_volume(path, image.header, image.shape, data, exact) for data in arrays]


def _image_class(is_nifti2: bool) -> Any:
    import nibabel

    return nibabel.Nifti2Image if is_nifti2 else nibabel.Nifti1Image


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


def _load(image: StoredImage, frame: int | None, exact: bool) -> Array:
    """Take the data in array order (k, j, i), without the axes behind the third."""
    proxy, shape = image.pixels, image.shape
    index: tuple[Any, ...] = (slice(None),) * min(3, len(shape))
    # At most one of the axes behind the third is longer than one.
    index += tuple(0 if size == 1 else frame for size in shape[3:])
    if frame is None and not exact and proxy.dtype.kind in "iuf":
        scaled = (proxy.slope, proxy.inter) != (1.0, 0.0)
        proxy = np.asarray(proxy, dtype=np.float32) if scaled else proxy.get_unscaled()
    found = np.asarray(proxy[index]).T
    return found if found.flags.writeable else found.copy()  # cut out of bytes


def _volume(
    path: Path, header: Nifti1Header, shape: tuple[int, ...], data: Array, exact: bool
) -> Volume:
    scale = unit_factors(header)[0] or 1.0
    affine, other = [*transforms(path, header), None, None][:2]
    if affine is not None and other is not None and _agree(affine, other, data.shape):
        other = None
    if affine is None:
        sizes = np.abs(np.asarray(header.get_zooms()[: data.ndim], dtype=np.float64))[::-1] * scale
    else:
        sizes = np.linalg.norm(affine[:3, :3], axis=0)[3 - data.ndim :]
    usable = np.isfinite(sizes) & (sizes > 0)
    if not usable.all():
        told = ", ".join(f"{size:g}" for size in sizes)
        _LOGGER.warning("%s: a voxel size of %s mm cannot be; 1 mm is taken for it.", path, told)
    spacing = tuple(float(s) if fine else 1.0 for s, fine in zip(sizes, usable, strict=True))
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
        header=NiftiHeader(header.copy(), spatial, affine, other),
    )


def _agree(first: Array, second: Array, shape: tuple[int, ...]) -> bool:
    """Whether two affines place all voxels alike, but for the rounding of quaternions."""
    smallest = float(np.linalg.norm(first[:3, :3], axis=0).min())
    return largest_distance(first, second, shape[:3]) <= _ROUNDING * smallest


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
    else:
        # Programs on ITK take no sheared sform; the qform is the nearest that has none.
        header.set_sform(affine, _SCANNER)
        header.set_qform(affine, _SCANNER)
    header.set_xyzt_units("mm")
    header.set_slope_inter(1.0, 0.0)
    return header


ENTRIES = {
    "nifti": Format(
        "NIfTI",
        (".nii.gz", ".nii", ".hdr.gz", ".hdr", ".img.gz", ".img"),
        is_nifti,
        _read_one,
        write_nifti,
        labels_suffix=".nii.gz",
        choice="nii.gz",
        write_labels=partial(write_nifti, intent=_LABEL),
        reads_gzip=True,
    )
}
