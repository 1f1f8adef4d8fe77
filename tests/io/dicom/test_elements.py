"""Elements of DICOM files that claim more bytes than there are, or that end before the pixels."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.io.dicom.elements import Elements, elements_of

pytest.importorskip("pydicom")

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}


def write(path: Path, syntax: str, undefined: bool = False) -> Path:
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = generate_uid()
    inner.is_undefined_length_sequence_item = undefined
    own = Dataset()
    own.file_meta = FileMetaDataset()
    own.file_meta.TransferSyntaxUID = SYNTAXES[syntax]
    own.file_meta.MediaStorageSOPClassUID = own.SOPClassUID = CTImageStorage
    own.file_meta.MediaStorageSOPInstanceUID = own.SOPInstanceUID = generate_uid()
    own.ReferencedImageSequence = Sequence([inner, inner])
    own["ReferencedImageSequence"].is_undefined_length = undefined
    own.PatientName = "Nobody"
    own.Rows, own.Columns = 3, 4
    own.BitsAllocated, own.SamplesPerPixel, own.PixelRepresentation = 16, 1, 0
    own.PixelData = np.zeros((3, 4), np.uint16).tobytes()
    own["PixelData"].VR = "OW"
    stream = io.BytesIO()
    own.save_as(stream, enforce_file_format=True)
    path.write_bytes(stream.getvalue())
    return path


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_sound_files(tmp_path: Path, syntax: str, undefined: bool) -> None:
    assert elements_of(write(tmp_path / "a.dcm", syntax, undefined)) == Elements()


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big"])
def test_headers_without_pixels(tmp_path: Path, syntax: str, undefined: bool) -> None:
    path = write(tmp_path / "a.dcm", syntax, undefined)
    whole = path.read_bytes()
    tag = struct.pack(">HH" if syntax == "big" else "<HH", 0x7FE0, 0x0010)
    path.write_bytes(whole[: whole.index(tag)])
    assert elements_of(path) == Elements(ends_before_pixels=True)
    path.write_bytes(whole[: whole.index(tag) - 1])  # cut off: damaged, not without pixels
    assert not elements_of(path).ends_before_pixels


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big"])
def test_a_length_behind_the_end(tmp_path: Path, syntax: str, undefined: bool) -> None:
    path = write(tmp_path / "a.dcm", syntax, undefined)
    content = bytearray(path.read_bytes())
    at = content.index(b"Nobody")
    order = ">" if syntax == "big" else "<"
    large = struct.pack(order + "I", 2**30) if syntax == "implicit" else b"\xff\xfe"
    content[at - len(large) : at] = large
    path.write_bytes(content)
    assert "element (0010,0010) tells of" in elements_of(path).overrun


def test_other_files(tmp_path: Path) -> None:
    for content in (b"", b"DICM", bytes(132), bytes(128) + b"DICM", b"\x08\0\0\0text" * 9):
        (tmp_path / "a").write_bytes(content)
        assert not elements_of(tmp_path / "a").overrun
