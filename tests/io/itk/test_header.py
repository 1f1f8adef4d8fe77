"""Headers of NRRD and MetaImage: what they may name and claim, before ITK reads them."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.errors import UnreadableFileError
from napari_fewshot.io import read_volume
from napari_fewshot.io.itk.header import LARGEST_HEADER, check_itk_file

NRRD = "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 6 4\nencoding: {}\n"
META = "ObjectType = Image\nNDims = 2\nDimSize = 6 4\nElementType = MET_UCHAR\n"
PIXELS = bytes(range(24))


def write(path: Path, header: str, pixels: bytes = PIXELS) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(header.encode() + pixels)
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(UnreadableFileError, match=match):
        read_volume(path)


@pytest.mark.parametrize("where", ["other.raw", "./other.raw"])
def test_data_beside_the_header(tmp_path: Path, where: str) -> None:
    pytest.importorskip("SimpleITK")
    (tmp_path / "other.raw").write_bytes(PIXELS)
    nrrd = write(tmp_path / "a.nhdr", f"{NRRD.format('raw')}data file: {where}\n", b"")
    meta = write(tmp_path / "a.mhd", f"{META}ElementDataFile = {where}\n", b"")
    for path in (nrrd, meta):
        assert read_volume(path).data.tobytes() == PIXELS


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("{other}", "by plain names"),
        ("../secret.raw", "by plain names"),
        ("/dev/zero", "by plain names"),
        ("link.raw", "which is a link"),
        ("LIST\n{other}", "data in one file"),
        ("LIST 1\n../secret.raw", "data in one file"),
        ("../secret%d.raw 1 1 1", "data in one file"),
    ],
)
def test_data_elsewhere(tmp_path: Path, ending: str, name: str, why: str) -> None:
    pytest.importorskip("SimpleITK")
    other = tmp_path / "secret.raw"
    other.write_bytes(PIXELS)
    (tmp_path / "secret1.raw").write_bytes(PIXELS)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.raw").symlink_to(other)
    name = name.format(other=other)
    header = f"{NRRD.format('raw')}data file: {name}\n\n"
    if ending.startswith(".m"):
        header = f"{META}ElementDataFile = {name}\n"
    refused(write(tmp_path / "in" / f"a{ending}", header, b""), why)


@pytest.mark.parametrize(
    "header",
    [
        f"{META}ElementDataFile : ../secret.raw\n",
        f"{META}ElementDataFile\n= ../secret.raw\n",
        f"{META} ElementDataFile == ../secret.raw\n",
        f"{META}Comment\rElementDataFile = ../secret.raw\n",
        f"{META}Name = a\0\nElementDataFile = ../secret.raw\n",
        META + "Comment = x\n" * (LARGEST_HEADER // 12) + "ElementDataFile = ../secret.raw\n",
        f"{NRRD.format('raw')}Data File: ../secret.raw\n\n",
        f"{NRRD.format('raw')}datafile: ../secret.raw\n\n",
        f"{NRRD.format('raw')}datafile: ../secret.raw\r\n\r\n",
        NRRD.format("raw") + "# comments\n" * (LARGEST_HEADER // 11) + "data file: ../secret.raw\n",
    ],
    ids=range(10),
)
def test_ways_to_hide_the_name(tmp_path: Path, header: str) -> None:
    pytest.importorskip("SimpleITK")
    (tmp_path / "secret.raw").write_bytes(PIXELS)
    ending = ".nrrd" if header.startswith("NRRD") else ".mha"
    refused(write(tmp_path / "in" / f"a{ending}", header), "must")


def test_the_name_does_not_choose_another_reader(tmp_path: Path) -> None:
    """The content decides which of ITK's readers is asked, and no other one."""
    pytest.importorskip("SimpleITK")
    path = write(tmp_path / "a.png", f"{META}ElementDataFile = LOCAL\n")
    assert check_itk_file(path) == ("MetaImageIO", False)
    assert read_volume(path).data.tobytes() == PIXELS


PACKED = zlib.compress(PIXELS)
LOCAL = "ElementDataFile = LOCAL\n"


