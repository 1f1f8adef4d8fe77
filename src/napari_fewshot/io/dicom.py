"""DICOM series: a folder of slices, or one file of it, through SimpleITK (GDCM).

Pixels of each file are read on their own, with its own rescale slope and intercept. The geometry
is made here, from position and orientation of every slice: they are sorted along their normal,
and must be evenly spaced. A tilted gantry becomes a sheared affine, which is exact. The affine is
None where files give no position (photographs, radiographs); then slices go by their number, and
a single one is 2D. ``frame`` chooses a time point, echo or other repetition of a series that has
several slices at each place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, UnreadableFileError
from ..types import Array, Volume
from .checks import as_image, frame_index
from .formats import Format
from .itk import require_simpleitk

__all__ = ["ENTRIES", "holds_dicom"]

# Fraction of the spacing by which a slice may lie off its place: headers round to a tenth of a mm.
_TOLERANCE = 0.1
# Direction cosines of one series agree to this.
_COSINE = 1e-3
_AXIAL = np.array([1.0, 0, 0, 0, 1, 0])
# First tags of files without a preamble, as old programs write them.
_STARTS = (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x16\x00")
# The tag of rows, with explicit and with implicit type.
_ROWS = (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00\x02\x00\x00\x00")


@dataclass(frozen=True, eq=False)
class _SliceHeader:
    """Geometry (LPS mm) and order of one file, read before its pixels.

    ``size`` is of columns and rows; ``position`` the centre of the first pixel; ``orientation``
    the direction cosines along a row and along a column. ``repetition`` (time point, echo,
    acquisition) and ``number`` order slices of one place.
    """

    path: Path
    series: str
    title: str
    modality: str
    size: tuple[int, int]
    components: int
    frames: int
    position: Array | None
    orientation: Array
    pixel_spacing: tuple[float, float]
    thickness: float
    number: int
    repetition: tuple[float, ...]

    @property
    def normal(self) -> Array:
        """Direction across the slice."""
        across = np.cross(self.orientation[:3], self.orientation[3:])
        normal: Array = across / np.linalg.norm(across)
        return normal

    @property
    def place(self) -> float:
        """Distance of the slice from the origin along its normal."""
        return 0.0 if self.position is None else float(self.position @ self.normal)


def holds_dicom(folder: Path) -> bool:
    """Whether a folder holds DICOM files itself (not in its subfolders)."""
    return any(_is_dicom_file(path) for path in sorted(folder.iterdir()))


def _is_dicom(head: bytes) -> bool:
    """Whether a file begins as DICOM, with or without its preamble."""
    return head[128:132] == b"DICM" or head.startswith(_STARTS)


def _is_dicom_file(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return _is_dicom(stream.read(132))
    except OSError:
        return False


def _read(path: Path, frame: int | None, exact: bool) -> Volume:
    """Read the series of a folder (its subfolders are not looked at), or that of one file."""
    sitk = require_simpleitk(path, "a DICOM file or series")
    headers = _one_series(path, _read_headers(sitk, path))
    _check_alike(path, headers)
    headers = _in_order(path, headers, frame)
    arrays = []
    for header in headers:
        try:
            image = sitk.ReadImage(str(header.path), imageIO="GDCMImageIO")
        except RuntimeError as error:
            raise _damaged(header.path) from error
        pixels = sitk.GetArrayFromImage(image)
        arrays.append(pixels[0] if image.GetDimension() > 2 else pixels)
    data = np.stack(arrays)
    affine = _affine(path, headers)
    rows, columns = headers[0].pixel_spacing
    spacing: tuple[float, ...] = (headers[0].thickness, rows, columns)
    if affine is not None:
        spacing = tuple(float(size) for size in np.linalg.norm(affine[:3, :3], axis=0))
    elif len(headers) == 1:
        data, spacing = data[0], spacing[1:]
    return Volume(
        data=data if exact else as_image(data, str(path)),
        spacing=spacing,
        affine=affine,
        has_channels=headers[0].components > 1,
        source=path,
    )


def _read_headers(sitk: Any, path: Path) -> list[_SliceHeader]:
    """Headers of all DICOM images of a folder, or of the folder of a file.

    Files that hold no image (reports, structures, directories) are left out.
    """
    folder = path if path.is_dir() else path.parent
    headers = [
        _header(sitk, file)
        for file in sorted(folder.iterdir())
        if _is_dicom_file(file) or file == path
    ]
    return [header for header in headers if header is not None]


def _header(sitk: Any, path: Path) -> _SliceHeader | None:
    require_simpleitk(path, "a DICOM file")  # its name
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    reader.LoadPrivateTagsOff()
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if not _claims_pixels(path):
            return None
        raise _damaged(path) from error
    tags = {key: reader.GetMetaData(key).strip().strip("\0") for key in reader.GetMetaDataKeys()}

    size = reader.GetSize()
    position = _numbers(tags, 3, "0020|0032")
    orientation = _numbers(tags, 6, "0020|0037")
    if position is None or orientation is None:
        position, orientation = None, _AXIAL
    spacing = _numbers(tags, 2, "0028|0030", "0018|1164")  # the second one is of the detector
    thickness = _number(tags, "0018|0088", "0018|0050")
    order = ("0020|0100", "0018|1060", "0018|0086", "0020|0012")
    return _SliceHeader(
        path=path,
        series=tags.get("0020|000e", ""),
        title=tags.get("0008|103e", ""),
        modality=tags.get("0008|0060", "unknown"),
        size=(int(size[0]), int(size[1])),
        components=int(reader.GetNumberOfComponents()),
        frames=int(size[2]) if len(size) > 2 else 1,
        position=position,
        orientation=orientation,
        pixel_spacing=(1.0, 1.0) if spacing is None else (float(spacing[0]), float(spacing[1])),
        thickness=thickness if thickness > 0 else 1.0,
        number=int(_number(tags, "0020|0013")),
        repetition=tuple(_number(tags, key) for key in order),
    )


def _numbers(tags: Mapping[str, str], count: int, *keys: str) -> Array | None:
    """Numbers of the first tag that holds so many, all finite."""
    for key in keys:
        try:
            values = np.array([float(part) for part in tags.get(key, "").split("\\")], np.float64)
        except ValueError:
            continue
        if len(values) == count and np.isfinite(values).all():
            return values
    return None


def _number(tags: Mapping[str, str], *keys: str) -> float:
    found = _numbers(tags, 1, *keys)
    return 0.0 if found is None else float(found[0])


def _claims_pixels(path: Path) -> bool:
    """Whether a file has a number of rows, as images have, and reports and structures have not."""
    if path.name.upper() == "DICOMDIR":
        return False
    content = path.read_bytes()
    return any(tag in content for tag in _ROWS)


def _damaged(path: Path) -> UnreadableFileError:
    """Make the error for an image that cannot be read; leaving it out would tear a gap."""
    return UnreadableFileError(
        str(path),
        "be a whole DICOM file",
        "one whose pixels cannot be read",
        "It is truncated, damaged or of an unknown compression: copy it again, or move it away.",
    )


def _one_series(path: Path, headers: list[_SliceHeader]) -> list[_SliceHeader]:
    """Headers of the series of a file, or of the only one in a folder."""
    if not path.is_dir():
        own = [header.series for header in headers if header.path == path]
        if not own:
            raise UnreadableFileError(
                str(path), "be a DICOM image", "a DICOM file without pixels that can be read"
            )
        return [header for header in headers if header.series == own[0]]
    series: dict[str, list[_SliceHeader]] = {}
    for header in headers:
        series.setdefault(header.series, []).append(header)
    if not series:
        raise UnreadableFileError(
            str(path), "hold the images of a DICOM series", "a folder without any"
        )
    if len(series) > 1:
        listed = "; ".join(
            f"{group[0].title or 'no description'} ({group[0].modality}, {len(group)} files, "
            f"e.g. {group[0].path.name})"
            for group in series.values()
        )
        # Not as the value given: that would be cut short.
        raise InputError(
            str(path),
            "hold one DICOM series",
            f"{len(series)} series",
            f"Give a file of the one to read, or move it to a folder of its own: {listed}.",
        )
    return headers


def _check_alike(path: Path, headers: Sequence[_SliceHeader]) -> None:
    """All slices must be of one size, orientation and kind."""
    first = headers[0]
    for header in headers:
        if header.frames > 1:
            raise InputError(
                str(header.path),
                "hold one slice",
                f"a multi-frame file of {header.frames} frames",
                "Convert it to NIfTI (dcm2niix) first.",
            )
        same = (
            header.size == first.size
            and header.components == first.components
            and (header.position is None) == (first.position is None)
            and np.allclose(header.pixel_spacing, first.pixel_spacing, rtol=1e-4)
        )
        if not same:
            raise InputError(
                str(path),
                "hold slices of one size and pixel spacing",
                f"{first.path.name}: {first.size} pixels of {first.pixel_spacing} mm, "
                f"{header.path.name}: {header.size} of {header.pixel_spacing}",
                "Move the slices of one stack to a folder of their own.",
            )
        turned = np.abs(header.orientation - first.orientation).max()
        if turned > _COSINE:
            raise InputError(
                str(path),
                "hold slices of one orientation",
                f"{first.path.name} and {header.path.name}, which are turned to each other",
                "It may be a localiser: move the slices of one stack to a folder of their own.",
            )


def _in_order(path: Path, headers: list[_SliceHeader], frame: int | None) -> list[_SliceHeader]:
    """Sort slices along their normal, and take one of those that lie at the same place."""
    places: list[list[_SliceHeader]] = []
    if headers[0].position is None:
        ordered = sorted(headers, key=lambda header: (header.number, header.path.name))
        places = [[header] for header in ordered]
    else:
        ordered = sorted(
            headers, key=lambda header: (header.place, *header.repetition, header.number)
        )
        for header in ordered:
            if places and abs(header.place - places[-1][0].place) < 1e-3:
                places[-1].append(header)
            else:
                places.append([header])
    counts = {len(place) for place in places}
    if len(counts) > 1:
        raise InputError(
            str(path),
            "hold as many slices at each place",
            f"places of {min(counts)} and of {max(counts)} slices",
            "Slices are missing, or several stacks are mixed: export the series again.",
        )
    (count,) = counts
    chosen = frame_index(path, frame, count, f"{count} slices at each of {len(places)} places")
    return [place[chosen] for place in places]


def _affine(path: Path, headers: Sequence[_SliceHeader]) -> Array | None:
    """RAS affine of the array index (z, y, x), or None without positions."""
    first = headers[0]
    if first.position is None:
        return None
    positions = np.array([header.position for header in headers], np.float64)
    if len(headers) > 1:
        step = (positions[-1] - positions[0]) / (len(headers) - 1)
        _check_even(path, headers, positions, step)
    else:
        step = first.normal * first.thickness
    rows, columns = first.pixel_spacing
    affine = np.eye(4)
    # The first cosines lead along a row, where the column index grows.
    affine[:3, 0] = step
    affine[:3, 1] = first.orientation[3:] * rows
    affine[:3, 2] = first.orientation[:3] * columns
    affine[:3, 3] = positions[0]
    affine[:2] *= -1  # LPS to RAS
    affine[affine == 0] = 0.0  # no negative zeros
    return affine


def _check_even(path: Path, headers: Sequence[_SliceHeader], positions: Array, step: Array) -> None:
    expected = positions[0] + np.arange(len(positions))[:, None] * step
    off = np.linalg.norm(positions - expected, axis=1)
    if off.max() <= _TOLERANCE * np.linalg.norm(step) + 1e-3:
        return
    gaps = np.diff([header.place for header in headers])
    widest = int(gaps.argmax())
    raise InputError(
        str(path),
        "hold evenly spaced slices",
        f"{len(headers)} slices {gaps.min():.4g} to {gaps.max():.4g} mm apart, most between "
        f"{headers[widest].path.name} and {headers[widest + 1].path.name}",
        "Slices are missing (export the series again), or must be resampled first.",
    )


# A series is a folder, or one of its files.
ENTRIES = {
    "dicom": Format(
        "DICOM",
        (".dcm", ".dicom"),
        _is_dicom,
        _read,
        None,
        labels_suffix=".nii.gz",
        not_written=".nii.gz: DICOM is read, not written",
        holds=holds_dicom,
    )
}
