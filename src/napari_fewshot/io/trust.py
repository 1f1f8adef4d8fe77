"""What a file says of its data, checked before it is believed: names, sizes, check sums."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from ..errors import UnreadableFileError

__all__ = ["DEFLATE_LIMIT", "GZIP", "ZLIB_OR_GZIP", "check_stream", "file_beside"]

# Deflate cannot shrink more than this, so a larger claim is false.
DEFLATE_LIMIT = 1040
# Kinds of stream, in the numbers of zlib.
GZIP, ZLIB_OR_GZIP = 31, 47
_PIECE = 1 << 20


def file_beside(header: Path, name: str, endings: tuple[str, ...] = ("",)) -> Path:
    """Find a data file that a header names: a plain file in the folder of the header.

    Parameters
    ----------
    header : Path
        The file that names it.
    name : str
        The name, as it stands in the header.
    endings : tuple of str
        What the name may lack at its end; the first that is there counts.

    Raises
    ------
    UnreadableFileError
        If the name leads out of the folder (a folder in it, ``..``, a link), or there is no such
        file.
    """
    plain = name.removeprefix("./")
    if PureWindowsPath(plain).name != plain or plain in ("", ".", "..", "-") or "\0" in plain:
        raise _elsewhere(header, name)
    for ending in endings:
        file = header.with_name(f"{plain}{ending}")
        if file.is_symlink():
            raise _elsewhere(header, f"{file.name}, which is a link")
        if file.is_file():
            return file
    raise UnreadableFileError(
        str(header),
        "lie beside the data file that it names",
        f"{name}, which is no file there",
        "Its data file is missing: copy or download both again.",
    )


def check_stream(
    file: Path, start: int, stored: int, length: int, *, kind: int = GZIP, longer: bool = False
) -> None:
    """Inflate a part of a file, keep nothing of it, and compare its check sum and length.

    Parameters
    ----------
    file : Path
        The file that holds the stream.
    start, stored : int
        First byte of the stream, and bytes that it takes at most.
    length : int
        Bytes that it must give.
    kind : int
        ``GZIP`` (several members may follow each other) or ``ZLIB_OR_GZIP``.
    longer : bool
        Whether it may give more.

    Raises
    ------
    ValueError
        If the length is another.
    zlib.error
        If the stream or its check sum is damaged.
    """
    if length > stored * DEFLATE_LIMIT:
        raise ValueError(f"{stored} bytes where the header tells of {length}")
    found, inflater = 0, zlib.decompressobj(wbits=kind)
    for piece in _pieces(file, start, stored):
        while piece:
            if inflater.eof:  # one member ended, and there is more
                inflater = zlib.decompressobj(wbits=kind)
            found += len(inflater.decompress(piece, _PIECE))
            if found > length and not longer:
                raise ValueError(f"more than the {length} bytes that the header tells of")
            if inflater.eof and found >= length:
                return  # what follows is read by nobody
            piece = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    raise ValueError(f"{found} bytes after decompression where the header tells of {length}")


def _pieces(file: Path, start: int, stored: int) -> Iterator[bytes]:
    with file.open("rb") as stream:
        stream.seek(start)
        while piece := stream.read(min(_PIECE, stored)):
            stored -= len(piece)
            yield piece


def _elsewhere(header: Path, name: str) -> UnreadableFileError:
    return UnreadableFileError(
        str(header),
        "name its data files by plain names, in its own folder",
        name,
        f"Put the data beside {header.name}, and the plain name into it.",
    )
