"""What runs have finished, so that one that was stopped goes on where it was.

A line for each finished image is added to the record of the folder, after its files have taken
their places: a run that is killed loses the images it was at, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.formats import FORMATS, absolute, split_inside, stem_of
from ..io.image_jobs import ImageJob
from ..io.outputs import RECORD, append_record, content_digest
from .table import ImageResult

__all__ = ["Fingerprint", "Journal", "stored_bytes"]

_KIND = "predicted"
"""Key of the lines that are ours in the record."""
_DETACHED = (".nhdr", ".mhd", ".hdr", ".hdr.gz", ".img", ".img.gz")
"""Headers whose data lie in a file beside them."""
_NUMBERS = ("seconds", "mean_confidence", "disagreement", "slices")


@dataclass(frozen=True)
class Journal:
    """The finished images of a folder of results.

    Parameters
    ----------
    folder : Path
        The folder, with the record.
    key : str
        Digest of the model and the settings, see :meth:`ModelSource.key`.
    begin : int
        Bytes of the record that count for nothing, being older than the run.
    """

    folder: Path
    key: str
    begin: int = 0

    @classmethod
    def of(cls, folder: Path, key: str, *, anew: bool) -> Journal:
        """Open the journal of a folder; ``anew``: what other runs have finished does not count."""
        folder = absolute(folder)
        record = folder / RECORD
        return cls(folder, key, record.stat().st_size if anew and record.exists() else 0)

    def finished(self, jobs: list[ImageJob]) -> dict[ImageJob, ImageResult]:
        """Those that were done with the same model and settings, from the same image.

        All their files must be there as they were written.
        """
        entries = self._entries({self._name(job.labels) for job in jobs})
        found = {}
        for job in jobs:
            entry = entries.get(self._name(job.labels))
            if entry is not None and self._holds(entry, job):
                numbers = {name: entry["result"].get(name) for name in _NUMBERS}
                found[job] = ImageResult(
                    image=job.image,
                    labels=job.labels,
                    confidence=job.confidence,
                    landmarks=next(iter(job.landmarks), None),
                    **numbers,
                )
        return found

    def add(
        self,
        job: ImageJob,
        result: ImageResult,
        image: Fingerprint,
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """Note that an image is done, which was so before it was read."""
        written = [path for path in job.outputs if path.exists()]
        entry = {
            _KIND: self._name(job.labels),
            "key": self.key,
            "frames": list(job.frames),
            "state": image.state,
            "content": image.content,
            "files": {self._name(path): content_digest(path) for path in written},
            "result": {name: getattr(result, name) for name in _NUMBERS},
        }
        with lock or nullcontext():
            append_record(self.folder, [entry])

    def _entries(self, wanted: set[str]) -> dict[str, dict[str, Any]]:
        """The last line of each."""
        found: dict[str, dict[str, Any]] = {}
        try:
            with (self.folder / RECORD).open("rb") as stream:
                stream.seek(self.begin)
                text = stream.read().decode("utf-8", errors="replace")
        except OSError:
            return {}
        for line in text.split("\n"):
            if not line.startswith(f'{{"{_KIND}"'):
                continue
            try:
                entry = json.loads(line)
                if entry[_KIND] in wanted:
                    found[entry[_KIND]] = entry
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
        return found

    def _holds(self, entry: Mapping[str, Any], job: ImageJob) -> bool:
        try:
            if entry["key"] != self.key or entry["frames"] != list(job.frames):
                return False
            files = dict(entry["files"])
            wanted = [job.labels, *job.landmarks, *filter(None, [job.confidence])]
            if not {self._name(path) for path in wanted} <= set(files):
                return False
            written = all(
                one is not None and content_digest(self.folder / name) == one
                for name, one in files.items()
            )
            return written and (
                entry["state"] == _state(job.image)
                or (entry["content"] or "") == _content(job.image)
            )
        except (OSError, KeyError, TypeError, ValueError):
            return False

    def _name(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.folder)).as_posix()


@dataclass(frozen=True)
class Fingerprint:
    """What an image is known by again: quickly by the state of its files, surely by content."""

    state: str
    content: str | None

    @classmethod
    def of(cls, image: Path) -> Fingerprint:
        """Take it, before the image is read."""
        return cls(_state(image), _content(image))


def _content(image: Path) -> str | None:
    """Digest of the files of an image; None with links in its folder."""
    parts = [(name, content_digest(path.resolve())) for name, path in _files(image)]
    return None if any(digest is None for _, digest in parts) else _digest(parts)


def _state(image: Path) -> str:
    """Digest of names, sizes and times of the files of an image: quick to take."""
    status = [(name, path.stat()) for name, path in _files(image)]
    return _digest([(name, one.st_size, one.st_mtime_ns) for name, one in status])


def stored_bytes(image: Path) -> int:
    """Size of the files that an image is read from."""
    return sum(path.stat().st_size for _, path in _files(image))


def _digest(content: list[tuple[Any, ...]]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _files(image: Path) -> Iterator[tuple[str, Path]]:
    """Names and paths of the files that an image is read from."""
    image = split_inside(image)[0]
    folder = image if image.is_dir() else image.parent
    if image.is_dir():
        inside = [path for path in folder.rglob("*") if path.is_file()]
    elif image.name.lower().endswith(_DETACHED):
        inside = [path for path in folder.glob("*") if path.name.startswith(f"{stem_of(image)}.")]
    elif _is_dicom(image):
        inside = [path for path in folder.glob("*") if path.is_file()]
    else:
        inside = [image]
    names = {path.relative_to(folder).as_posix(): path for path in inside if path.name != RECORD}
    yield from sorted(names.items())


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return FORMATS.get("dicom").matches(stream.read(132))
