"""Pixels of 10, 12 and 14 bits without gaps between them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.errors import UnreadableFileError
from napari_fewshot.io import read_volume
from napari_fewshot.types import Array

ROWS, WIDTH = 11, 13


def packed(page: Array, bits: int) -> bytes:
    """Most significant bit first; every row begins with a byte of its own."""
    digits = (page[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(digits.astype(np.uint8).reshape(len(page), -1), axis=1).tobytes()


def write(path: Path, pages: Array, bits: int, order: str = "<", strip: int = ROWS) -> None:
    """A TIFF file, written by hand."""
    mark = b"II" if order == "<" else b"MM"
    content = bytearray(struct.pack(order + "2sHI", mark, 42, 0))
    link = 4
    for page in pages:
        starts, sizes = [], []
        for first in range(0, ROWS, strip):
            piece = packed(page[first : first + strip], bits)
            starts.append(len(content))
            sizes.append(len(piece))
            content += piece
        content += b"\0" * (len(content) % 2)
        places = []
        for numbers in (starts, sizes):
            places.append(len(content) if len(numbers) > 1 else numbers[0])
            if len(numbers) > 1:
                content += struct.pack(f"{order}{len(numbers)}I", *numbers)
        tags = [
            (256, 4, 1, WIDTH),
            (257, 4, 1, ROWS),
            (258, 4, 1, bits),
            (259, 4, 1, 1),
            (262, 4, 1, 1),
            (273, 4, len(starts), places[0]),
            (277, 4, 1, 1),
            (278, 4, 1, strip),
            (279, 4, len(sizes), places[1]),
        ]
        content[link : link + 4] = struct.pack(order + "I", len(content))
        content += struct.pack(order + "H", len(tags))
        for tag in tags:
            content += struct.pack(order + "HHII", *tag)
        link = len(content)
        content += bytes(4)
    path.write_bytes(content)


@pytest.mark.parametrize("bits", [2, 4, 6, 10, 12, 14])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("count", [1, 3])
def test_values(tmp_path: Path, bits: int, order: str, count: int) -> None:
    pages = np.random.default_rng(bits).integers(0, 2**bits, (count, ROWS, WIDTH))
    write(tmp_path / "a.tif", pages, bits, order, strip=4)
    found = read_volume(tmp_path / "a.tif").data
    np.testing.assert_array_equal(found, pages if count > 1 else pages[0])


def test_too_few_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write(path, np.zeros((1, ROWS, WIDTH), int), 12)
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<HHI", 257, 4, 1)) + 8
    content[at : at + 4] = struct.pack("<I", 900)
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="whole TIFF file"):
        read_volume(path)
