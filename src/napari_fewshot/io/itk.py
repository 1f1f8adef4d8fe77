"""NRRD (``.nrrd``, ``.seg.nrrd``, ``.nhdr``) and MetaImage (``.mha``, ``.mhd``), through SimpleITK.

SimpleITK is an optional dependency (``pip install "napari-fewshot[formats]"``). It gives
positions in LPS mm: the first two rows of its affine change their sign to be RAS.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import InputError
from ..types import Array, Volume
from .atomic import replacing
from .itk_header import LARGEST_HEADER, check_itk_file, damaged, is_nrrd
from .values import as_image

__all__ = [
    "ItkHeader",
    "read_itk",
    "require_simpleitk",
    "to_array",
    "write_metaimage",
    "write_nrrd",
]

_LPS = np.diag([-1.0, -1.0, 1.0])
_META_DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")


@dataclass(frozen=True, eq=False)
class ItkHeader:
    """What is kept of a file to write results on its grid.

    Parameters
    ----------
    origin, spacing, direction : tuple of float
        Geometry in SimpleITK's order (i, j, k) and frame (LPS), for spatial axes.
    shape : tuple of int
        Shape in array order, to notice a volume that was cut since.
    affine : array, shape (4, 4), optional
        Affine of the volume in array order, to notice one that was moved since.
    """

    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    direction: tuple[float, ...]
    shape: tuple[int, ...]
    affine: Array | None


def require_simpleitk(path: Path, what: str) -> Any:
    """Return the module SimpleITK.

    Raises
    ------
    InputError
        If it is not installed; the message names the extra.
    """
    try:
        return import_module("SimpleITK")
    except ImportError as error:
        raise InputError(
            str(path),
            "be of a format that is read without SimpleITK (NIfTI, TIFF, PNG, JPEG)",
            f"{what}; SimpleITK is not installed",
            'Install it: pip install "napari-fewshot[formats]".',
        ) from error


def read_itk(path: Path, frame: int | None = None, exact: bool = False) -> Volume:
    """Read an NRRD or MetaImage file.

    Positions in LPS, RAS or scanner coordinates become RAS mm. A file that does not say how it
    lies (NRRD without ``space``, MetaImage without a matrix) has no affine, and so have 2D
    images. Segments of 3D Slicer keep their names. Several components become channels.

    Parameters
    ----------
    path : Path
        The file; detached data are one file beside it, named by its plain name.
    frame : int, optional
        Time point of a file of four axes, counted from 0.
    exact : bool
        Keep ``float64``, for labels that are stored as floats.

    Raises
    ------
    UnreadableFileError
        If the file, or the data that it names, are damaged, missing or elsewhere (see
        :mod:`~.itk_header`).
    InputError
        If SimpleITK is not installed, or there are more than three axes and ``frame`` is not
        given or out of range.
    """
    sitk = require_simpleitk(path, "an NRRD or MetaImage file")
    kind = check_itk_file(path)
    try:
        image = sitk.ReadImage(str(path), imageIO=kind)
    except RuntimeError as error:
        raise damaged(path, _reason(error)) from error
    image = _one_frame(path, image, frame)
    data = to_array(sitk, image)
    affine = _affine(image) if image.GetDimension() == 3 and _says_position(path, image) else None
    header = ItkHeader(
        image.GetOrigin(),
        image.GetSpacing(),
        image.GetDirection(),
        tuple(reversed(image.GetSize())),
        affine,
    )
    return Volume(
        data=data if exact else as_image(data, str(path)),
        spacing=tuple(float(size) for size in reversed(image.GetSpacing())),
        affine=affine,
        has_channels=image.GetNumberOfComponentsPerPixel() > 1,
        names=MappingProxyType(_segments(image)),
        source=path,
        header=header,
    )


def to_array(sitk: Any, image: Any) -> Array:
    """Values of a SimpleITK image in array order (k, j, i), without complex ones."""
    data: Array = sitk.GetArrayFromImage(image)
    return data


def write_nrrd(path: Path, data: Array, like: Volume) -> None:
    """Write ``data`` on the grid of ``like`` as compressed NRRD with the data attached.

    Raises
    ------
    InputError
        If SimpleITK is not installed, or the name ends in ``.nhdr``.
    """
    _write(path, data, like, ".nrrd")


def write_metaimage(path: Path, data: Array, like: Volume) -> None:
    """Write ``data`` on the grid of ``like`` as compressed MetaImage with the data attached.

    Raises
    ------
    InputError
        If SimpleITK is not installed, or the name ends in ``.mhd``.
    """
    _write(path, data, like, ".mha")


def _write(path: Path, data: Array, like: Volume, ending: str) -> None:
    sitk = require_simpleitk(path, "a file to write")
    if path.suffix.lower() != ending:
        raise InputError(str(path), f"be one file ({ending}), not a header and its data", path.name)
    image = sitk.GetImageFromArray(np.ascontiguousarray(data))
    origin, spacing, direction = _geometry(like)
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    with replacing(path) as temporary:
        # The ending decides on the format, and the temporary file has another one.
        named = temporary.with_name(f"{temporary.stem}{ending}")
        try:
            sitk.WriteImage(image, str(named), useCompression=True)
            named.replace(temporary)
        except RuntimeError as error:
            raise InputError(str(path), "be a file that can be written", _reason(error)) from error
        finally:
            named.unlink(missing_ok=True)


def _geometry(like: Volume) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Origin, spacing and direction for SimpleITK."""
    kept = like.header
    if isinstance(kept, ItkHeader) and kept.shape == like.shape and _unmoved(kept, like):
        return kept.origin, kept.spacing, kept.direction
    spacing = tuple(reversed(like.spacing))
    if like.affine is None or like.ndim == 2:
        return (0.0,) * like.ndim, spacing, tuple(np.eye(like.ndim).ravel().tolist())
    columns = _LPS @ np.asarray(like.affine, np.float64)[:3, [2, 1, 0]]
    lengths = np.linalg.norm(columns, axis=0)
    origin = _LPS @ np.asarray(like.affine, np.float64)[:3, 3]
    return tuple(origin.tolist()), tuple(lengths.tolist()), tuple((columns / lengths).ravel())


