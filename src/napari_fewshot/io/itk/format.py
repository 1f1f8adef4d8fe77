"""NRRD (``.nrrd``, ``.seg.nrrd``, ``.nhdr``) and MetaImage (``.mha``, ``.mhd``), by SimpleITK.

SimpleITK is an optional dependency (``pip install "napari-fewshot[formats]"``). It gives positions
in LPS mm, whatever the file holds: the first two rows of its affine change their sign to be RAS. A
file that does not say how it lies (NRRD without ``space``, MetaImage without a matrix) has no
affine, and so have 2D images. Segments of 3D Slicer keep their names, and those of several layers
become one label map. Several components become channels. ``frame`` is the time point of a file of
four axes. Detached data are one file beside the header, named by its plain name. Results are
compressed, with the data attached.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ...errors import InputError, UnreadableFileError
from ...types import Array, Volume
from ..checks import as_image, frame_index, same_affine
from ..formats import Format
from ..outputs import replacing
from ..reading import telling_damage
from ..segments import merged, segments_in
from ..temporaries import failed_writing
from .header import TITLE, check_itk_file, is_metaimage, is_nrrd

__all__ = ["ENTRIES", "require_simpleitk"]

_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class _ItkHeader:
    """What is kept of a file to write results on its grid.

    Geometry of the spatial axes is in SimpleITK's order (i, j, k) and frame (LPS); ``shape`` and
    ``affine``, in array order, show whether a volume was cut or moved since. ``is_segmentation``:
    the file names segments of 3D Slicer, and may hold a part of the grid of its image.
    """

    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    direction: tuple[float, ...]
    shape: tuple[int, ...]
    affine: Array | None
    is_segmentation: bool = False


def require_simpleitk(path: Path, what: str) -> Any:
    """Return the module SimpleITK; if it is not installed, the error names the extra.

    SimpleITK ends the process at names that are not UTF-8: they are refused.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        remedy = "Rename it, or its folder; NIfTI and TIFF may have any name."
        raise InputError(str(path), "have a name in UTF-8", what, remedy) from None
    try:
        return import_module("SimpleITK")
    except ImportError as error:
        raise InputError(
            str(path),
            "be of a format that is read without SimpleITK (NIfTI, TIFF, PNG, JPEG)",
            f"{what}; SimpleITK is not installed",
            'Install it: pip install "napari-fewshot[formats]".',
        ) from error


def _read(path: Path, frame: int | None, exact: bool) -> Volume:
    sitk = require_simpleitk(path, "an NRRD or MetaImage file")
    kind, says_position = check_itk_file(path)
    with telling_damage(path, TITLE):
        image = sitk.ReadImage(str(path), imageIO=kind)
    image = _one_frame(path, image, frame)
    data = sitk.GetArrayFromImage(image)
    layers = image.GetNumberOfComponentsPerPixel()
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    segments = segments_in(fields, layers)
    names = {segment.value: segment.name for segment in segments}
    if exact and segments and layers > 1:
        data, names = merged(path, data, segments)
        layers = 1
    affine = _affine(image) if image.GetDimension() == 3 and says_position else None
    header = _ItkHeader(
        image.GetOrigin(),
        image.GetSpacing(),
        image.GetDirection(),
        tuple(reversed(image.GetSize())),
        affine,
        bool(segments),
    )
    return Volume(
        data=data if exact else as_image(data, str(path)),
        spacing=tuple(float(size) for size in reversed(image.GetSpacing())),
        affine=affine,
        has_channels=layers > 1,
        names=MappingProxyType(names),
        source=path,
        header=header,
    )


def _write(path: Path, data: Array, like: Volume, ending: str) -> None:
    sitk = require_simpleitk(path, "a file to write")
    if path.suffix.lower() != ending:
        raise InputError(str(path), f"be one file ({ending}), not a header and its data", path.name)
    image = sitk.GetImageFromArray(np.ascontiguousarray(data))
    origin, spacing, direction = _geometry(like)
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    with replacing(path, ending=ending) as temporary:  # by which ITK knows the format
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
        except RuntimeError as error:
            if failed_writing(path, error) is not None:
                raise
            raise InputError(str(path), "be a file that can be written", _reason(error)) from error
        try:
            check_itk_file(temporary)
        except UnreadableFileError as error:  # of a full disk ITK says nothing
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        except InputError:  # more pixels than memory is free for, which are not read here
            pass


def _geometry(like: Volume) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Origin, spacing and direction for SimpleITK."""
    kept = like.header
    same = isinstance(kept, _ItkHeader) and kept.shape == like.shape
    if same and same_affine(kept.affine, like.affine):
        return kept.origin, kept.spacing, kept.direction
    spacing = tuple(reversed(like.spacing))
    if like.affine is None or like.ndim == 2:
        return (0.0,) * like.ndim, spacing, tuple(np.eye(like.ndim).ravel().tolist())
    columns = _LPS @ np.asarray(like.affine, np.float64)[:3, [2, 1, 0]]
    lengths = np.linalg.norm(columns, axis=0)
    origin = _LPS @ np.asarray(like.affine, np.float64)[:3, 3]
    return tuple(origin.tolist()), tuple(lengths.tolist()), tuple((columns / lengths).ravel())


def _affine(image: Any) -> Array:
    """RAS affine of the array index (z, y, x)."""
    direction = np.array(image.GetDirection(), np.float64).reshape(3, 3)
    columns = _LPS @ (direction * np.array(image.GetSpacing(), np.float64))
    affine = np.eye(4)
    affine[:3, :3] = columns[:, [2, 1, 0]]
    affine[:3, 3] = _LPS @ np.array(image.GetOrigin(), np.float64)
    return affine


def _one_frame(path: Path, image: Any, frame: int | None) -> Any:
    """Take one time point of an image of four axes."""
    size = image.GetSize()
    if len(size) > 4:
        raise InputError(
            str(path),
            "hold one volume",
            f"axes of {size} (i, j, k, ...)",
            "Split it into files of at most four axes.",
        )
    count = size[3] if len(size) == 4 else 1
    index = frame_index(path, frame, count, f"axes of {size} (i, j, k, ...)")
    return image[:, :, :, index] if len(size) == 4 else image


def _reason(error: Exception) -> str:
    """Last line of what SimpleITK says: the ones before tell of its own source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


ENTRIES = {
    "nrrd": Format(
        "NRRD",
        (".seg.nrrd", ".nrrd", ".nhdr"),
        is_nrrd,
        _read,
        partial(_write, ending=".nrrd"),
        labels_suffix=".nrrd",
        choice="nrrd",
        require=require_simpleitk,
    ),
    "metaimage": Format(
        "MetaImage",
        (".mha", ".mhd"),
        is_metaimage,
        _read,
        partial(_write, ending=".mha"),
        labels_suffix=".mha",
        choice="mha",
        require=require_simpleitk,
    ),
}
