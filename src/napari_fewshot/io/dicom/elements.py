"""Elements of a DICOM file, followed before GDCM takes memory: their lengths, and the pixels."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["Elements", "elements_of"]

_META = 2
_SYNTAX = (0x0002, 0x0010)
# Whole numbers, and those of float and double.
_PIXELS = ((0x7FE0, 0x0010), (0x7FE0, 0x0008), (0x7FE0, 0x0009))
_ITEM = 0xFFFE
_UNDEFINED = 0xFFFFFFFF
_IMPLICIT, _DEFLATED, _BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
_SHORT = frozenset(
    [
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FL",
        "FD",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "SL",
        "SS",
        "ST",
        "TM",
        "UI",
        "UL",
        "US",
    ]
)
_LONG = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])


@dataclass(frozen=True)
class Elements:
    """What the elements of a file tell.

    Attributes
    ----------
    overrun : str
        Which element claims more bytes than the file has; empty if none does up to the pixels.
    ends_before_pixels : bool
        Whether the file is whole and has none: a header alone, or an object that is no image.
    """

    overrun: str = ""
    ends_before_pixels: bool = False


def elements_of(path: Path) -> Elements:
    """Follow the elements up to the pixels.

    What cannot be followed (another kind of file, deflated data) is left to GDCM.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        preamble = stream.read(132)[128:] == b"DICM"
        stream.seek(132 if preamble else 0)
        try:
            return _follow(stream, size, preamble)
        except struct.error:  # it ends within an element
            return Elements()


def _follow(stream: BinaryIO, size: int, has_meta: bool) -> Elements:
    order, explicit = "<", True
    if not has_meta:
        explicit = stream.read(6)[4:].isalpha()
        stream.seek(0)
    syntax = ""
    in_meta = has_meta
    while True:
        place = stream.tell()
        if place == size and not in_meta:
            return Elements(ends_before_pixels=True)
        group, number = struct.unpack(order + "HH", stream.read(4))
        if in_meta and group != _META:
            if syntax == _DEFLATED:
                return Elements()
            in_meta, explicit = False, syntax != _IMPLICIT
            order = ">" if syntax == _BIG else "<"
            stream.seek(place)
            continue
        length = _length(stream, order, explicit and group != _ITEM)
        if length is None or (group, number) in _PIXELS:
            return Elements()
        if length == _UNDEFINED:  # what is in it follows
            continue
        if stream.tell() + length > size:
            claim = f"{size} bytes where element ({group:04x},{number:04x}) tells of {length}"
            return Elements(overrun=claim)
        if (group, number) == _SYNTAX:
            syntax = stream.read(length).decode("ascii", "replace").strip(" \0")
        elif group != _ITEM:
            stream.seek(length, os.SEEK_CUR)


def _length(stream: BinaryIO, order: str, explicit: bool) -> int | None:
    """Length of an element; None if its kind is not known."""
    if not explicit:
        return int(struct.unpack(order + "I", stream.read(4))[0])
    kind = stream.read(2).decode("latin-1")
    if kind in _LONG:
        return int(struct.unpack(order + "2xI", stream.read(6))[0])
    if kind in _SHORT:
        return int(struct.unpack(order + "H", stream.read(2))[0])
    return None
