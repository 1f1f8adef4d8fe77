"""Any file or folder to a volume: the content chooses the reader; gzip around it is taken off."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import InputError, UnreadableFileError
from ..types import Volume
from .checks import FrameError
from .formats import sniff_format, split_inside
from .reading import check_room, telling_damage

__all__ = ["read_file"]

_LOGGER = logging.getLogger(__name__)
_GZIP = b"\x1f\x8b"
_PIECE = 1 << 20


def read_file(path: Path, frame: int | None, exact: bool) -> Volume:
    """Read an image as :class:`~.formats.Format` has it.

    Whatever its library raises is an :class:`InputError` that names the file.
    """
    found = sniff_format(path)
    file, inner = split_inside(path)
    if not file.name.lower().endswith((*found.suffixes, ".gz")):
        _LOGGER.info("%s is read as %s, which its content is", path, found.title)
    with telling_damage(path, found.title):
        if found.reads_gzip or not _is_gzipped(file):
            return found.read(path, frame, exact)
        with _unpacked(file) as place:
            try:
                volume = found.read(place / inner if inner else place, frame, exact)
            except InputError as error:
                raise _named(error, str(place), str(file)) from error
            return replace(volume.loaded(), source=path)


def _is_gzipped(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(len(_GZIP)) == _GZIP


@contextmanager
def _unpacked(file: Path) -> Iterator[Path]:
    """A temporary file with what gzip holds, called as it is without the ending."""
    with TemporaryDirectory(prefix="napari-fewshot-") as folder:
        name = file.name[:-3] if file.name.lower().endswith(".gz") else file.name
        place = Path(folder) / name
        size = 0
        with gzip.open(file) as stream, place.open("wb") as unpacked:
            while piece := stream.read(_PIECE):
                size += len(piece)
                check_room(file, size)
                unpacked.write(piece)
        yield place


def _named(error: InputError, place: str, file: str) -> InputError:
    """The same error about the file that was given."""
    given = error.given.replace(place, file) if isinstance(error.given, str) else error.given
    kind: type[InputError] = InputError
    if isinstance(error, (FrameError, UnreadableFileError)):
        kind = type(error)
    named = kind(
        error.parameter.replace(place, file),
        error.constraint.replace(place, file),
        given,
        error.remedy.replace(place, file),
    )
    if isinstance(named, FrameError) and isinstance(error, FrameError):
        named.counting(error.count)
    return named
