"""Headers that other programs write and read, pairs of files, and claims that do not fit."""

from __future__ import annotations

import gzip
import logging
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import output_path, read_labels, read_volume, write_labels
from napari_fewshot.io.find import find_images
from napari_fewshot.memory import MAX_MEMORY
from napari_fewshot.types import Array

DATA = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
AFFINE = np.diag([-1.0, 2.0, 3.0, 1.0])
HALF = np.float32(np.sqrt(0.5))


def written(path: Path, *patches: tuple[int, bytes], version: int = 1) -> Path:
    """A sound file with some bytes changed."""
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    nib.save(kind(np.ascontiguousarray(DATA.T), AFFINE), path)
    content = bytearray(path.read_bytes())
    for offset, value in patches:
        content[offset : offset + len(value)] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "patches",
    [
        [(112, struct.pack("<ff", 1, np.nan))],
        [(112, struct.pack("<ff", np.nan, np.nan))],
        [(112, struct.pack("<ff", 0, 7))],
        [(112, struct.pack("<ff", 1, np.inf))],
        [(123, bytes([7]))],
        [(123, bytes([255]))],
        [(123, bytes([2 | 56]))],
        [(68, struct.pack("<h", 9999))],  # an intent that nobody knows
        [(72, struct.pack("<h", 99))],  # bits for each value
        [(108, struct.pack("<f", 0))],
    ],
    ids=range(10),
)
def test_odd_values_that_mean_nothing(
    tmp_path: Path, patches: list[tuple[int, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "a.nii", *patches)
    with caplog.at_level(logging.WARNING):
        volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, DATA)
    assert volume.spacing == (3, 2, 1)
    unknown = patches[0][0] == 123
    assert ("unit of code" in caplog.text) is unknown
    write_labels(tmp_path / "o.nii.gz", DATA, volume)
    np.testing.assert_array_equal(read_labels(tmp_path / "o.nii.gz").data, DATA)


@pytest.mark.parametrize("size", [0.0, np.nan, np.inf])
def test_a_voxel_size_that_cannot_be(
    tmp_path: Path, size: float, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = (252, struct.pack("<hh", 0, 0))  # neither qform nor sform
    path = written(tmp_path / "a.nii", (84, struct.pack("<f", size)), nowhere)
    assert read_volume(path).spacing == (3, 1, 1)
    assert "1 mm is taken for it" in caplog.text


@pytest.mark.parametrize("factor", [1.0000004, 1.00001, 1.001])
def test_a_quaternion_that_is_too_long(tmp_path: Path, factor: float) -> None:
    part = HALF * np.float32(factor)
    patches = [(252, struct.pack("<hh", 1, 0)), (256, struct.pack("<fff", part, part, 0))]
    affine = read_volume(written(tmp_path / "a.nii", *patches)).affine
    assert affine is not None
    turn = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    np.testing.assert_allclose(turn.T @ turn, np.eye(3), atol=1e-3)


def test_a_quaternion_of_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = (256, struct.pack("<fff", np.nan, 0, 0))
    assert read_volume(written(tmp_path / "s.nii", bad)).affine is not None  # the sform is sound
    only = read_volume(written(tmp_path / "q.nii", bad, (252, struct.pack("<hh", 1, 0))))
    assert only.affine is None
    assert "singular affine" in caplog.text


def test_the_qform_counts_where_the_sform_is_singular(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ascontiguousarray(DATA.T), AFFINE)
    image.set_qform(AFFINE, 1)
    nib.save(image, tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[280:328] = bytes(48)
    (tmp_path / "a.nii").write_bytes(content)
    affine = read_volume(tmp_path / "a.nii").affine
    assert affine is not None
    np.testing.assert_allclose(affine[:, [2, 1, 0, 3]], AFFINE, atol=1e-6)


def test_sizes_of_voxels_have_no_sign(tmp_path: Path) -> None:
    sizes = struct.pack("<4f", 0, -1, 2, -3)
    path = written(tmp_path / "a.nii", (76, sizes), (252, struct.pack("<2h", 1, 1)))
    read = read_volume(path)
    np.testing.assert_allclose(read.spacing, (3, 2, 1))
    np.testing.assert_array_equal(read.data, DATA)


def test_pixels_right_behind_the_header(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii", (108, struct.pack("<f", 348)))
    content = path.read_bytes()
    path.write_bytes(content[:348] + content[352:])
    np.testing.assert_array_equal(read_volume(path).data, DATA)


def rgb(path: Path) -> Path:
    dtype = [("R", "u1"), ("G", "u1"), ("B", "u1")]
    nib.save(nib.Nifti1Image(np.ones((5, 4, 3), dtype), AFFINE), path)
    content = bytearray(path.read_bytes())
    content[112:116] = struct.pack("<f", 2)
    path.write_bytes(content)
    return path


def test_a_slope_of_colours_means_nothing(tmp_path: Path) -> None:
    volume = read_volume(rgb(tmp_path / "a.nii"))
    assert volume.data.shape == (3, 4, 5, 3)
    assert (volume.data == 1).all()


@pytest.mark.parametrize(
    ("patch", "version"),
    [
        ((42, struct.pack("<h", -5)), 1),
        ((42, struct.pack("<h", 0)), 1),
        ((40, struct.pack("<h", 0)), 1),
        ((40, struct.pack("<h", 1)), 1),
        ((40, struct.pack("<h", 30000)), 1),
        ((70, struct.pack("<h", 1)), 1),  # one bit for each voxel
        ((70, struct.pack("<h", 77)), 1),
        ((70, struct.pack("<h", 32)), 1),  # complex
        ((108, struct.pack("<f", np.inf)), 1),
        ((108, struct.pack("<f", np.nan)), 1),
        ((108, struct.pack("<f", -352)), 1),
        ((108, struct.pack("<f", 9)), 1),
        ((108, struct.pack("<f", 352.5)), 1),
        ((108, struct.pack("<f", 1e9)), 1),
        ((42, struct.pack("<hhh", 30000, 30000, 30000)), 1),
        ((16, struct.pack("<qqqq", 3, 2**40, 2**40, 4)), 2),
        ((24, struct.pack("<q", -5)), 2),
        ((168, struct.pack("<q", -1)), 2),
        ((168, struct.pack("<q", 2**62)), 2),
    ],
    ids=range(19),
)
def test_headers_of_no_image(tmp_path: Path, patch: tuple[int, bytes], version: int) -> None:
    path = written(tmp_path / "a.nii", patch, version=version)
    for read in (read_volume, read_labels):
        with pytest.raises(InputError, match="a.nii must"):
            read(path)
    packed = tmp_path / "a.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match="a.nii.gz must"):
        read_volume(packed)


def test_more_than_the_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.nii")
    monkeypatch.setenv(MAX_MEMORY, "1e-7")
    with pytest.raises(InputError, match="fit into the memory.*--max-memory"):
        read_volume(path)


def pair(folder: Path, data: Array, packed: str = "", version: int = 1) -> tuple[Path, Path]:
    kind = nib.Nifti1Pair if version == 1 else nib.Nifti2Pair
    nib.save(kind(np.ascontiguousarray(data.T), AFFINE), folder / f"a.img{packed}")
    return folder / f"a.hdr{packed}", folder / f"a.img{packed}"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_pairs(tmp_path: Path, packed: str, version: int) -> None:
    header, pixels = pair(tmp_path, DATA, packed, version)
    for path in (header, pixels):
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.data, DATA)
        assert volume.affine is not None
        np.testing.assert_allclose(volume.affine[:, [2, 1, 0, 3]], AFFINE)
        assert output_path(path, tmp_path).name == "a_labels.nii.gz"
    write_labels(tmp_path / "o.nii.gz", DATA, volume)
    assert nib.load(tmp_path / "o.nii.gz").shape == (5, 4, 3)
    np.testing.assert_array_equal(read_labels(tmp_path / "o.nii.gz").data, DATA)
    (tmp_path / "o.nii.gz").unlink()
    assert find_images("IMAGE", [tmp_path]).images == (header,)


def test_pairs_of_which_one_is_missing(tmp_path: Path) -> None:
    header, pixels = pair(tmp_path, DATA)
    content = pixels.read_bytes()
    pixels.unlink()
    with pytest.raises(InputError, match="a header without its file .img"):
        read_volume(header)
    pixels.write_bytes(content[:-3])
    with pytest.raises(UnreadableFileError, match="where the header tells of"):
        read_volume(header)
    header.unlink()
    with pytest.raises(UnreadableFileError, match="be one of NIfTI"):
        read_volume(pixels)


def test_a_pair_is_not_written(tmp_path: Path) -> None:
    volume = read_volume(pair(tmp_path, DATA)[0])
    with pytest.raises(InputError, match="be one file"):
        write_labels(tmp_path / "b.hdr", DATA, volume)


def test_a_damaged_end_of_gzip(tmp_path: Path) -> None:
    """Also of the pixels of a pair, whose check sum stands at the end."""
    _, pixels = pair(tmp_path, DATA, ".gz")
    content = bytearray(pixels.read_bytes())
    content[-8] ^= 1
    pixels.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="CRC"):
        read_volume(tmp_path / "a.hdr.gz")
