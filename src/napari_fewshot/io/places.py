"""Where an output may go: a regular file or a new one, in a folder that can be written.

Links are followed: a file takes the place of what they lead to.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

from ..errors import InputError

__all__ = ["check_folder", "check_place", "followed"]

_MIN_BYTES = 2**12
"""Bytes without which nothing can be written."""


def followed(path: Path) -> Path:
    """Where the links of a path lead to, if it is one; folders on the way stay as they are."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def check_place(parameter: str, path: Path) -> None:
    """Refuse what is there and no file of its own, where links lead to."""
    try:
        status = path.stat()
    except FileNotFoundError:
        if path.is_symlink() and not Path(os.path.realpath(path)).parent.is_dir():
            remedy = "Make the folder that it leads to, or choose another name."
            raise InputError(parameter, "not be a broken link", path, remedy) from None
        return
    except NotADirectoryError:
        return  # told with the folder
    except OSError as error:  # a circle of links, a name that is too long
        raise InputError(
            parameter, "be a path that can be written", f"{path} ({error.strerror})"
        ) from None
    if stat.S_ISDIR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        given = f"{path}, a device, pipe or socket"
        raise InputError(parameter, "be a regular file, or a new one", given, "Name a file.")
    if any(_is_stream(number, status) for number in (1, 2)):
        given = f"{path}, where what is printed goes"
        raise InputError(parameter, "be a file of its own", given, "Name another file.")
    if not os.access(path, os.W_OK):
        remedy = "It is protected: choose another name, or change its rights."
        raise InputError(parameter, "be a file that can be written", path, remedy)


def _is_stream(number: int, status: os.stat_result) -> bool:
    """Whether a file is where the standard output or the errors go."""
    try:
        own = os.fstat(number)
    except (OSError, ValueError):
        return False
    return sys.platform != "win32" and os.path.samestat(own, status)


def check_folder(parameter: str, folder: Path) -> None:
    """Check that a folder is there, or can be made, and can be written."""
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise InputError(parameter, "lie in a folder", f"{folder}, below {there}, which is none")
    if not os.access(there, os.W_OK | os.X_OK):
        remedy = "Choose another folder, or change its rights."
        raise InputError(parameter, "lie in a folder that can be written", there, remedy)
    try:
        usage = shutil.disk_usage(there)
    except OSError:
        return
    if usage.total and usage.free < _MIN_BYTES:  # some file systems do not tell: 0 of 0
        given, remedy = f"{there}, {usage.free} bytes free", "Free some, or choose another folder."
        raise InputError(parameter, "lie on a disk with room", given, remedy)
