"""Names of other files, and check sums of streams, before they are believed."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from napari_fewshot.errors import UnreadableFileError
from napari_fewshot.io.checks import GZIP, ZLIB_OR_GZIP, check_stream, file_beside

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
