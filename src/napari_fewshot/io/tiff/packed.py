"""Pixels of 2 to 31 bits that follow each other without gaps, as cameras of 10 to 14 bits store."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...types import Array

__all__ = ["is_packed", "unpacked_page"]

_NONE = 1
_REVERSED = 2
_WHOLE = (1, 8, 16, 32, 64)


def is_packed(page: Any) -> bool:
    """Whether a page has such pixels, in strips without compression, which tifffile cannot read."""
    bits = page.bitspersample
    unsigned = page.dtype is not None and np.dtype(page.dtype).kind == "u"
    plain = page.compression == _NONE and not page.is_tiled
    return bool(bits not in _WHOLE and unsigned and plain)


def unpacked_page(page: Any, keyframe: Any) -> Array:
    """Pixels of a page in the shape of the file; each row begins with a byte of its own."""
    separate, depth, rows, width, samples = keyframe.shaped
    bits = keyframe.bitspersample
    row_bytes = -(-width * samples * bits // 8)
    stream = page.parent.filehandle
    pieces = []
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        stream.seek(offset)
        pieces.append(stream.read(count))
    raw = np.frombuffer(b"".join(pieces), np.uint8)
    needed = separate * depth * rows * row_bytes
    if raw.size < needed:
        raise EOFError(f"{raw.size} bytes where a page has {needed}")
    order: Any = "little" if keyframe.fillorder == _REVERSED else "big"
    found = np.empty((separate * depth * rows, width * samples), keyframe.dtype)
    weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.uint32)
    for number, row in enumerate(raw[:needed].reshape(-1, row_bytes)):
        digits = np.unpackbits(row, bitorder=order)[: width * samples * bits]
        found[number] = digits.reshape(-1, bits) @ weights
    shape: tuple[int, ...] = keyframe.shape
    return found.reshape(shape)
