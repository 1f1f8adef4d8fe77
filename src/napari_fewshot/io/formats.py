"""The formats that are read and written; others join by registering here."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, UnreadableFileError
from ..registry import Registry
from ..types import Array, Volume
from .dicom import no_dicom, read_dicom
from .dicom_header import holds_dicom, is_dicom
from .itk import read_itk, write_metaimage, write_nrrd
from .itk_header import is_metaimage, is_nrrd
from .jpeg import is_jpeg, no_jpeg, read_jpeg
from .nifti import is_nifti, read_nifti, write_nifti, write_nifti_labels
from .png import is_png, read_png, write_png
from .tiff import is_tiff, read_tiff, write_tiff

__all__ = ["FORMATS", "Format", "format_by_name", "sniff_format"]

_HEAD = 4096
# No more is unpacked than the header of NIfTI-1: the check sum is for the reader to compare.
_UNPACKED = 348
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Format:
    """A file format.

    Parameters
    ----------
    title : str
        What people call it.
    suffixes : tuple of str
        Endings of file names, lower case, longest first.
    matches : callable
        ``matches(head) -> bool`` on the first bytes of a file, after gzip.
    read : callable
        ``read(path, frame, exact) -> Volume``.
    write : callable
        ``write(path, data, like)``; writes atomically.
    labels_suffix, image_suffix : str
        Ending of results: label maps, and ``float32`` images such as confidence.
    write_labels : callable, optional
        As ``write``, for label maps, where the format can say that they are.
    """

    title: str
    suffixes: tuple[str, ...]
    matches: Callable[[bytes], bool]
    read: Callable[[Path, int | None, bool], Volume]
    write: Callable[[Path, Array, Volume], None]
    labels_suffix: str
    image_suffix: str
    write_labels: Callable[[Path, Array, Volume], None] | None = None


FORMATS: Registry[Format] = Registry("format")
FORMATS.add(
    "nifti",
    Format(
        "NIfTI",
        (".nii.gz", ".nii"),
        is_nifti,
        read_nifti,
        write_nifti,
        ".nii.gz",
        ".nii.gz",
        write_nifti_labels,
    ),
)
FORMATS.add(
    "tiff",
    Format(
        "TIFF",
        (".ome.tiff", ".ome.tif", ".tiff", ".tif"),
        is_tiff,
        read_tiff,
        write_tiff,
        ".tif",
        ".tif",
    ),
)
# PNG has no floats, so confidence goes to TIFF.
FORMATS.add("png", Format("PNG", (".png",), is_png, read_png, write_png, ".png", ".tif"))
FORMATS.add("jpeg", Format("JPEG", (".jpeg", ".jpg"), is_jpeg, read_jpeg, no_jpeg, ".png", ".tif"))
FORMATS.add(
    "nrrd",
    Format(
        "NRRD",
        (".seg.nrrd", ".nrrd", ".nhdr"),
        is_nrrd,
        read_itk,
        write_nrrd,
        ".nrrd",
        ".nrrd",
    ),
)
FORMATS.add(
    "metaimage",
    Format("MetaImage", (".mha", ".mhd"), is_metaimage, read_itk, write_metaimage, ".mha", ".mha"),
)
# A series is a folder, or one of its files.
FORMATS.add(
    "dicom",
    Format("DICOM", (".dcm", ".dicom"), is_dicom, read_dicom, no_dicom, ".nii.gz", ".nii.gz"),
)


def sniff_format(path: Path) -> Format:
    """Find the format of a file by its first bytes; a folder of DICOM files is a series.

    Raises
    ------
    InputError
        If there is no such file.
    UnreadableFileError
        If no reader knows the bytes; the message shows them.
    """
    if path.is_dir() and holds_dicom(path):
        return FORMATS.get("dicom")
    raw, head = _head(path)
    for _, candidate in FORMATS.items():
        if candidate.matches(head):
            return candidate
    titles = ", ".join(candidate.title for _, candidate in FORMATS.items())
    given = "an empty file"
    if raw:
        given = f"a file that begins with the bytes {raw[:16].hex(' ')} ({raw[:16]!r})"
    remedy = "It may be truncated, or of another format: convert it to one of these."
    raise UnreadableFileError(str(path), f"be one of {titles}", given, remedy)


def format_by_name(path: Path) -> Format:
    """Find the format that the ending of a file name stands for.

    Raises
    ------
    InputError
        If it stands for none; the message lists the endings.
    """
    name = path.name.lower()
    known: list[str] = []
    for _, candidate in FORMATS.items():
        if name.endswith(candidate.suffixes):
            return candidate
        known += candidate.suffixes
    raise InputError(str(path), f"end in one of {', '.join(known)}", path.name)


def _head(path: Path) -> tuple[bytes, bytes]:
    """First bytes of a file, as stored and after gzip."""
    if path.is_dir():
        remedy = "Give the image file itself."
        constraint = "be a file, or the folder of a DICOM series"
        raise InputError(str(path), constraint, "a folder without DICOM files", remedy)
    try:
        with path.open("rb") as stream:
            raw = stream.read(_HEAD)
    except FileNotFoundError:
        raise InputError(str(path), "be an existing file", "nothing at this path") from None
    except OSError as error:
        text = error.strerror or str(error)
        raise UnreadableFileError(str(path), "be a file that can be read", text) from error
    if not raw.startswith(_GZIP):
        return raw, raw
    try:
        return raw, zlib.decompressobj(wbits=31).decompress(raw, _UNPACKED)
    except zlib.error:
        return raw, raw
