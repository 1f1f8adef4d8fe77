"""Chains of pages that lead nowhere are seen at once."""

from __future__ import annotations

import struct
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
import tifffile

from napari_fewshot.errors import UnreadableFileError
from napari_fewshot.io import read_volume
from napari_fewshot.io.tiff.chain import check_chain

PAGES = np.zeros((250, 4, 5), np.uint8)


def written(path: Path, **options: bool) -> tuple[Path, list[int], list[int]]:
    """A file, where its pages begin, and where each says where the next begins."""
    with tifffile.TiffWriter(path, **options) as tif:
        for page in PAGES:
            tif.write(page, metadata=None, contiguous=False)
    with tifffile.TiffFile(path) as tif:
        starts = [page.offset for page in tif.pages]
        big = tif.is_bigtiff
    content = path.read_bytes()
    wide, entry, count = (8, 20, "<Q") if big else (4, 12, "<H")
    head = struct.calcsize(count)
    nexts = [s + head + entry * struct.unpack(count, content[s : s + head])[0] for s in starts]
    assert all(
        int.from_bytes(content[at : at + wide], "little") == after
        for at, after in zip(nexts, [*starts[1:], 0], strict=True)
    )
    return path, starts, nexts


def put(path: Path, at: int, value: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(value)] = value
    path.write_bytes(content)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("last", "first"), [(249, 0), (249, 248), (180, 150), (3, 3)])
def test_circles(tmp_path: Path, big: bool, last: int, first: int) -> None:
    path, starts, nexts = written(tmp_path / "a.tif", bigtiff=big)
    check_chain(path)
    put(path, nexts[last], struct.pack("<Q" if big else "<I", starts[first]))
    before = monotonic()
    with pytest.raises(UnreadableFileError, match=r"a.tif must be a whole TIFF file.*in a circle"):
        read_volume(path)
    assert monotonic() - before < 5


@pytest.mark.parametrize("offset", [10**9, 2**32 - 1])
def test_far_away(tmp_path: Path, offset: int) -> None:
    path, _, nexts = written(tmp_path / "a.tif")
    put(path, nexts[200], struct.pack("<I", offset))
    with pytest.raises(UnreadableFileError, match="where a page would begin"):
        read_volume(path)


def test_a_tag_that_claims_more_than_there_is(tmp_path: Path) -> None:
    path, starts, _ = written(tmp_path / "a.tif")
    content = path.read_bytes()
    at = content.index(struct.pack("<HH", 273, 4), starts[0])  # offsets of the strips
    put(path, at + 4, struct.pack("<II", 2**31, 8))
    with pytest.raises(UnreadableFileError, match="where tag 273 would end"):
        read_volume(path)


def test_pages_below_pages(tmp_path: Path) -> None:
    """Levels of a pyramid are followed too; a circle among them ends."""
    path = tmp_path / "a.ome.tif"
    image = np.zeros((64, 64), np.uint8)
    with tifffile.TiffWriter(path) as tif:
        tif.write(image, subifds=2, tile=(16, 16))
        tif.write(image[::2, ::2], subfiletype=1, tile=(16, 16))
        tif.write(image[::4, ::4], subfiletype=1, tile=(16, 16))
    check_chain(path)
    assert read_volume(path).shape == (64, 64)
    with tifffile.TiffFile(path) as tif:
        below = tif.pages.first.subifds
    assert below is not None
    content = path.read_bytes()
    at = content.index(struct.pack("<II", *below)) if len(below) == 2 else -1
    put(path, at, struct.pack("<II", len(content) + 9, below[1]))
    with pytest.raises(UnreadableFileError, match="where a page would begin"):
        read_volume(path)


def test_no_pages_at_all(tmp_path: Path) -> None:
    for content in (b"II*\0", b"II*\0\x08\0\0\0", b"II*\0\x08\0\0\0\xff\xff", b"MM\0+\0\x08\0\0"):
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.raises(UnreadableFileError, match="must be a whole TIFF file"):
            read_volume(tmp_path / "a.tif")
