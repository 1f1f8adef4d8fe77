"""Any cohort: images, and label maps or CSV files of points that go with them.

The layout is nobody's: patterns say where files are. It serves knee CT and landmark cohorts that
a group keeps for itself, and the small sets of our own evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from ...errors import InputError
from ...io import read_labels, read_points, read_volume
from ...types import Landmark
from .case import LAYOUTS, Case, Layout
from .patterns import existing_folder, match_files, shortened

__all__ = ["find_folder"]


def find_folder(
    root: Path,
    *,
    images: str | Sequence[str],
    labels: str | Sequence[str] = (),
    landmarks: str | Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    group: str = "",
    numbers_per_group: int = 1,
) -> list[Case]:
    """Find images, and what belongs to each of them.

    Parameters
    ----------
    root : Path
        Folder that the patterns start from.
    images, labels, landmarks : str or sequence of str
        Paths below ``root``, with ``*`` and one ``{case}`` in each, by which they are matched;
        without it they are matched in order. An image may be the folder of a DICOM series.
    columns : mapping of str to str, optional
        Our columns of CSV files (``name``, ``label``, ``z``, ``y``, ``x``, ``R``, ``A``, ``S``)
        to those of these, where they differ.
    group : str
        Regular expression that is searched in the name of a case; what its first group matches
        is the person or animal.
    numbers_per_group : int
        Above 1, that match is a number, and this many consecutive ones, from 1, belong together.

    Raises
    ------
    InputError
        If patterns match nothing, files of a case are missing, or ``group`` does not match.
    """
    existing_folder(root, "the folder of a data set")
    found = match_files(root, _several(images), "images")
    truths = _beside(found, root, _several(labels), "labels")
    points = _beside(found, root, _several(landmarks), "landmarks")
    if not truths and not points:
        raise InputError("labels", "be given, or landmarks", "neither")
    numbers: dict[str, int] = {}
    cases = []
    for name, image in found.items():
        label, point = truths.get(name), points.get(name)
        read = partial(_read_landmarks, point, image, columns, numbers) if point else None
        cases.append(
            Case(
                name,
                image=partial(read_volume, image),
                truth=partial(read_labels, label) if label else None,
                landmarks=read,
                group=_group(name, group, numbers_per_group),
                files=tuple(path for path in (image, label, point) if path is not None),
            )
        )
    return cases


def _several(patterns: str | Sequence[str]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


def _beside(
    images: Mapping[str, Path], root: Path, patterns: tuple[str, ...], option: str
) -> dict[str, Path]:
    """Files of all cases, by name."""
    if not patterns:
        return {}
    found = match_files(root, patterns, option)
    if not any("{case}" in pattern for pattern in patterns):
        if len(found) != len(images):
            raise InputError(
                option, f"match a file for each of {len(images)} images", f"{len(found)} files"
            )
        return dict(zip(images, found.values(), strict=True))
    missing = [name for name in images if name not in found]
    if missing:
        raise InputError(
            option, f"match a file for every image below {root}", f"none for {shortened(missing)}"
        )
    return found


def _group(name: str, pattern: str, size: int) -> str:
    if not pattern:
        return ""
    match = re.search(pattern, name)
    if match is None or not match.groups():
        raise InputError("group", f"match the case {name} with a group in parentheses", pattern)
    person = match.group(1)
    if size <= 1:
        return person
    if not person.isdecimal():
        raise InputError("group", "match numbers, with numbers_per_group", person)
    return str((int(person) - 1) // size)


def _read_landmarks(
    path: Path, image: Path, columns: Mapping[str, str] | None, numbers: dict[str, int]
) -> list[Landmark]:
    return read_points(path, read_volume(image), numbers=numbers, columns=columns)


LAYOUTS.add(
    "folder",
    Layout(
        "folder",
        "images with label maps or points beside them, found by patterns",
        find_folder,
    ),
)
