"""Formats that are not read are called by their names, with a way on."""

from __future__ import annotations

import bz2
import io
import lzma
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_fewshot.errors import UnreadableFileError
from napari_fewshot.io import read_volume

DATA = np.arange(24, dtype=np.uint8).reshape(4, 6)


def content_of(kind: str) -> bytes:
    stream = io.BytesIO()
    if kind == "npy":
        np.save(stream, DATA)
    elif kind == "npz":
        np.savez(stream, DATA)
    elif kind == "zip":
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("a.tif", "x")
    else:
        Image.fromarray(DATA).save(stream, format=kind)
    return stream.getvalue()


CASES = {
    "czi": (b"ZISRAWFILE" + bytes(40), "a CZI file.*bioformats2raw"),
    "nd2": (b"\xda\xce\xbe\x0a" + bytes(40), "an ND2 file.*bfconvert"),
    "lif": (b"\x70\0\0\0\x10\0\0\0\x2a" + bytes(40), "a LIF file.*Bio-Formats"),
    "oir": (b"OLYMPUSRAWFORMAT" + bytes(40), "an OIR file.*Bio-Formats"),
    "dm3": (b"\0\0\0\x03\0\0\x01\0" + bytes(40), "DigitalMicrograph.*Bio-Formats"),
    "par": (b"# === DATA DESCRIPTION FILE ====", "PAR/REC.*dcm2niix"),
    "fits": (b"SIMPLE  =                    T", "a FITS file"),
    "mat": (b"MATLAB 5.0 MAT-file", "a file of MATLAB.*niftiwrite"),
    "mrc": (bytes(208) + b"MAP " + bytes(812), "an MRC file.*mrc2tif"),
    "webp": (b"RIFF\0\0\0\0WEBP", "WebP"),
    "oib": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40), "an OLE2 file"),
    "npy": (content_of("npy"), "a NumPy file.*numpy.load"),
    "npz": (content_of("npz"), "a ZIP archive.*Unpack"),
    "zip": (content_of("zip"), "a ZIP archive"),
    "gif": (content_of("GIF"), "a GIF picture.*PNG or TIFF"),
    "bmp": (content_of("BMP"), "a BMP picture"),
    "pdf": (b"%PDF-1.4\n", "a PDF document"),
    "tif.xz": (lzma.compress(b"II*\0"), "in xz"),
    "tif.bz2": (bz2.compress(b"II*\0"), "in bzip2"),
}


@pytest.mark.parametrize("ending", CASES)
def test_names(tmp_path: Path, ending: str) -> None:
    content, match = CASES[ending]
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=f"a.{ending} must be one of NIfTI.*{match}"):
        read_volume(path)


def test_formats_of_nibabel(tmp_path: Path) -> None:
    image = DATA.astype(np.int16)[..., None]
    nib.save(nib.AnalyzeImage(image, np.eye(4)), tmp_path / "a.img")
    for name in ("a.hdr", "a.img"):
        with pytest.raises(UnreadableFileError, match="Analyze 7.5"):
            read_volume(tmp_path / name)
    for name in ("a.mgh", "a.mgz"):
        nib.save(nib.MGHImage(image.astype(np.float32), np.eye(4)), tmp_path / name)
        with pytest.raises(UnreadableFileError, match="FreeSurfer.*mri_convert"):
            read_volume(tmp_path / name)
