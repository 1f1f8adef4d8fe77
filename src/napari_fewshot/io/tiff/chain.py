"""The chain of pages of a TIFF file, followed before tifffile does: it ends, and is in the file.

tifffile follows a circle of pages for minutes, and takes memory for whatever length a tag tells.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..reading import damaged

__all__ = ["check_chain"]

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_LONG, _IFD, _LONG8, _IFD8 = 4, 13, 16, 18
_BELOW = 330
# Files of Hamamatsu have offsets of their own kind, which tifffile knows.
_NDPI = 65420
_MAX_TAGS = 4096
_MAX_PAGES = 1 << 20


@dataclass(frozen=True)
class _Words:
    """How numbers are stored: formats of offsets, of the count of tags, and of a tag."""

    offset: struct.Struct
    count: struct.Struct
    tag: struct.Struct

    @classmethod
    def of(cls, head: bytes) -> tuple[_Words, int]:
        """Formats of a file, and where the offset of its first page is."""
        order = "<" if head[:2] == b"II" else ">"
        if struct.unpack(order + "H", head[2:4])[0] == 43:
            parts = "Q", "Q", "HHQ8s"
            return cls(*(struct.Struct(order + part) for part in parts)), 8
        parts = "I", "H", "HHI4s"
        return cls(*(struct.Struct(order + part) for part in parts)), 4


def check_chain(path: Path) -> None:
    """Follow all pages and those below them.

    Raises
    ------
    UnreadableFileError
        If they lead out of the file or in a circle, or a tag claims more than the file holds.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        try:
            words, place = _Words.of(stream.read(16))
            stream.seek(place)
            (first,) = words.offset.unpack(stream.read(words.offset.size))
            _follow(stream, words, first, size)
        except (ValueError, struct.error) as error:
            raise damaged(path, "TIFF", str(error)) from error


def _follow(stream: BinaryIO, words: _Words, first: int, size: int) -> None:
    seen: set[int] = set()
    waiting = [(first, False)]
    while waiting:
        offset, is_below = waiting.pop()
        while offset:
            if offset in seen:
                if is_below:
                    break  # two pages may share a small copy
                raise ValueError(f"pages that follow each other in a circle, at byte {offset}")
            if offset >= size or len(seen) >= _MAX_PAGES:
                raise ValueError(f"{size} bytes where a page would begin at {offset}")
            seen.add(offset)
            stream.seek(offset)
            (count,) = words.count.unpack(stream.read(words.count.size))
            if count > _MAX_TAGS:
                raise ValueError(f"a page of {count} tags, at byte {offset}")
            content = stream.read(count * words.tag.size + words.offset.size)
            (following,) = words.offset.unpack(content[-words.offset.size :])
            for code, kind, number, value in words.tag.iter_unpack(content[: -words.offset.size]):
                if code == _NDPI:
                    return
                waiting += [(one, True) for one in _below(stream, words, code, kind, number, value)]
                _check_tag(words, (code, kind, number, value), size)
            offset = following


def _check_tag(words: _Words, tag: tuple[int, int, int, bytes], size: int) -> None:
    """Refuse a tag whose values would end behind the end of the file."""
    code, kind, number, value = tag
    length = _SIZES.get(kind, 1) * number
    if length <= len(value):
        return
    (place,) = words.offset.unpack(value)
    if place + length > size:
        raise ValueError(f"{size} bytes where tag {code} would end at {place + length}")


def _below(
    stream: BinaryIO, words: _Words, code: int, kind: int, number: int, value: bytes
) -> tuple[int, ...]:
    """Offsets of the pages below one."""
    if code != _BELOW or kind not in (_LONG, _IFD, _LONG8, _IFD8) or number > _MAX_TAGS:
        return ()
    length = _SIZES[kind] * number
    if length > len(value):
        (place,) = words.offset.unpack(value)
        stream.seek(place)
        value = stream.read(length)
    order = words.offset.format[0]
    letter = "Q" if kind in (_LONG8, _IFD8) else "I"
    return struct.unpack(f"{order}{number}{letter}", value[:length])
