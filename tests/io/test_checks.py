"""What is checked before a file is believed: names, streams, and which numbers are labels."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io.checks import (
    GZIP,
    ZLIB_OR_GZIP,
    as_image,
    as_labels,
    check_stream,
    file_beside,
    fitting_dtype,
    warn_of_blur,
)
from napari_fewshot.types import Array

DATA = bytes(range(256)) * 20


def test_plain_names_in_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "a b.raw").write_bytes(b"1")
    (tmp_path / "c.raw.gz").write_bytes(b"1")
    header = tmp_path / "a.mhd"
    assert file_beside(header, "a b.raw") == tmp_path / "a b.raw"
    assert file_beside(header, "./a b.raw") == tmp_path / "a b.raw"
    assert file_beside(header, "c.raw", ("", ".gz")) == tmp_path / "c.raw.gz"


@pytest.mark.parametrize(
    "name",
    ["../a.raw", "/etc/passwd", "in/a.raw", "..", ".", "", "-", "in\\a.raw", "C:a.raw", "a\0.raw"],
)
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    for place in (tmp_path / "a.raw", tmp_path / "in" / "a.raw"):
        place.write_bytes(b"1")
    with pytest.raises(UnreadableFileError, match="by plain names, in its own folder"):
        file_beside(tmp_path / "in" / "a.mhd", name)


def test_links_and_folders_are_no_data_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"1")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.raw").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "folder.raw").mkdir()
    header = tmp_path / "in" / "a.mhd"
    with pytest.raises(UnreadableFileError, match=r"link\.raw, which is a link"):
        file_beside(header, "link.raw")
    for name in ("folder.raw", "none.raw"):
        with pytest.raises(UnreadableFileError, match="which is no file there"):
            file_beside(header, name)


def stream(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "stream"
    path.write_bytes(b"head" + content)
    return path


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(DATA), GZIP),
        (gzip.compress(DATA), ZLIB_OR_GZIP),
        (zlib.compress(DATA), ZLIB_OR_GZIP),
        (gzip.compress(DATA[:99]) + gzip.compress(DATA[99:]), GZIP),
        (gzip.compress(DATA) + b"anything", GZIP),
    ],
)
def test_whole_streams(tmp_path: Path, content: bytes, kind: int) -> None:
    check_stream(stream(tmp_path, content), 4, len(content), len(DATA), kind=kind)


@pytest.mark.parametrize("length", [len(DATA) - 1, len(DATA) + 1, 2 * len(DATA), 10**12])
def test_streams_of_another_length(tmp_path: Path, length: int) -> None:
    content = gzip.compress(DATA)
    with pytest.raises(ValueError, match=f"{length}"):
        check_stream(stream(tmp_path, content), 4, len(content), length)


def test_a_longer_stream_where_bytes_are_skipped(tmp_path: Path) -> None:
    content = gzip.compress(DATA)
    check_stream(stream(tmp_path, content), 4, len(content), 9, longer=True)


def test_damaged_and_cut_streams(tmp_path: Path) -> None:
    content = gzip.compress(DATA)
    wrong = content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]
    with pytest.raises(zlib.error):
        check_stream(stream(tmp_path, wrong), 4, len(wrong), len(DATA))
    with pytest.raises(ValueError, match="bytes after decompression"):
        check_stream(stream(tmp_path, content[:-1]), 4, len(content), len(DATA))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32])
def test_small_integers_are_kept(dtype: type) -> None:
    assert as_labels(np.array([[0, 3]], dtype), "labels").dtype == dtype


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.uint64, np.float32, np.float64])
def test_others_become_int32(dtype: type) -> None:
    result = as_labels(np.array([[0, 70000]], dtype), "labels")
    assert result.dtype == np.int32
    assert result.tolist() == [[0, 70000]]


def test_truth_values_and_equal_channels() -> None:
    assert as_labels(np.array([[True, False]]), "labels").tolist() == [[1, 0]]
    grey = np.array([[1, 2], [3, 4]])
    stacked = np.stack([grey] * 3, axis=-1)
    np.testing.assert_array_equal(as_labels(stacked, "labels", has_channels=True), grey)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.0, np.nan], "hold finite labels; got 1 values that are NaN.*Replace them by 0"),
        ([0.0, np.inf], "hold finite labels"),
        ([0.0, 1.25], r"hold whole numbers as labels; got values such as 1\.25.*nearest"),
        ([0, -3], "hold labels of at least 0; got values down to -3.*0 is the background"),
        ([0.0, -1.0], "hold labels of at least 0"),
        ([0, 2**31], "hold labels up to 2147483647; got 2147483648.*Renumber"),
        ([0.0, 1e30], "hold labels up to 2147483647"),
        ([1j, 0], "hold whole numbers as labels; got values of type complex128"),
    ],
)
def test_other_values_are_refused(values: list[float], message: str) -> None:
    with pytest.raises(InputError, match=f"^mask.nii must {message}"):
        as_labels(np.array([values]), "mask.nii")


def test_colours_are_no_labels() -> None:
    colour = np.zeros((2, 2, 3), np.uint8)
    colour[0, 0, 1] = 9
    with pytest.raises(InputError, match=r"a colour image of 3 channels.*grey or palette"):
        as_labels(colour, "labels", has_channels=True)


@pytest.mark.parametrize(
    ("high", "dtype"),
    [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65535, "uint16"), (65536, "int32")],
)
def test_fitting_dtype(high: int, dtype: str) -> None:
    assert fitting_dtype(np.array([0, high])) == dtype


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([True]), "uint8"),
        (np.array([1], ">i2"), "int16"),
        (np.array([1.5], np.float16), "float32"),
        (np.array([1e300]), "float32"),
    ],
)
def test_image_dtypes(array: Array, dtype: str) -> None:
    assert as_image(array, "image").dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_of_a_scale_factor(dtype: type[np.floating]) -> None:
    labels = np.array([0, 1, 2, 40, 2000])
    for off in (1 - 1e-7, 1 + 1e-7, 0.9999997):
        found = as_labels((labels * off).astype(dtype), "labels")
        np.testing.assert_array_equal(found, labels)
    found = as_labels((labels - 0.0009).astype(dtype), "labels")
    np.testing.assert_array_equal(found, labels)
    with pytest.raises(InputError, match="whole numbers as labels"):
        as_labels((labels + 0.01).astype(dtype), "labels")


def smoothed_mask() -> Array:
    y, x = np.indices((200, 200))
    away = np.hypot(y - 100, x - 100) - 60
    return np.clip(127.5 - 80 * away, 0, 255).astype(np.uint8)


def test_a_mask_with_a_smoothed_border_is_told(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_blur(smoothed_mask(), "mask.png")
    assert "mask.png holds" in caplog.text
    assert "was a mask smoothed at its border?" in caplog.text


def test_label_maps_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    mask = np.where(smoothed_mask() > 127, 255, 0)
    atlas = np.zeros((200, 200), np.uint8)
    for value in range(1, 41):
        y, x = rng.integers(0, 190, 2)
        atlas[y : y + 6, x : x + 6] = value
    organs = np.zeros((200, 200), np.uint8)
    organs[:100] = 9  # lungs
    for value in range(1, 9):  # smaller ones
        organs[150:160, 20 * value : 20 * value + 10 + value % 2] = value
    several = (mask.astype(np.uint8), atlas, atlas.astype(np.int32) * 1000, mask * 0)
    for labels in (*several, organs):
        warn_of_blur(labels, "labels.png")
    assert not caplog.text
