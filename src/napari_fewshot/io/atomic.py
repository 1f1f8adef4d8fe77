"""Writing that leaves either the whole new file or what was there before."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError
from .ownership import put_in_place

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it takes the place of ``path``.

    Missing folders are made. On any error the temporary file is removed and ``path`` stays as
    it was.

    Raises
    ------
    InputError
        If ``path`` is a folder, or its folder cannot be made or written; or if a run writes it
        and must not replace what is there (see :mod:`~.ownership`).
    """
    if path.is_dir():
        raise InputError(str(path), "be a file to write", "a folder")
    # A name of our own, since tempfile makes files that only their owner can read.
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise InputError(
            str(path), "lie in a folder that can be written", error.strerror or str(error)
        ) from None
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
