"""Headers of NRRD and MetaImage, checked before ITK reads them.

ITK opens whatever file a header names, takes memory for whatever size it tells, does not compare
check sums of compressed MetaImages, and crashes on some headers. What is refused here is damaged,
or made to do harm; the rest ITK judges. The rules are those of its parsers (NrrdIO, MetaIO), or
stricter, so that both read the same out of a header.
"""

from __future__ import annotations

import math
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError, UnreadableFileError
from ..checks import GZIP, ZLIB_OR_GZIP, check_stream, file_beside
from ..reading import check_room, damaged

__all__ = ["LARGEST_HEADER", "TITLE", "check_itk_file", "is_metaimage", "is_nrrd"]

LARGEST_HEADER = 1 << 20
TITLE = "NRRD or MetaImage"
_META_KEYS = (b"ObjectType", b"NDims", b"Comment")
_MAX_AXES = 10
_LIST = "LIST"
_LONGEST_FIELD = 600
"""Bytes; NrrdIO writes longer ones into messages that have no room for them."""
_MAX_KEYS = 10_000
"""Pairs of key and value; NrrdIO compares each with all before it."""

# Bytes of a value, by what stands in the name of the type; the first that fits counts.
_NRRD_BYTES = (
    (("char", "8"), 1),
    (("short", "16"), 2),
    (("long", "64", "double"), 8),
    (("int", "float"), 4),
)
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_META_TYPE = re.compile(r"MET_U?(CHAR|SHORT|INT|LONG_LONG|LONG|FLOAT|DOUBLE)(_ARRAY)?")

_NRRD_FIELDS = frozenset(
    "content|number|type|block size|dimension|space|space dimension|sizes|spacings|thicknesses|"
    "axis mins|axis maxs|space directions|centers|centerings|kinds|labels|units|min|max|old min|"
    "old max|endian|encoding|line skip|byte skip|sample units|space units|space origin|"
    "measurement frame|data file".replace(" ", "").split("|")
)
_LINE = re.compile(rb"\s*([^\s=:][^=:]*?)[ \t]*[=:][=: \t]*(.*)")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_SINGLE = ("NDims", "ElementNumberOfChannels", "HeaderSize", "CompressedDataSize")
_VECTORS = ("DimSize", "ElementSpacing", "ElementSize", "Offset", "Position", "Origin")
_MATRICES = ("TransformMatrix", "Rotation", "Orientation")


def is_nrrd(head: bytes) -> bool:
    """Whether a file begins as NRRD, with or without its data."""
    return head.startswith(b"NRRD000")


def is_metaimage(head: bytes) -> bool:
    """Whether a file begins with the text header of a MetaImage."""
    return head.lstrip().startswith(_META_KEYS) and b"NDims" in head


