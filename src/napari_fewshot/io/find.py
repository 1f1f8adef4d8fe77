"""Images by patterns and folders, found without the help of a shell."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .formats import (
    FORMATS,
    absolute,
    header_of,
    is_image_folder,
    is_image_path,
    sniff_format,
    split_inside,
    stem_of,
)
from .outputs import recorded_names

__all__ = ["FoundImages", "find_files", "find_images", "label_maps_in"]

_RESULT_SUFFIXES = ("_labels", "_confidence", "_instances")
"""What the stems of results and of label maps end in."""


@dataclass(frozen=True)
class FoundImages:
    """Images in the order of their arguments, and what beside them was left out as no image."""

    images: tuple[Path, ...]
    left_out: tuple[Path, ...] = ()


def find_images(parameter: str, given: Sequence[str | Path]) -> FoundImages:
    """Find the images that paths, folders and patterns stand for.

    A file stands for itself, and so does a folder that is an image (a DICOM series, a zarr
    group). Any other folder stands for the images in it, not for those in its subfolders. A
    pattern (``*``, ``?``, ``[…]``, ``**`` for any depth) stands for the images that it matches; a
    DICOM file among them for its series. What a folder or a pattern gives is in natural order
    (``img2`` before ``img10``), without hidden files, without repetitions, and without label maps
    and results: ``NAME_labels``, ``NAME_confidence`` and ``NAME_instances`` that a run of ours has
    written, or that lie beside an image ``NAME``.

    ``parameter`` is what the paths are called in messages.

    Raises
    ------
    InputError
        If there is nothing at a path, or a folder or pattern gives no image.
    """
    folders = _Folders()
    seen: set[Path] = set()
    images: list[Path] = []
    left_out: list[Path] = []
    for path in (_path(parameter, one) for one in given):
        if is_image_path(path):
            images.append(path)  # as it was given, twice too: that is for the caller to judge
            seen.add(absolute(path))
            continue
        matches = sorted(path.iterdir(), key=_natural) if path.is_dir() else _matches(path)
        candidates = list(_images_among(matches))
        results = {one for one in candidates if folders.has_as_result(one)}
        if len(results) == len(candidates):
            raise _nothing(parameter, path, bool(results))
        left_out += (one for one in candidates if one in results)
        for one in candidates:
            if one not in results and absolute(one) not in seen:
                images.append(one)
                seen.add(absolute(one))
    return FoundImages(tuple(images), tuple(dict.fromkeys(left_out)))


def find_files(parameter: str, given: str | Path) -> list[Path]:
    """Files that a path or a pattern stands for, label maps too, in natural order.

    :class:`InputError` if there is none.
    """
    path = _path(parameter, given)
    if is_image_path(path):
        return [path]
    files = [one for one in _matches(path) if is_image_path(one)]
    if not files:
        raise _nothing(parameter, path, False)
    return files


def label_maps_in(folder: Path, *, deep: bool = False) -> dict[str, Path]:
    """Label maps of a folder by the stem of their image, in natural order.

    They are called as the image, or have ``_labels`` behind its stem, which goes before; where
    there are none of either, ``_instances``. Other results are left out. With ``deep``, those of
    folders below are there too, by their path (``sub/NAME``).
    """
    named: dict[str, Path] = {}
    plain: dict[str, Path] = {}
    instances: dict[str, Path] = {}
    for path in _images_among(sorted(folder.glob("**/*" if deep else "*"), key=_natural)):
        within = path.parent.relative_to(folder)
        if any(part.startswith(".") for part in within.parts):
            continue
        stem = (within / stem_of(path)).as_posix()
        if stem.endswith("_labels"):
            named.setdefault(stem.removesuffix("_labels"), path)
        elif stem.endswith("_instances"):
            instances.setdefault(stem.removesuffix("_instances"), path)
        elif not stem.endswith(_RESULT_SUFFIXES):
            plain.setdefault(stem, path)
    found = plain | named or instances
    return {stem: found[stem] for stem in sorted(found, key=lambda stem: _natural(Path(stem)))}


def _path(parameter: str, given: str | Path) -> Path:
    """Take a path; nothing (an unset variable of a script) would be the folder that one is in."""
    if not str(given):
        raise InputError(parameter, "be an image, a folder of images, or a pattern", given)
    return Path(given)


def _natural(path: Path) -> tuple[object, ...]:
    """Key that sorts paths as people do: folder by folder, numbers by their value, case last."""
    parts = [re.split(r"(\d+)", part.casefold()) for part in path.parts]
    # Text and numbers take turns, so that like is compared with like.
    pieces = [tuple(int(p) if k % 2 else p for k, p in enumerate(part)) for part in parts]
    return (pieces, str(path))


def _matches(pattern: Path) -> list[Path]:
    pattern, inner = split_inside(pattern)
    text = os.path.expanduser(pattern)  # noqa: PTH111 - a quoted ~ is not the shell's
    if not glob.has_magic(text):
        return []
    # Unlike Path.glob, this one takes absolute patterns and leaves hidden files alone.
    found = map(Path, glob.glob(text, recursive=True))  # noqa: PTH207
    return sorted((path / inner for path in found), key=_natural)


def _images_among(paths: Sequence[Path]) -> Iterator[Path]:
    """Images among files and folders, without what lies in a folder that is one."""
    folders: set[Path] = set()
    images: set[Path] = set()
    for path in paths:
        if path.name.startswith(".") or not folders.isdisjoint(path.parents):
            continue
        image = _image_at(path)
        if image is None or image in images:
            continue
        images.add(image)
        if image is path and path.is_dir():
            folders.add(path)
        yield image


def _image_at(path: Path) -> Path | None:
    """The image that a path is or belongs to; of a known ending also one that is damaged."""
    if path.is_dir():
        return path if is_image_folder(path) else None
    name = path.name.lower()
    known = next((one for _, one in FORMATS.items() if name.endswith(one.suffixes)), None)
    if known is None or name.removesuffix(".gz").endswith((".hdr", ".img")):  # of others, too
        try:
            known = sniff_format(path)
        except InputError:
            return None
    return path.parent if known.holds and known.holds(path.parent) else header_of(path)


class _Folders:
    """What lies in folders, and what runs have written there, each looked at once."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[frozenset[str], frozenset[str]]] = {}

    def has_as_result(self, path: Path) -> bool:
        """Whether a file is a label map or a result of another image, not an image."""
        stem, folder = stem_of(path), path.parent
        suffix = next((one for one in _RESULT_SUFFIXES if stem.endswith(one)), None)
        if suffix is None or split_inside(path)[1]:  # whoever names data in a file means them
            return False
        if folder not in self._known:
            stems = frozenset(stem_of(one).casefold() for one in folder.iterdir())
            self._known[folder] = stems, recorded_names(folder)
        stems, written = self._known[folder]
        image = stem.removesuffix(suffix).casefold()
        return path.name in written or not stems.isdisjoint({image, re.sub(r"_t\d+$", "", image)})


def _nothing(parameter: str, path: Path, only_results: bool) -> InputError:
    if path.is_dir():
        given = f"{path} (a folder without images)"
    elif glob.has_magic(str(path)):
        given = f"{path} (nothing matches)"
    elif path.exists():
        given = f"{path} (a pipe or a device)"
        return InputError(parameter, "be a file", given, "Write it to a file first.")
    else:
        return InputError(parameter, "be an existing file", f"{path} (no such file)")
    if only_results:
        given = f"{path} (only label maps and results of other images)"
    remedy = "Patterns: * in a name, ** for any depth of folders."
    return InputError(parameter, "be an image, a folder of images, or a pattern", given, remedy)
