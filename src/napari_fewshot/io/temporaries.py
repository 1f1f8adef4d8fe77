"""Temporary files beside outputs: each is known by its process, and goes when that is dead.

Names are ``.NAME.MACHINE-PROCESS-RANDOM.tmp``. What a killed run has left is removed by the next
one that writes into the folder.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
import sys
import time
import uuid
from contextlib import suppress
from glob import escape
from pathlib import Path

from ..errors import FewShotError, InputError

__all__ = [
    "failed_writing",
    "persist",
    "persist_name",
    "remove",
    "remove_abandoned",
    "sweep",
    "take_place",
    "temporary_for",
]

_NAME = re.compile(
    r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}\.(tmp|old)(\.\w+)*"
)
_ASIDE = ".old"
_LONGEST = 120
"""Bytes of a name that stand in that of its temporary file; file systems take 255."""
_FORGOTTEN_S = 7 * 86400
"""What another machine has not touched for so long is nobody's."""
_LITTLE = 2**16
"""Bytes left on a disk that is full: libraries do not always say why they failed."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_CANNOT = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)
_swept: set[str] = set()


def temporary_for(path: Path, ending: str = "") -> Path:
    """Name for a temporary file beside ``path``, which nothing has.

    Before the first one in a folder, what dead processes have left there is removed.
    """
    folder = os.path.realpath(path.parent)
    if folder not in _swept:
        _swept.add(folder)
        sweep(path.parent)
    # A name of our own, since tempfile makes files that only their owner can read.
    own = f"{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return path.with_name(f".{_shortened(path.name)}.{own}.tmp{ending}")


def take_place(temporary: Path, path: Path) -> None:
    """Replace what is at a path, if anything; a folder is put aside first."""
    if not temporary.is_dir():
        temporary.replace(path)
    else:
        aside = temporary.with_name(f"{temporary.name.rpartition('.tmp')[0]}{_ASIDE}")
        if os.path.lexists(path):
            path.rename(aside)
        try:
            temporary.rename(path)
        except OSError:
            if os.path.lexists(aside):
                aside.rename(path)
            raise
        remove(aside)
    persist_name(path)


def remove_abandoned(path: Path) -> None:
    """Remove what killed runs have left beside a file, which nobody else may be writing."""
    for left in path.parent.glob(f".{escape(_shortened(path.name))}.*.tmp*"):
        found = _NAME.fullmatch(left.name)
        if found is not None and found["name"] == _shortened(path.name):
            remove(left)


def persist(path: Path) -> None:
    """Wait until a file, or all in a folder, is on the disk; where the file system can tell.

    Else a loss of power after the renaming might leave an empty file of the name.
    """
    if not path.is_dir():
        _synchronise(path)
        return
    for folder, _, files in os.walk(path):
        for name in files:
            _synchronise(Path(folder, name))
        if os.name != "nt":
            _synchronise(Path(folder))


def persist_name(path: Path) -> None:
    """Wait until the folder on the disk says that a file is there."""
    if os.name != "nt":
        _synchronise(path.parent)


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def failed_writing(path: Path, error: Exception) -> InputError | None:
    """Word what ended the writing of ``path``, if that was its disk; None of all else."""
    if isinstance(error, FewShotError) or not isinstance(error, OSError | RuntimeError):
        return None
    code = error.errno if isinstance(error, OSError) else None
    free = _free(path.parent)
    if code not in _FULL:
        # numpy, torch and the writers of formats do not hand on what the system said
        short = isinstance(error, OSError) and "requested and" in str(error)
        if code is not None or not (short or (free is not None and free < _LITTLE)):
            return None
        code = errno.ENOSPC
    said = os.strerror(code)
    left = "" if free is None or code in (errno.EROFS, errno.EFBIG) else f", {_bytes(free)} free"
    found = InputError(
        str(path),
        "be on a disk that takes it whole",
        f"{said!r}{left}",
        "Nothing of it was kept. Free some space, or choose another folder.",
    )
    found.__cause__ = OSError(code, said)
    return found


def _free(folder: Path) -> int | None:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free if usage.total else None  # some file systems do not tell: 0 of 0


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def _shortened(name: str) -> str:
    """Name that leaves room for more; two long names hardly become one."""
    raw = os.fsencode(name)
    if len(raw) <= _LONGEST:
        return name
    return f"{name[: _LONGEST // 4]}~{hashlib.sha256(raw).hexdigest()[:16]}"


def sweep(folder: Path) -> None:
    """Remove what processes that are dead have left in a folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if found is None or not _is_dead(found["machine"], int(found["process"]), entry):
                continue
            left, former = Path(entry.path), folder / found["name"]
            with suppress(OSError):
                if left.suffix == _ASIDE and not os.path.lexists(former):
                    left.rename(former)  # killed between two renamings
                else:
                    remove(left)


def _is_dead(machine: str, process: int, entry: os.DirEntry[str]) -> bool:
    if machine == _machine():
        return not _is_alive(process)
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _FORGOTTEN_S
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":
        import ctypes

        # os.kill would end it there
        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(0x1000, False, process)  # to ask, and no more
        if not handle:
            return bool(kernel.GetLastError() == 5)  # it is somebody else's
        code = ctypes.c_ulong()
        known = kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        kernel.CloseHandle(handle)
        return not known or code.value == 259  # still active
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _machine() -> str:
    """What tells machines apart, and containers on one: each numbers its own processes."""
    name = socket.gethostname()
    with suppress(OSError):
        name += os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no path
    return hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]
