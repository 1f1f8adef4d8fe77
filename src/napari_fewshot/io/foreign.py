"""Formats that are not read, told by their first bytes, with what converts them."""

from __future__ import annotations

__all__ = ["foreign_format"]

_MICROSCOPY = (
    "Convert it to OME-TIFF or OME-Zarr with Bio-Formats (bfconvert, bioformats2raw, or ImageJ: "
    "File > Import > Bio-Formats)."
)
_ARCHIVE = "Unpack it first."
_PICTURE = "Save it as PNG or TIFF."

_MRC_MARK, _MRC_PLACE = b"MAP", 208

_FOREIGN: tuple[tuple[str, tuple[bytes, ...], str], ...] = (
    ("a CZI file (Zeiss)", (b"ZISRAWFILE",), _MICROSCOPY),
    ("an ND2 file (Nikon)", (b"\xda\xce\xbe\x0a",), _MICROSCOPY),
    ("a LIF file (Leica)", (b"\x70\x00\x00\x00",), _MICROSCOPY),
    ("an OIR file (Olympus)", (b"OLYMPUSRAWFORMAT",), _MICROSCOPY),
    (
        "a file of DigitalMicrograph (DM3, DM4)",
        (b"\x00\x00\x00\x03", b"\x00\x00\x00\x04"),
        _MICROSCOPY,
    ),
    (
        "a header of Philips (PAR/REC)",
        (b"# === DATA DESCRIPTION FILE",),
        "Convert it to NIfTI (dcm2niix, or parrec2nii of nibabel).",
    ),
    ("a FITS file", (b"SIMPLE  =",), "Save its image as TIFF or NIfTI."),
    ("a file of MATLAB", (b"MATLAB ",), "Save it as TIFF or NIfTI (niftiwrite)."),
    (
        "an OLE2 file (OIB, ZVI or Office)",
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",),
        _MICROSCOPY,
    ),
    (
        "a header of Analyze 7.5, which does not tell left from right",
        (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c"),
        "Convert it to NIfTI with the program that wrote it.",
    ),
    (
        "a file of FreeSurfer (MGH)",
        (b"\x00\x00\x00\x01\x00\x00",),
        "Convert it to NIfTI (mri_convert scan.mgz scan.nii.gz).",
    ),
    (
        "a NetCDF file (MINC 1)",
        (b"CDF\x01", b"CDF\x02"),
        "Convert it to NIfTI (mnc2nii).",
    ),
    (
        "a NumPy file",
        (b"\x93NUMPY",),
        "Read it in Python (numpy.load) and save it as TIFF or NIfTI, or predict from there.",
    ),
    ("a ZIP archive", (b"PK\x03\x04",), _ARCHIVE),
    ("a 7z archive", (b"7z\xbc\xaf\x27\x1c",), _ARCHIVE),
    ("a file in xz", (b"\xfd7zXZ\x00",), _ARCHIVE),
    ("a file in bzip2", (b"BZh",), _ARCHIVE),
    ("a file in Zstandard", (b"\x28\xb5\x2f\xfd",), _ARCHIVE),
    ("a GIF picture", (b"GIF8",), _PICTURE),
    ("a WebP picture, or another RIFF file", (b"RIFF",), _PICTURE),
    ("a BMP picture", (b"BM",), _PICTURE),
    ("a JPEG 2000 picture", (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51"), _PICTURE),
    ("a PDF document", (b"%PDF",), "Save its picture as PNG or TIFF."),
)
"""What it is, how it begins, and what to do."""


def foreign_format(head: bytes) -> tuple[str, str] | None:
    """What a file is by its first bytes, and what to do; None if that is not known."""
    for what, starts, advice in _FOREIGN:
        if head.startswith(starts):
            return what, advice
    if head[_MRC_PLACE:].startswith(_MRC_MARK):
        return (
            "an MRC file (cryo-EM)",
            "Convert it to TIFF (mrc2tif of IMOD, or ImageJ).",
        )
    return None