@pytest.mark.parametrize(
    ("header", "pixels"),
    [
        (META.replace("DimSize = 6 4", "DimSize = 60000 40000") + LOCAL, PIXELS),
        (META.replace("DimSize = 6 4", "DimSize = 6") + LOCAL, PIXELS),
        (META.replace("DimSize = 6 4", "DimSize = 6 -4") + LOCAL, PIXELS),
        (META.replace("NDims = 2", "NDims = 99999") + LOCAL, PIXELS),
        (META.replace("NDims = 2", "NDims = -1") + LOCAL, PIXELS),
        (META.replace("MET_UCHAR", "MET_PIXEL") + LOCAL, PIXELS),
        (f"{META}DimSize = 3 4\n{LOCAL}", PIXELS),
        (f"{META}HeaderSize = -2\n{LOCAL}", PIXELS),
        (f"{META}HeaderSize = 900\n{LOCAL}", PIXELS),
        (f"{META}ElementSpacing = 1\n{LOCAL}", PIXELS),
        (f"{META}CompressedData = True\n{LOCAL}", PACKED),  # ITK would take the header for pixels
        (f"{META}CompressedData = True\nCompressedDataSize = 4\n{LOCAL}", PACKED),
        (f"{META}CompressedData = True\nCompressedDataSize = 999\n{LOCAL}", PACKED),
        (f"{META}CompressedData = True\nHeaderSize = -1\n{LOCAL}", PACKED),
        (META, b""),
        (NRRD.format("raw").replace("6 4", "60000 40000") + "\n", PIXELS),
        (NRRD.format("gzip").replace("6 4", "60000 40000") + "\n", PIXELS),
        (NRRD.format("ascii") + "\n", PIXELS),
        (NRRD.format("raw").replace("6 4", "6") + "\n", PIXELS),
        (NRRD.format("raw").replace("uchar", "block") + "\n", PIXELS),
        (NRRD.format("raw") + "sizes: 6 4\n\n", PIXELS),
        (NRRD.format("raw") + "X" * 1500 + "\n\n", PIXELS),
        (NRRD.format("raw") + "line skip: 9\n\n", PIXELS),
    ],
)
def test_claims_that_do_not_fit(tmp_path: Path, header: str, pixels: bytes) -> None:
    """Seen before ITK is asked, which may crash, hang or take memory for them."""
    ending = ".nrrd" if header.startswith("NRRD") else ".mha"
    with pytest.raises(UnreadableFileError, match="must be a whole NRRD or MetaImage file"):
        check_itk_file(write(tmp_path / f"a{ending}", header, pixels))


@pytest.mark.parametrize(
    ("header", "pixels"),
    [
        (f"Comment =\nComment = {'x' * 300}\n{META}{LOCAL}", PIXELS),
        (f"{META}0008|0060 = CT\nFoo/Bar = a: b = c\n{LOCAL}", PIXELS),
        ((META + LOCAL).replace("\n", "\r\n"), PIXELS),
        (f"{META}HeaderSize = -1\n{LOCAL}", b"other" + PIXELS),
        (f"{META}CompressedData = True\nCompressedDataSize = {len(PACKED)}\n{LOCAL}", PACKED),
        (f"{META}BinaryData = False\n{LOCAL}", b"\n".join(b"%d" % v for v in PIXELS) + b"\n"),
        (NRRD.format("ascii") + "\n", b" ".join(b"%d" % v for v in PIXELS)),
        (NRRD.format("hex") + "\n", PIXELS.hex().encode()),
        (f"{NRRD.format('raw')}content: {'x' * 3000}\na key:={'x' * 3000}\n\n", PIXELS),
        (f"{NRRD.format('raw')}line skip: 1\nbyte skip: 2\n\n", b"line\nab" + PIXELS),
        (f"{NRRD.format('raw')}byte skip: -1\n\n", b"more" + PIXELS),
    ],
)
def test_unusual_files_stay_readable(tmp_path: Path, header: str, pixels: bytes) -> None:
    pytest.importorskip("SimpleITK")
    ending = ".nrrd" if header.startswith("NRRD") else ".mha"
    volume = read_volume(write(tmp_path / f"a{ending}", header, pixels))
    np.testing.assert_array_equal(volume.data.ravel(), list(PIXELS))


@pytest.mark.parametrize("packed", ["a.zraw", "a.zraw.gz"])
def test_packed_data_beside(tmp_path: Path, packed: str) -> None:
    """ITK looks for a file of the name, then for one that ends in .gz."""
    pytest.importorskip("SimpleITK")
    (tmp_path / packed).write_bytes(PACKED)
    header = META + ("CompressedData = True\n" if packed == "a.zraw" else "")
    path = write(tmp_path / "a.mhd", f"{header}ElementDataFile = a.zraw\n", b"")
    assert read_volume(path).data.tobytes() == PIXELS


LONG_FIELDS = ["space", "spacings", "thicknesses", "axis mins", "axis maxs", "space directions",
               "centers", "kinds", "labels", "units", "old min", "endian", "space units",
               "space origin", "measurement frame"]  # fmt: skip


@pytest.mark.parametrize("field", LONG_FIELDS)
@pytest.mark.parametrize("value", ["y" * 1500, "x " * 50_000, '"a" ' * 400, "1" * 5000])
def test_fields_that_crash_nrrd(tmp_path: Path, field: str, value: str) -> None:
    pytest.importorskip("SimpleITK")
    header = f"{NRRD.format('raw')}{field}: {value}\n\n"
    refused(write(tmp_path / "a.nrrd", header), "bytes of the field|the field space")


def test_more_pairs_than_nrrd_takes_in_time(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    pairs = "".join(f"k{k}:=v\n" for k in range(50_000))
    refused(write(tmp_path / "a.nrrd", f"{NRRD.format('raw')}{pairs}\n"), "50000 pairs")
    few = "".join(f"k{k}:={'v' * 900}\n" for k in range(500))
    content = f"content: {'c' * 900}\n"
    path = write(tmp_path / "b.nrrd", f"{NRRD.format('raw')}{content}{few}\n")
    assert read_volume(path).data.tobytes() == PIXELS
