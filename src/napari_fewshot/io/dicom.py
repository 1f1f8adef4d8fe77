"""DICOM series: a folder of slices, or one file of it, through SimpleITK (GDCM).

Pixels of each file are read on their own, with its own rescale slope and intercept. The geometry
is made here, from position and orientation of every slice: they are sorted along their normal,
and must be evenly spaced. A tilted gantry becomes a sheared affine, which is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError, UnreadableFileError
from ..types import Array, Volume
from .dicom_header import SliceHeader, damaged, read_headers
from .itk import require_simpleitk, to_array
from .values import as_image

__all__ = ["no_dicom", "read_dicom"]

# Share of the spacing by which a slice may lie off its place: headers round to a tenth of a mm.
_TOLERANCE = 0.1
# Direction cosines of one series agree to this.
_COSINE = 1e-3


def read_dicom(path: Path, frame: int | None = None, exact: bool = False) -> Volume:
    """Read the series of a folder, or the one that a file belongs to.

    Values are those after slope and intercept. The affine is None where files give no position
    (photographs, radiographs); then slices go by their number, and a single one is 2D.

    Parameters
    ----------
    path : Path
        Folder of the slices (those of its subfolders are not looked at), or one of its files:
        then only files of the same series are read.
    frame : int, optional
        Time point, echo or other repetition of a series that has several slices at each place.
    exact : bool
        Keep ``float64``.

    Raises
    ------
    InputError
        If SimpleITK is not installed, a folder holds several series (the message lists them), or
        the slices are no one stack: of several orientations or sizes, unevenly spaced, repeated
        without ``frame``, or multi-frame files.
    UnreadableFileError
        If there is no DICOM image, or one is damaged.
    """
    sitk = require_simpleitk(path, "a DICOM file or series")
    headers = _one_series(path, read_headers(sitk, path))
    _check_alike(path, headers)
    headers = _in_order(path, headers, frame)
    arrays = []
    for header in headers:
        try:
            pixels = to_array(sitk, sitk.ReadImage(str(header.path), imageIO="GDCMImageIO"))
        except RuntimeError as error:
            raise damaged(header.path) from error
        arrays.append(pixels[0] if header.is_stack else pixels)
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


def no_dicom(path: Path, data: Array, like: Volume) -> None:
    """Refuse to write: results of DICOM images are NIfTI files.

    Raises
    ------
    InputError
        Always; the message names the format to use.
    """
    raise InputError(
        str(path), "be .nii.gz: DICOM is read, not written", f"data of shape {data.shape}"
    )


def _one_series(path: Path, headers: list[SliceHeader]) -> list[SliceHeader]:
    """Headers of the series of a file, or of the only one in a folder."""
    if not path.is_dir():
        own = [header.series for header in headers if header.path == path]
        if not own:
            raise UnreadableFileError(
                str(path), "be a DICOM image", "a DICOM file without pixels that can be read"
            )
        return [header for header in headers if header.series == own[0]]
    series: dict[str, list[SliceHeader]] = {}
    for header in headers:
        series.setdefault(header.series, []).append(header)
    if not series:
        raise UnreadableFileError(
            str(path), "hold the images of a DICOM series", "a folder without any"
        )
    if len(series) > 1:
        listed = "; ".join(
            f"{first.title or 'no description'} ({first.modality}, {len(group)} files, "
            f"e.g. {first.path.name})"
            for group in series.values()
            for first in group[:1]
        )
        # Not as the value given: that would be cut short.
        raise InputError(
            str(path),
            "hold one DICOM series",
            f"{len(series)} series",
            f"Give a file of the one to read, or move it to a folder of its own: {listed}.",
        )
    return headers


def _check_alike(path: Path, headers: Sequence[SliceHeader]) -> None:
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


def _in_order(path: Path, headers: list[SliceHeader], frame: int | None) -> list[SliceHeader]:
    """Sort slices along their normal, and take one of those that lie at the same place."""
    places: list[list[SliceHeader]] = []
    if headers[0].position is None:
        ordered = sorted(headers, key=lambda header: (header.number, header.path.name))
        places = [[header] for header in ordered]
    else:
        ordered = sorted(headers, key=lambda header: (header.place, *header.repetition))
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
    if count > 1 and frame is None:
        raise InputError(
            str(path),
            "hold one volume",
            f"{count} slices at each of {len(places)} places",
            f"Choose one: frame=0..{count - 1} (on the command line --frame N).",
        )
    if frame is not None and not 0 <= frame < count:
        raise InputError("frame", f"be within 0..{count - 1} for {path}", frame)
    return [place[frame or 0] for place in places]


def _affine(path: Path, headers: Sequence[SliceHeader]) -> Array | None:
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


def _check_even(path: Path, headers: Sequence[SliceHeader], positions: Array, step: Array) -> None:
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