def check_itk_file(path: Path) -> tuple[str, bool]:
    """Check header, data file, size and check sum.

    Returns the name of ITK's reader, and whether the file says how its axes lie in the patient.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(LARGEST_HEADER)
        if is_nrrd(head):
            return "NrrdImageIO", "space" in _check_nrrd(path, head)
        return "MetaImageIO", not _check_metaimage(path, head).keys().isdisjoint(_MATRICES)
    except (OSError, ValueError, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise damaged(path, TITLE, str(error)) from error


def _check_nrrd(path: Path, head: bytes) -> dict[str, str]:
    fields, end = _nrrd_fields(head)
    name = fields.get("datafile")
    file = path if name is None else _data_file(path, name)
    sizes = [int(text) for text in fields.get("sizes", "").split() if text.isdecimal()]
    if str(len(sizes)) != fields.get("dimension") or 0 in sizes:
        raise ValueError(f"sizes {fields.get('sizes')} of dimension {fields.get('dimension')}")
    kind = fields.get("type", "").lower()
    size = next((n for words, n in _NRRD_BYTES if any(word in kind for word in words)), 0)
    if not size:
        raise ValueError(f"values of type {kind or 'unknown'}")
    check_room(path, math.prod(sizes) * size)
    lines, skip = int(fields.get("lineskip", 0)), int(fields.get("byteskip", 0))
    start = _after_lines(file, 0 if name else end, lines)
    stored = file.stat().st_size - start
    encoding = fields.get("encoding", "").lower()
    if encoding in ("gzip", "gz"):
        length = math.prod(sizes) * size + max(0, skip)
        check_stream(file, start, stored, length, kind=GZIP, longer=skip != 0)
    else:
        text = encoding in ("ascii", "text", "txt")
        each = 2 if text else 2 * size if encoding == "hex" else size
        _check_room(stored, math.prod(sizes) * each)
    return fields


def _nrrd_fields(head: bytes) -> tuple[dict[str, str], int]:
    """Fields by their name in lower case without spaces, and where the header ends."""
    fields: dict[str, str] = {}
    end = keys = 0
    for number, line in enumerate(_lines(head)):
        end += len(line) + 1
        line = line.removesuffix(b"\r")
        if not line:
            break
        field, colon, value = line.partition(b": ")
        name = field.decode("latin-1").lower()
        plain = name.replace(" ", "")
        if number == 0 or line.startswith(b"#"):
            continue
        if colon and plain in _NRRD_FIELDS:
            if plain in fields:
                raise ValueError(f"the field {name} twice")
            if len(line) > _LONGEST_FIELD and plain not in ("content", "datafile"):
                raise ValueError(f"{len(line)} bytes of the field {name}")
            fields[plain] = os.fsdecode(value.lstrip(b" \t"))
            if plain == "datafile" and fields[plain].startswith(_LIST):
                break  # the names of the list follow
        elif b":=" not in line:
            raise ValueError(f"the unknown field {name[:40]}")
        else:
            keys += 1
    if keys > _MAX_KEYS:
        raise ValueError(f"{keys} pairs of key and value")
    return fields, end


def _data_file(path: Path, name: str, endings: tuple[str, ...] = ("",)) -> Path:
    """Find the data file; lists and patterns, which name several, are not read."""
    if name.startswith(_LIST) or "%" in name:
        raise UnreadableFileError(
            str(path), "have its data in one file", name, "Save it as one file (.nrrd, .mha)."
        )
    return file_beside(path, name, endings)


def _after_lines(file: Path, start: int, lines: int) -> int:
    """Where the data begin, when some lines before them are to be skipped."""
    with file.open("rb") as stream:
        stream.seek(start)
        for _ in range(lines):
            if not stream.readline(LARGEST_HEADER):
                raise ValueError(f"fewer than {lines} lines")
        return stream.tell()


def _check_room(stored: int, needed: int) -> None:
    if needed > stored:
        raise ValueError(f"{max(0, stored)} bytes where the header tells of {needed}")


def _check_metaimage(path: Path, head: bytes) -> dict[str, str]:
    fields, end = _meta_fields(head)
    axes = _whole(fields, "NDims")
    if not 1 <= axes <= _MAX_AXES:
        raise ValueError(f"NDims = {axes}")
    for names, count in ((_SINGLE, 1), (_VECTORS, axes), (_MATRICES, axes**2)):
        for name in names:
            words = fields[name].split()[:count] if name in fields else []
            if name in fields and not (len(words) == count and all(map(_NUMBER.fullmatch, words))):
                raise ValueError(f"{name} = {fields[name]} with {axes} axes")
    name = fields["ElementDataFile"]
    packed = _is_true(fields, "CompressedData", False)
    binary = _is_true(fields, "BinaryData", True)
    local = name.lower() == "local"
    file = path if local else _data_file(path, name, ("", ".gz"))
    if not local and file.name != name.removeprefix("./"):  # ITK takes what is there, unzipped
        packed = binary = True
    _check_meta_pixels(fields, file, end if local else 0, packed=packed and binary, text=not binary)
    return fields


def _check_meta_pixels(
    fields: dict[str, str], file: Path, start: int, *, packed: bool, text: bool
) -> None:
    kind = _META_TYPE.fullmatch(fields.get("ElementType", ""))
    sizes = [_exact(word) for word in fields.get("DimSize", "").split()[: _whole(fields, "NDims")]]
    if kind is None or not sizes or min(sizes) < 1:
        raise ValueError(f"DimSize = {sizes} of {fields.get('ElementType', 'unknown type')}")
    size = _META_BYTES[kind[1]]
    count = math.prod(sizes) * max(1, _whole(fields, "ElementNumberOfChannels", 1))
    check_room(file, count * size)
    header, stored = _whole(fields, "HeaderSize", 0), _whole(fields, "CompressedDataSize", 0)
    whole = file.stat().st_size
    if header < (0 if packed else -1) or stored < 0:
        raise ValueError(f"HeaderSize = {header}, CompressedDataSize = {stored}")
    if packed and not stored:  # then ITK takes the file from its first byte
        start, stored = 0, whole
    else:
        start = header if header > 0 else whole - count * size if header else start
        stored = stored if packed else whole - start
    if not packed:
        _check_room(stored, count * (2 if text else size))
        if start < 0:
            raise ValueError(f"{whole} bytes where the header tells of {count * size}")
    elif start + stored > whole:
        raise ValueError(f"{whole - start} bytes where the header tells of {stored}, compressed")
    else:
        check_stream(file, start, stored, count * size, kind=ZLIB_OR_GZIP)


def _meta_fields(head: bytes) -> tuple[dict[str, str], int]:
    """Fields up to the one that names the data file, and where the header ends."""
    fields: dict[str, str] = {}
    end = 0
    for line in _lines(head):
        end += len(line) + 1
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.removesuffix(b"\r"))
        if found is None:
            raise ValueError(f"the line {os.fsdecode(line[:40])!r} in its header")
        name, value = os.fsdecode(found[1]), os.fsdecode(found[2].rstrip())
        if name in fields and name in (*_SINGLE, *_VECTORS, "ElementType", "CompressedData"):
            raise ValueError(f"the field {name} twice")
        fields[name] = value
        if name == "ElementDataFile":
            return fields, end
    raise ValueError("no ElementDataFile in its header")


def _lines(head: bytes) -> Iterator[bytes]:
    """Lines without their end; a lone carriage return or a zero would be read in two ways."""
    start = 0
    while start < len(head):
        stop = head.find(b"\n", start)
        if stop < 0 and len(head) >= LARGEST_HEADER:
            raise ValueError(f"a header of more than {LARGEST_HEADER} bytes")
        line = head[start : len(head) if stop < 0 else stop]
        if b"\r" in line[:-1] or b"\0" in line:
            raise ValueError(f"the line {os.fsdecode(line[:40])!r} in its header")
        yield line
        start += len(line) + 1


def _is_true(fields: dict[str, str], name: str, missing: bool) -> bool:
    return fields[name][:1] in ("T", "t", "1") if name in fields else missing


def _whole(fields: dict[str, str], name: str, missing: int | None = None) -> int:
    if name not in fields:
        if missing is None:
            raise ValueError(f"no {name} in its header")
        return missing
    return _exact((fields[name].split() or [""])[0])


def _exact(word: str) -> int:
    """A whole number, also where it is written as 6.0 or 1e3."""
    if not _NUMBER.fullmatch(word) or not float(word).is_integer():
        raise ValueError(f"{word or 'nothing'} where its header should have a whole number")
    return int(float(word))
