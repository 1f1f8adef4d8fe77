"""Writing: a file is whole or not there, and a run replaces nothing that a person made or changed.

All that is written goes through :func:`replacing`: to a temporary file beside, which is on the disk
before it takes its place. Links are followed; what they lead to is written. A Zarr folder counts as
one file, whose digest is that of all files in it with their names.

Beside results lies a record of the digests that runs wrote them with. It is only appended to, a
line before each file takes its place: a run that is killed, or one beside it, spoils nothing. A
line that cannot be read counts for nothing, and then the file is not ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path

from ..download import file_sha256
from ..errors import InputError
from .formats import FORMATS, split_inside
from .places import check_folder, check_place, followed
from .temporaries import (
    failed_writing,
    persist,
    persist_name,
    remove,
    take_place,
    temporary_for,
)

__all__ = [
    "RECORD",
    "Outputs",
    "append_record",
    "content_digest",
    "in_run",
    "is_ours",
    "recorded_names",
    "remember",
    "replacing",
]

RECORD = ".napari-fewshot.jsonl"
"""Name of the record in each folder of results."""


class Outputs:
    """The files that a run writes; ``parameter`` is the option that names them, for messages.

    ``inputs`` are files and folders (DICOM, Zarr) that the run reads, and never replaces; nor does
    it replace files of a person with one of the digests ``taught``: its model learned from them.
    With ``overwrite``, other files may be replaced that are not ours. ``lock`` is held while the
    record is added to: file systems that several machines share do not keep additions apart.
    """

    def __init__(
        self,
        parameter: str,
        inputs: Iterable[Path | None] = (),
        *,
        overwrite: bool = False,
        taught: frozenset[str] = frozenset(),
    ) -> None:
        self.parameter, self.overwrite, self.taught = parameter, overwrite, taught
        self.lock: AbstractContextManager[object] = nullcontext()
        self.inputs = tuple(split_inside(path)[0] for path in inputs if path is not None)
        self._spellings = {_spelling(path) for path in self.inputs}
        self._identities = {_identity(path) for path in self.inputs} - {None}
        folders = {path if path.is_dir() else path.parent for path in self.inputs}
        self._folders = {_identity(folder) for folder in folders}
        self._trees = {_spelling(path) for path in self.inputs if _is_result_folder(path)}

    def check(self, paths: Iterable[Path]) -> None:
        """Check all files of a run before its work, so that nothing is half done.

        None may be an input, by whatever name or link, or a folder, or no regular file, or a file
        that is not ours, or of a format that needs a package which is not installed. All must lie
        in folders that can be written, on disks with room.
        """
        there, folders = [], set()
        for path in paths:
            for _, entry in FORMATS.items():
                if entry.require is not None and path.name.lower().endswith(entry.suffixes):
                    entry.require(path, "a file to write")
            if self._is_input(path):
                remedy = "Choose another name or folder."
                raise InputError(self.parameter, "not overwrite an input", path, remedy)
            check_place(self.parameter, path)
            if path.is_dir() and not _is_result_folder(path):
                raise InputError(self.parameter, "name files to write", f"{path}, a folder")
            folders.add(followed(path).parent)
            if os.path.lexists(path) and (self.taught or not self.overwrite):
                there.append(path)
        for folder in folders:
            check_folder(self.parameter, folder)
        taught = [
            path for path in there if self.taught and content_digest(followed(path)) in self.taught
        ]
        foreign = _not_ours(taught if self.overwrite else there)
        for path in foreign:
            if path in taught:
                what = "not overwrite what the model has learned from"
                raise InputError(self.parameter, what, path, "Choose another folder.")
        if foreign:
            more = f" and {len(foreign) - 1} more" if foreign[1:] else ""
            raise InputError(
                self.parameter,
                "not replace a file that no run has written, or that was changed since",
                f"{foreign[0]}{more}",
                "Choose another name or folder, or give --overwrite.",
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Check and record whatever is written within."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    def put(self, temporary: Path, path: Path) -> None:
        """Move a file or folder that is whole to its place, if that is free or ours.

        ``path`` is where links lead to.
        """
        digest = content_digest(temporary)
        while True:
            self.check([path])
            with self.lock:
                remember(path.parent, {path.name: digest})
            if os.path.lexists(path):
                take_place(temporary, path)
                return
            try:
                if temporary.is_dir():
                    temporary.rename(path)  # of a folder, it never replaces more than an empty one
                else:
                    os.link(temporary, path)  # unlike a renaming, it never replaces
                persist_name(path)
                return
            except FileExistsError:
                continue  # somebody was faster: whose is it?
            except OSError:
                if temporary.is_dir():
                    if os.path.lexists(path):
                        continue
                    raise
                take_place(temporary, path)  # no links on this file system
                return

    def _is_input(self, path: Path) -> bool:
        name = _spelling(path)
        if name in self._spellings or _identity(path) in self._identities:
            return True
        within = any(name.startswith(tree + os.sep) for tree in self._trees)
        if within or any(one.startswith(name + os.sep) for one in self._spellings):
            return True
        # A series is given as its folder, or as one of its files.
        return path.is_file() and _identity(path.parent) in self._folders and _is_dicom(path)


_CURRENT: ContextVar[Outputs | None] = ContextVar("outputs", default=None)


@contextmanager
def replacing(path: Path, *, folder: bool = False, ending: str = "") -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it takes the place of ``path``.

    It is that of an empty file, or ``folder``, which replaces no folder but one of results; its
    name has the ``ending``, for libraries that go by it. Missing folders are made, and links are
    followed. The file has the rights that the umask gives, and is on the disk when it takes its
    place. On any error the temporary file is removed and ``path`` stays as it was; a full disk is
    an :class:`InputError` that names the file. Outside of :meth:`Outputs.writing`, as when
    somebody saves from the viewer, any file may be replaced, and is no longer ours.
    """
    check_place(str(path), path)
    if path.is_dir() and not (folder and _is_result_folder(path)):
        raise InputError(str(path), "be a file to write", "a folder")
    place = followed(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_for(place, ending)
        if folder:
            temporary.mkdir()
        else:
            temporary.touch(exist_ok=False)
    except OSError as error:
        raise InputError(
            str(path), "lie in a folder that can be written", error.strerror or str(error)
        ) from None
    try:
        try:
            yield temporary
            persist(temporary)
        except Exception as error:
            told = failed_writing(path, error)
            if told is None:
                raise
            raise told from told.__cause__
        current = _CURRENT.get()
        if current is not None:
            current.put(temporary, place)
            return
        if _recorded(place.parent).get(place.name):
            remember(place.parent, {place.name: None})
        take_place(temporary, place)
    finally:
        remove(temporary)


def in_run() -> bool:
    """Whether what is written now is what a run writes, see :meth:`Outputs.writing`."""
    return _CURRENT.get() is not None


def is_ours(path: Path) -> bool:
    """Whether a file is as a run wrote it here."""
    return not _not_ours([path])


def recorded_names(folder: Path) -> frozenset[str]:
    """Names of files that runs have written into a folder, changed since or not."""
    return frozenset(_recorded(folder))


def remember(folder: Path, digests: Mapping[str, str | None]) -> None:
    """Add digests of files to the record of their folder; None: they are no longer ours."""
    append_record(folder, [{"file": name, "sha256": one} for name, one in digests.items()])


def append_record(folder: Path, entries: Iterable[Mapping[str, object]]) -> None:
    """Add lines to the record of a folder; what cannot be read there counts for nothing."""
    # Each addition begins a line, whatever a killed run has left of the one before.
    text = "".join(f"\n{json.dumps(entry)}" for entry in entries)
    try:
        with (folder / RECORD).open("ab", buffering=0) as stream:
            stream.write(text.encode())  # at once, also beside other runs
    except OSError as error:
        raise InputError(
            str(folder / RECORD), "be a file that can be written", error.strerror or str(error)
        ) from None


def _recorded(folder: Path) -> Mapping[str, frozenset[str]]:
    """Digests that files of a folder were written with, by name; several after several runs."""
    try:
        lines = (folder / RECORD).read_text("utf-8", errors="replace").split("\n")
    except OSError:
        return {}
    found: dict[str, frozenset[str]] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            name, digest = entry["file"], entry["sha256"]
            found[name] = frozenset() if digest is None else found.get(name, frozenset()) | {digest}
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
    return found


def _not_ours(paths: Iterable[Path]) -> list[Path]:
    """Files that are not as a run wrote them."""
    # The record is read last: a run that replaces a file just now has added to it before.
    places = {path: followed(path) for path in paths}
    digests = {place: content_digest(place) for place in places.values()}
    records = {folder: _recorded(folder) for folder in {place.parent for place in digests}}
    return [
        path
        for path, place in places.items()
        if digests[place] not in records[place.parent].get(place.name, ())
    ]


def content_digest(path: Path) -> str | None:
    """Digest of a file, or of all in a folder; None with links, which runs do not write."""
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISDIR(mode):
            return file_sha256(path) if stat.S_ISREG(mode) else None
        total = hashlib.sha256()
        names = {one.relative_to(path).as_posix(): one for one in path.rglob("*")}
        for name, one in sorted(names.items()):
            digest = "" if one.is_dir() and not one.is_symlink() else content_digest(one)
            if digest is None:
                return None
            total.update(f"{name}\0{digest}\n".encode())
        return total.hexdigest()
    except OSError:
        return None


def _is_result_folder(path: Path) -> bool:
    """Whether a folder is a result as a whole, by its name and by what it holds."""
    return path.is_dir() and any(
        path.name.lower().endswith(entry.suffixes) and entry.holds is not None and entry.holds(path)
        for _, entry in FORMATS.items()
        if entry.is_folder
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """What all names of a file have in common."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _spelling(path: Path) -> str:
    """Path without links; upper and lower case count as equal, as some file systems take them."""
    return os.path.realpath(path).casefold()


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return FORMATS.get("dicom").matches(stream.read(1024))
    except OSError:
        return False
