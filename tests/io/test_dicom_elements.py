"""Elements of DICOM files that claim more bytes than there are."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.io.dicom_elements import overrun

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
    assert overrun(write(tmp_path / "a.dcm", syntax, undefined)) == ""


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
    assert "element (0010,0010) tells of" in overrun(path)


def test_other_files(tmp_path: Path) -> None:
    for content in (b"", b"DICM", bytes(132), bytes(128) + b"DICM", b"\x08\0\0\0text" * 9):
        (tmp_path / "a").write_bytes(content)
        overrun(tmp_path / "a")
