"""Slices of a DICOM series: whether they are one volume, in which order, and where it lies."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ...errors import InputError
from ...types import Array
from ..checks import frame_index
from ..grids import largest_distance, square_affines
from .codes import SegmentCode

__all__ = [
    "DicomGeometry",
    "SliceHeader",
    "affine_of",
    "check_alike",
    "in_order",
    "without_rounding",
]

_LOGGER = logging.getLogger(__name__)
# Fraction of the spacing by which a slice may lie off its place: headers round to a tenth of a mm.
_TOLERANCE = 0.1
# Direction cosines of one series agree to this.
_COSINE = 1e-3
# Repeated slices lie up to so many mm off each other.
_LARGEST_JITTER = 0.06
# Fraction of a voxel of shear above which it is said that it is left out.
_SAID = 0.01
# Bytes in which the private elements of Siemens lie, the entry of mosaics in them, and its sizes.
_PRIVATE = 1 << 18
_MOSAIC_COUNT = b"NumberOfImagesInMosaic"
_CSA_NAME, _CSA_ENTRY = 84, 164


@dataclass(frozen=True, eq=False)
class DicomGeometry:
    """What is kept of a series to match labels with it, and to refer to it.

    ``other_affine`` has all shear that positions tell of: labels may have been painted on it.
    ``files`` are those of the slices, in their order; ``codes`` say what labels stand for, where
    they are written as segments.
    """

    other_affine: Array | None
    files: tuple[Path, ...] = ()
    codes: Mapping[int, SegmentCode] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, eq=False)
class SliceHeader:
    """Geometry (LPS mm) and order of one file, read before its pixels.

    ``uid`` is that of the image; ``size`` is of columns and rows; ``position`` the centre of the
    first pixel; ``orientation`` the direction cosines along a row and along a column.
    ``repetition`` (time point, echo, acquisition) and ``number`` order slices of one place.
    """

    path: Path
    uid: str
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
    image_type: str
    bytes_per_value: int

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


def check_alike(path: Path, headers: Sequence[SliceHeader]) -> None:
    """All slices must be of one size, orientation and kind."""
    first = headers[0]
    for header in headers:
        if _is_mosaic(header, deep=header is first):
            raise InputError(
                str(header.path),
                "hold one slice",
                "a Siemens mosaic, which holds all slices of a volume side by side",
                "Convert it to NIfTI (dcm2niix) first.",
            )
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


def _is_mosaic(header: SliceHeader, deep: bool) -> bool:
    """Whether a file holds a volume as a sheet of slices, as its type or private part says."""
    if "MOSAIC" in header.image_type.upper():
        return True
    if header.modality != "MR" or not deep:
        return False
    with header.path.open("rb") as stream:  # private elements stand before the pixels
        head = stream.read(_PRIVATE)
    place = head.find(_MOSAIC_COUNT)
    if place < 0:
        return False
    # Of an entry without values, the item that follows is empty.
    return re.search(rb"[1-9]\d*", head[place + _CSA_NAME : place + _CSA_ENTRY]) is not None


def in_order(path: Path, headers: list[SliceHeader], frame: int | None) -> list[SliceHeader]:
    """Sort slices along their normal, and take one of those that lie at the same place."""
    places: list[list[SliceHeader]] = []
    if headers[0].position is None:
        ordered = sorted(headers, key=lambda header: (header.number, header.path.name))
        places = [[header] for header in ordered]
    else:
        ordered = sorted(
            headers, key=lambda header: (header.place, *header.repetition, header.number)
        )
        near = _jitter(ordered)
        for header in ordered:
            if places and abs(header.place - places[-1][0].place) < near:
                places[-1].append(header)
            else:
                places.append([header])
        for place in places:
            place.sort(key=lambda header: (*header.repetition, header.number))
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


def _jitter(ordered: Sequence[SliceHeader]) -> float:
    """Distance in mm below which slices are one place, measured again."""
    gaps = np.diff([header.place for header in ordered])
    first = ordered[0]
    typical = max(gaps.max(initial=0.0), min(first.thickness, *first.pixel_spacing))
    return max(1e-3, min(_LARGEST_JITTER, _TOLERANCE * float(typical)))


def without_rounding(path: Path, exact: Array, shape: tuple[int, ...]) -> Array:
    """The affine with right angles, where it puts no voxel off by a tenth of one."""
    squares = square_affines(exact)
    if not squares:
        return exact
    square = squares[1]
    middle = (shape[0] - 1) / 2
    square[:3, 3] += (exact[:3, 0] - square[:3, 0]) * middle
    sizes = np.linalg.norm(exact[:3, :3], axis=0)
    smallest = float(sizes.min())
    off = largest_distance(exact, square, shape)
    if off > _TOLERANCE * smallest:
        return exact
    if off > _SAID * smallest:
        _LOGGER.warning(
            "%s: shear of %.2g mm from the first slice to the last is left out", path, 2 * off
        )
    return square


def affine_of(path: Path, headers: Sequence[SliceHeader]) -> Array | None:
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
