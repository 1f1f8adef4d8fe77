"""Digests of the files that results depend on, so that a copy of the data set is the same data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..io.outputs import replacing
from ..types import Progress, no_progress

__all__ = ["Fingerprints"]


class Fingerprints:
    """SHA-256 of files, remembered beside the results: large sets are read once.

    Parameters
    ----------
    folder : Path
        Of the benchmark. What is remembered there holds for files of the same path, size and
        time of change.
    unread : bool
        Read nothing, and know nothing but names: for a plan that is compared with no results.
    """

    def __init__(self, folder: Path, *, unread: bool = False) -> None:
        self._unread = unread
        self._path = folder / "fingerprints.json"
        self._known: dict[str, list[object]] = {}
        self._seen: dict[Path, str | None] = {}
        self._new = False
        with suppress(OSError, ValueError, TypeError):  # none yet, or damaged: made again
            self._known = dict(json.loads(self._path.read_text("utf-8")))

    def of(self, paths: Iterable[Path]) -> list[list[str | None]]:
        """Return name and digest of each file or folder of files; None for one that is missing."""
        return [[path.name, self._digest(path)] for path in paths]

    def read(self, paths: Iterable[Path], progress: Progress = no_progress) -> None:
        """Take the digests of files or folders, and count them."""
        if self._unread:
            return
        wanted = [path for path in dict.fromkeys(paths) if path not in self._seen]
        for number, path in enumerate(wanted, start=1):
            self._digest(path)
            progress(number, len(wanted), "files looked through")

    def save(self) -> None:
        """Remember what was read."""
        if self._new:
            with replacing(self._path) as part:
                part.write_text(json.dumps(self._known, indent=1) + "\n", "utf-8")
            self._new = False

    def _digest(self, path: Path) -> str | None:
        if self._unread:
            return None
        if path not in self._seen:
            self._seen[path] = self._of_folder(path) if path.is_dir() else self._of_file(path)
        return self._seen[path]

    def _of_folder(self, path: Path) -> str:
        """Digest of all files below a folder, such as a DICOM series."""
        inside = sorted(one for one in path.rglob("*") if one.is_file())
        content = [[one.relative_to(path).as_posix(), self._of_file(one)] for one in inside]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _of_file(self, path: Path) -> str | None:
        if not path.exists():
            return None
        status = path.stat()
        state = [status.st_size, status.st_mtime_ns]
        if self._known.get(str(path), [])[:-1] != state:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            self._known[str(path)] = [*state, digest]
            self._new = True
        return str(self._known[str(path)][-1])