def _unmoved(kept: ItkHeader, like: Volume) -> bool:
    if kept.affine is None or like.affine is None:
        return kept.affine is None and like.affine is None
    return bool(np.array_equal(kept.affine, like.affine))


def _affine(image: Any) -> Array:
    """RAS affine of the array index (z, y, x)."""
    direction = np.array(image.GetDirection(), np.float64).reshape(3, 3)
    columns = _LPS @ (direction * np.array(image.GetSpacing(), np.float64))
    affine = np.eye(4)
    affine[:3, :3] = columns[:, [2, 1, 0]]
    affine[:3, 3] = _LPS @ np.array(image.GetOrigin(), np.float64)
    return affine


def _says_position(path: Path, image: Any) -> bool:
    """Whether the file itself says how its axes lie in the patient."""
    with path.open("rb") as stream:
        head = stream.read(LARGEST_HEADER)
    if is_nrrd(head):
        return image.HasMetaDataKey("NRRD_space") or b"\nspace:" in head.split(b"\n\n", 1)[0]
    text = head.split(b"ElementDataFile", 1)[0].decode("latin-1")
    keys = {line.partition("=")[0].strip() for line in text.splitlines()}
    return not keys.isdisjoint(_META_DIRECTIONS)


def _one_frame(path: Path, image: Any, frame: int | None) -> Any:
    """Take one time point of an image of four axes."""
    size = image.GetSize()
    count = size[3] if len(size) == 4 else 1
    if len(size) > 4 or (count > 1 and frame is None):
        raise InputError(
            str(path),
            "hold one volume",
            f"axes of {size} (i, j, k, ...)",
            f"Choose one: frame=0..{count - 1} (on the command line --frame N)."
            if len(size) == 4
            else "Split it into files of at most four axes.",
        )
    if frame is not None and not 0 <= frame < count:
        raise InputError("frame", f"be within 0..{count - 1} for {path}", frame)
    return image[:, :, :, frame or 0] if len(size) == 4 else image


def _segments(image: Any) -> dict[int, str]:
    """Names of the segments that 3D Slicer writes into ``.seg.nrrd`` files, by label value."""
    names: dict[int, str] = {}
    for key in image.GetMetaDataKeys():
        if not (key.startswith("Segment") and key.endswith("_Name")):
            continue
        value = f"{key.removesuffix('_Name')}_LabelValue"
        text = image.GetMetaData(value) if image.HasMetaDataKey(value) else ""
        if text.strip().isdecimal() and int(text) > 0:
            names[int(text)] = image.GetMetaData(key)
    return names


def _reason(error: Exception) -> str:
    """Last line of what SimpleITK says: the ones before tell of its own source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
