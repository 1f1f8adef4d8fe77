"""What is read of each file of a DICOM series before its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UnreadableFileError
from ..types import Array

__all__ = ["SliceHeader", "damaged", "holds_dicom", "is_dicom", "read_headers"]

_AXIAL = "1\\0\\0\\0\\1\\0"
# First tags of files without a preamble, as old programs write them.
_STARTS = (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x16\x00")
# The tag of rows, with explicit and with implicit type.
_ROWS = (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00\x02\x00\x00\x00")


@dataclass(frozen=True, eq=False)
class SliceHeader:
    """Geometry and order of one file.

    Parameters
    ----------
    path : Path
    series, title, modality : str
        Identifier of the series, its description, and what made it.
    size : tuple of int
        Columns and rows.
    components, frames : int
        Values of a pixel, and frames of the file.
    is_stack : bool
        Whether SimpleITK reads the file with a first axis of one.
    position : array, shape (3,), optional
        Centre of the first pixel, LPS mm.
    orientation : array, shape (6,)
        Direction cosines along a row and along a column, LPS.
    pixel_spacing : tuple of float
        mm from row to row, and from column to column.
    thickness : float
        mm from slice to slice, where there is but one.
    number : int
        Number of the slice in its series.
    repetition : tuple of float
        Time point, echo, acquisition and number, to order slices of one place.
    """

    path: Path
    series: str
    title: str
    modality: str
    size: tuple[int, int]
    components: int
    frames: int
    is_stack: bool
    position: Array | None
    orientation: Array
    pixel_spacing: tuple[float, float]
    thickness: float
    number: int
    repetition: tuple[float, ...]

    @property
    def normal(self) -> Array:
        """Direction across the slice, LPS."""
        across = np.cross(self.orientation[:3], self.orientation[3:])
        normal: Array = across / np.linalg.norm(across)
        return normal

    @property
    def place(self) -> float:
        """Distance of the slice from the origin along its normal, in mm."""
        return 0.0 if self.position is None else float(self.position @ self.normal)


def is_dicom(head: bytes) -> bool:
    """Whether a file begins as DICOM, with or without its preamble."""
    return head[128:132] == b"DICM" or head.startswith(_STARTS)


def holds_dicom(folder: Path) -> bool:
    """Whether a folder holds DICOM files itself (not in its subfolders)."""
    return any(_is_dicom_file(path) for path in sorted(folder.iterdir()))


def read_headers(sitk: Any, path: Path) -> list[SliceHeader]:
    """Read the headers of all DICOM images of a folder, or of the folder of a file.

    Files that hold no image (reports, structures, directories) are left out.

    Raises
    ------
    UnreadableFileError
        If an image is truncated or damaged.
    """
    folder = path if path.is_dir() else path.parent
    headers = [
        _header(sitk, file)
        for file in sorted(folder.iterdir())
        if _is_dicom_file(file) or file == path
    ]
    return [header for header in headers if header is not None]


def damaged(path: Path) -> UnreadableFileError:
    """Make the error for an image that cannot be read; leaving it out would tear a gap."""
    return UnreadableFileError(
        str(path),
        "be a whole DICOM file",
        "one whose pixels cannot be read",
        "It is truncated, damaged or of an unknown compression: copy it again, or move it away.",
    )


def _claims_pixels(path: Path) -> bool:
    """Whether a file has a number of rows, as images have, and reports and structures have not."""
    if path.name.upper() == "DICOMDIR":
        return False
    content = path.read_bytes()
    return any(tag in content for tag in _ROWS)


def _is_dicom_file(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return is_dicom(stream.read(132))
    except OSError:
        return False


def _header(sitk: Any, path: Path) -> SliceHeader | None:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    reader.LoadPrivateTagsOff()
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if not _claims_pixels(path):
            return None
        raise damaged(path) from error
    tags = {key: reader.GetMetaData(key).strip().strip("\0") for key in reader.GetMetaDataKeys()}
    size = reader.GetSize()
    position = _numbers(tags.get("0020|0032"), 3)
    orientation = _numbers(tags.get("0020|0037"), 6)
    if position is None or orientation is None:
        position, orientation = None, _numbers(_AXIAL, 6)
    spacing = _numbers(tags.get("0028|0030"), 2)
    if spacing is None:
        spacing = _numbers(tags.get("0018|1164"), 2)  # of the detector
    thickness = _numbers(tags.get("0018|0088"), 1)
    if thickness is None:
        thickness = _numbers(tags.get("0018|0050"), 1)
    number = _numbers(tags.get("0020|0013"), 1)
    order = ("0020|0100", "0018|1060", "0018|0086", "0020|0012")
    found = [_numbers(tags.get(key), 1) for key in order]
    own_number = 0 if number is None else int(number[0])
    return SliceHeader(
        path=path,
        series=tags.get("0020|000e", ""),
        title=tags.get("0008|103e", ""),
        modality=tags.get("0008|0060", "unknown"),
        size=(int(size[0]), int(size[1])),
        components=int(reader.GetNumberOfComponents()),
        frames=int(size[2]) if len(size) > 2 else 1,
        is_stack=len(size) > 2,
        position=position,
        orientation=np.zeros(6) if orientation is None else orientation,
        pixel_spacing=(1.0, 1.0) if spacing is None else (float(spacing[0]), float(spacing[1])),
        thickness=1.0 if thickness is None or thickness[0] <= 0 else float(thickness[0]),
        number=own_number,
        repetition=(*(0.0 if one is None else float(one[0]) for one in found), own_number),
    )


def _numbers(text: str | None, count: int) -> Array | None:
    """Numbers of a tag, where there are as many as wanted and all are finite."""
    try:
        values = np.array([float(part) for part in (text or "").split("\\")], np.float64)
    except ValueError:
        return None
    return values if len(values) == count and np.isfinite(values).all() else None
