"""What libraries raise while they read a file becomes an error of ours, which names the file.

What goes wrong in this package itself stays as it is: a fault of ours is not one of the file.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from ..errors import FewShotError, InputError, UnreadableFileError
from ..memory import free_memory

__all__ = ["check_room", "damaged", "telling_damage"]

_PACKAGE = str(Path(__file__).parents[1]) + os.sep
# These are of the machine, not of the file that is read.
_OF_MACHINE = (errno.ENOSPC, errno.EROFS, errno.EMFILE, errno.ENFILE)
# Whatever the frame: these tell of bytes, not of code.
_OF_BYTES = (EOFError, OSError, RecursionError, UnicodeError, struct.error, zlib.error)


def damaged(path: Path, title: str, what: str) -> UnreadableFileError:
    """Make the error for a file that is not whole; ``what`` tells how that is known."""
    return UnreadableFileError(
        str(path),
        f"be a whole {title} file",
        what or "a damaged file",
        "It is truncated or damaged: copy or download it again.",
    )


@contextmanager
def telling_damage(
    path: Path,
    title: str,
    make: Callable[[Path, str, str], UnreadableFileError] = damaged,
) -> Iterator[None]:
    """Turn what a library raises inside into an error, that of :func:`damaged` or as ``make`` does.

    So does lack of memory; what is raised on purpose, or by code of this package, stays.
    """
    try:
        yield
    except FewShotError:
        raise
    except MemoryError as error:
        raise _too_large(path, str(error) or "more than there is") from error
    except Exception as error:
        if not isinstance(error, _OF_BYTES) and _is_ours(error.__traceback__):
            raise
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            raise _too_large(path, str(error)) from error
        if isinstance(error, OSError) and error.errno in _OF_MACHINE:
            raise
        raise make(path, title, _reason(error)) from error


def check_room(path: Path, size: int) -> None:
    """Refuse what does not fit into the memory that is free, before any is taken.

    ``size`` is in bytes, as the header of the file tells it.
    """
    free = free_memory()
    if size > free:
        raise _too_large(path, f"{size / 1e9:.3g} GB of pixels, with {free / 1e9:.3g} GB free")


def _too_large(path: Path, what: str) -> InputError:
    return InputError(
        str(path),
        "fit into the memory of this machine",
        what,
        "Cut or shrink it, convert it to OME-Zarr, which is read block by block, "
        "or give another limit (--max-memory GB).",
    )


def _is_ours(traceback: TracebackType | None) -> bool:
    """Whether an exception was raised in this package, not in what it calls."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_PACKAGE)


def _reason(error: Exception) -> str:
    """Last line of what a library says: the ones before tell of its own source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
