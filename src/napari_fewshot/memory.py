"""How much memory there is for what files claim."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

import psutil

from .errors import InputError

__all__ = ["MAX_MEMORY", "free_memory", "limited_memory"]

MAX_MEMORY = "NAPARI_FEWSHOT_MAX_MEMORY"
"""Environment variable: GB that one file may take, in place of what is free."""

# Folders in which containers and job systems limit the memory of a group of processes, with the
# names of its limit, of what is in use, and of what is kept of files, which can be given back.
_GROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", ("inactive_file", "active_file")),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
)


@contextmanager
def limited_memory(parameter: str, limit: float | None) -> Iterator[None]:
    """Set ``MAX_MEMORY`` (GB) within, for processes that are started too; None: as it is.

    Raises
    ------
    InputError
        If it is no number above 0; ``parameter`` is what it is called.
    """
    if limit is None:
        yield
        return
    if not 0 < limit < inf:
        raise InputError(parameter, "be GB, above 0", limit)
    before = os.environ.get(MAX_MEMORY)
    os.environ[MAX_MEMORY] = repr(limit)
    try:
        yield
    finally:
        os.environ.pop(MAX_MEMORY)
        if before is not None:
            os.environ[MAX_MEMORY] = before


def free_memory() -> float:
    """Bytes that one more array may take: as ``MAX_MEMORY`` says, else what the machine has free.

    In a container or a job of a cluster no more than its group of processes has left.

    Raises
    ------
    InputError
        If ``MAX_MEMORY`` is no number above 0.
    """
    given = os.environ.get(MAX_MEMORY, "")
    if given:
        try:
            limit = float(given) * 1e9
        except ValueError:
            limit = 0.0
        if not limit > 0:
            raise InputError(MAX_MEMORY, "be GB, above 0", given)
        return limit
    available = float(psutil.virtual_memory().available)
    return min(available, *(_of_group(*group) for group in _GROUPS))


def _of_group(folder: str, limit: str, used: str, kept: tuple[str, ...]) -> float:
    try:
        most = float((Path(folder) / limit).read_text("ascii"))
        now = float((Path(folder) / used).read_text("ascii"))
        lines = (Path(folder) / "memory.stat").read_text("ascii").splitlines()
        counts = dict(line.split(maxsplit=1) for line in lines if " " in line)
        return max(0.0, most - now + sum(float(counts.get(name, 0)) for name in kept))
    except (OSError, ValueError):  # no such group, or "max": no limit
        return inf
