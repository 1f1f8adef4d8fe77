"""DICOM series: a folder of slices, or one file of it, through SimpleITK (GDCM).

Pixels of each file are read on their own, with its own rescale slope and intercept. The geometry
is made here, from position and orientation of every slice: they are sorted along their normal,
and must be evenly spaced. A tilted gantry becomes a sheared affine, which is exact; shear of less
than a tenth of a voxel is rounding, and is left out. The affine is None where files give no
position (photographs, radiographs); then slices go by their number, and a single one is 2D.
``frame`` chooses a time point, echo or other repetition of a series that has several slices at each
place. Siemens mosaics and multi-frame files are refused.
"""

from __future__ import annotations

import filecmp
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, UnreadableFileError
from ...types import Array, Volume
from ..checks import as_image
from ..formats import Format, absolute
from ..itk.format import require_simpleitk
from ..reading import check_room, telling_damage
from .elements import elements_of
from .segmentation import is_dicom_seg
from .slices import (
    DicomGeometry,
    SliceHeader,
    affine_of,
    check_alike,
    in_order,
    without_rounding,
)

__all__ = ["ENTRIES", "holds_dicom"]

_LOGGER = logging.getLogger(__name__)
# No compression of medical images shrinks them more.
_SMALLEST = 4096
# Bytes in which the kind of an object stands.
_META = 1024
_AXIAL = np.array([1.0, 0, 0, 0, 1, 0])
# First tags of files without a preamble, as old programs write them.
_STARTS = (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x16\x00")
# The tag of rows, with explicit and with implicit type.
_ROWS = (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00\x02\x00\x00\x00")


def holds_dicom(folder: Path) -> bool:
    """Whether a folder holds DICOM images itself (not in its subfolders).

    Segmentations are none: they are read one by one. Nor are headers without pixels and reports:
    beside them, other images of the folder are read as ever.
    """
    return any(
        _is_dicom_file(path) and not elements_of(path).ends_before_pixels
        for path in sorted(folder.iterdir())
    )


def _is_dicom(head: bytes) -> bool:
    """Whether a file begins as DICOM, with or without its preamble, and not as a segmentation."""
    return (head[128:132] == b"DICM" or head.startswith(_STARTS)) and not is_dicom_seg(head)


def _is_dicom_file(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return _is_dicom(stream.read(_META))
    except OSError:
        return False


def _read(path: Path, frame: int | None, exact: bool) -> Volume:
    """Read the series of a folder (its subfolders are not looked at), or that of one file."""
    sitk = require_simpleitk(path, "a DICOM file or series")
    headers = _one_series(path, _read_headers(sitk, path))
    check_alike(path, headers)
    headers = in_order(path, headers, frame)
    _check_room(path, headers)
    arrays = []
    for header in headers:
        with telling_damage(header.path, "DICOM", _damaged):
            image = sitk.ReadImage(str(header.path), imageIO="GDCMImageIO")
            pixels = sitk.GetArrayFromImage(image)
        arrays.append(pixels[0] if image.GetDimension() > 2 else pixels)
    data = np.stack(arrays)
    sheared = affine_of(path, headers)
    affine = None if sheared is None else without_rounding(path, sheared, data.shape[:3])
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
        header=DicomGeometry(sheared, tuple(absolute(header.path) for header in headers)),
    )


def _check_room(path: Path, headers: Sequence[SliceHeader]) -> None:
    """Bound what the headers claim, before memory is taken."""
    total = 0
    for header in headers:
        size = header.size[0] * header.size[1] * header.components * header.bytes_per_value
        stored = header.path.stat().st_size
        if size > stored * _SMALLEST:
            raise _damaged(header.path, what=f"{stored} bytes where the header tells of {size}")
        total += size
    check_room(path, total)


def _read_headers(sitk: Any, path: Path) -> list[SliceHeader]:
    """Headers of all DICOM images of a folder, or of the folder of a file.

    Files that hold no image (reports, structures, directories) are left out; of a header whose
    pixels are not there, which may be missed, this is said.
    """
    folder = path if path.is_dir() else path.parent
    headers = [
        _header(sitk, file)
        for file in sorted(folder.iterdir(), key=lambda file: (file != path, file))
        if _is_dicom_file(file) or file == path
    ]
    return _without_copies(header for header in headers if header is not None)


def _without_copies(headers: Iterable[SliceHeader]) -> list[SliceHeader]:
    """Leave out files that are others byte by byte, as downloading twice makes them."""
    kept: dict[tuple[str, int, float], SliceHeader] = {}
    for header in headers:
        first = kept.setdefault((header.uid, header.number, header.place), header)
        if first is header:
            continue
        if filecmp.cmp(first.path, header.path, shallow=False):
            _LOGGER.warning("%s is left out: a copy of %s", header.path, first.path.name)
        else:
            kept[(str(header.path), header.number, header.place)] = header
    return list(kept.values())


def _header(sitk: Any, path: Path) -> SliceHeader | None:
    require_simpleitk(path, "a DICOM file")  # its name
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    reader.LoadPrivateTagsOff()
    elements = elements_of(path)
    if elements.ends_before_pixels:
        if _claims_pixels(path):
            _LOGGER.warning("%s is left out: a DICOM header without pixels", path)
        return None
    try:
        if elements.overrun:
            raise _damaged(path, what=elements.overrun)
        with telling_damage(path, "DICOM", _damaged):
            reader.ReadImageInformation()
    except UnreadableFileError:
        if not _claims_pixels(path):
            return None
        raise
    tags = {key: reader.GetMetaData(key).strip().strip("\0") for key in reader.GetMetaDataKeys()}

    size = reader.GetSize()
    position = _numbers(tags, 3, "0020|0032")
    orientation = _numbers(tags, 6, "0020|0037")
    if position is None or orientation is None:
        position, orientation = None, _AXIAL
    # The second one is of the detector; some write zeros where they do not know.
    known = (_numbers(tags, 2, key) for key in ("0028|0030", "0018|1164"))
    spacing = next((one for one in known if one is not None and (one > 0).all()), None)
    thickness = _number(tags, "0018|0088", "0018|0050")
    order = ("0020|0100", "0018|1060", "0018|0086", "0020|0012")
    return SliceHeader(
        path=path,
        uid=tags.get("0008|0018", ""),
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
        image_type=tags.get("0008|0008", ""),
        bytes_per_value=max(1, int(_number(tags, "0028|0100")) // 8),
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


def _damaged(path: Path, title: str = "DICOM", what: str = "") -> UnreadableFileError:
    """Make the error for an image that cannot be read; leaving it out would tear a gap."""
    return UnreadableFileError(
        str(path),
        f"be a whole {title} file",
        "one whose pixels cannot be read" if not what or "Exception" in what else what,
        "It is truncated, damaged or of an unknown compression: copy it again, or move it away.",
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


# A series is a folder, or one of its files.
ENTRIES = {
    "dicom": Format(
        "DICOM",
        (".dcm", ".dicom"),
        _is_dicom,
        _read,
        None,
        labels_suffix=".nii.gz",
        not_written=".nii.gz, or .seg.dcm for labels: DICOM images are read, not written",
        holds=holds_dicom,
    )
}
