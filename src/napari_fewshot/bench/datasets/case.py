"""Cases of a data set, read when they are needed, and the layout that finds them by patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import InputError
from ...io import check_match, read_labels, read_points, read_volume, stem_of
from ...io.formats import split_inside
from ...io.parts import filled, may_be_part
from ...registry import Registry
from ...types import Landmark, Volume

__all__ = ["ENTRIES", "LAYOUTS", "Case", "Layout", "find_folder"]


@dataclass(frozen=True, eq=False)
class Case:
    """One image with its truth, and the files that its results depend on.

    The truth is on the grid of the image; positions of landmarks are in voxels of its file order.
    ``split`` is what the data set itself says. Cases of one person or animal share a ``group``,
    which never falls on both sides of a split.
    """

    name: str
    image: Callable[[], Volume]
    truth: Callable[[], Volume] | None = None
    landmarks: Callable[[], list[Landmark]] | None = None
    split: Literal["train", "test"] | None = None
    group: str = ""
    files: tuple[Path, ...] = ()


Layout = Callable[..., list[Case]]
"""``layout(root: Path, **options)`` finds the cases below a folder, in a stable order, and reads no
image; it raises an ``InputError`` that names the folders and files that are missing."""

LAYOUTS: Registry[Layout] = Registry("layout", ".bench.datasets.case", ".bench.datasets.official")

_CASE = "{case}"


def existing_folder(root: Path, what: str) -> None:
    """Raise an :class:`InputError` that says what the root should be, where it is no folder."""
    if not root.is_dir():
        given = f"{root}, which is a file" if root.exists() else f"{root}, where nothing is"
        raise InputError("root", f"be {what}", given)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which ``case_2`` comes before ``case_10``."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]


def shortened(names: Sequence[str]) -> str:
    """First three of many names, and how many there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def merged_masks(structures: Mapping[str, Sequence[Path]], image: Callable[[], Volume]) -> Volume:
    """Merge the binary masks of structures: the first structure has label 1, and so on.

    Voxels that two structures share go to the one that is named first. A structure without a file
    is known to be absent; where none has one, the grid is that of the image.
    """
    merged: Volume | None = None
    for label, paths in enumerate(structures.values(), start=1):
        for path in paths:
            mask = read_labels(path)
            merged = _empty(mask) if merged is None else merged
            check_match(merged, mask)
            merged.data[(mask.data > 0) & (merged.data == 0)] = label
    merged = _empty(image()) if merged is None else merged
    return merged.with_data(merged.data, names=dict(enumerate(structures, start=1)))


def _empty(like: Volume) -> Volume:
    return like.with_data(np.zeros(like.shape, np.uint8), source=None, header=None)


def centroids(truth: Callable[[], Volume]) -> list[Landmark]:
    """Centre of mass of each label, as a landmark of its name; none of a label that is absent."""
    from skimage.measure import regionprops

    volume = truth()
    landmarks = []
    for part in regionprops(volume.data):
        z, y, x = (0.0,) * (3 - volume.ndim) + tuple(map(float, part.centroid))
        landmarks.append(Landmark(volume.names[part.label], part.label, (z, y, x)))
    return landmarks


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
    """Find the images of any cohort, and label maps or CSV files of points beside them.

    ``images``, ``labels`` and ``landmarks`` are paths below the root, with ``*`` and one
    ``{case}`` in each, by which they are matched; without it they are matched in order. An
    image may be the folder of a DICOM series, or lie within a file (``*.h5/raw``). ``columns``
    are our columns of CSV files (name, label, z, y, x, R, A, S) to those of these, where they
    differ. What the first group of the regular expression ``group`` matches in the name of a
    case is the person or animal; where ``numbers_per_group`` is above 1, it is a number, and so
    many consecutive ones, from 1, belong together.
    """
    existing_folder(root, "the folder of a data set")
    found = _matched(root, images, "images")
    truths = _beside(found, root, labels, "labels")
    points = _beside(found, root, landmarks, "landmarks")
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
                truth=partial(_read_truth, label, image) if label else None,
                landmarks=read,
                group=_group(name, group, numbers_per_group),
                files=tuple(
                    split_inside(path)[0] for path in (image, label, point) if path is not None
                ),
            )
        )
    return cases


def _matched(root: Path, patterns: str | Sequence[str], option: str) -> dict[str, Path]:
    """Find files by the name of their case, in natural order.

    Without ``{case}`` in the pattern, the name is that of the file without its ending.
    """
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    found: dict[str, Path] = {}
    for pattern in patterns:
        if pattern.count(_CASE) > 1 or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise InputError(option, f"be a path below the root, with at most one {_CASE}", pattern)
        parts = [re.escape(part).replace(r"\*", "[^/]*") for part in pattern.split(_CASE)]
        expression = re.compile("([^/]+?)".join(parts))
        file, inner = split_inside(Path(pattern.replace(_CASE, "*")))
        for path in sorted(one / inner for one in root.glob(file.as_posix())):
            match = expression.fullmatch(path.relative_to(root).as_posix())
            if match is None or path.name.startswith("."):
                continue
            name = match.group(1) if match.groups() else stem_of(path)
            if found.setdefault(name, path) != path:
                given = f"{found[name]} and {path}"
                raise InputError(option, "match one file for each case", given)
    if not found:
        remedy = "Is it the folder of this data set?"
        raise InputError(option, f"match files below {root}", ", ".join(patterns), remedy)
    return dict(sorted(found.items(), key=lambda item: natural(item[0])))


def _beside(
    images: Mapping[str, Path], root: Path, patterns: str | Sequence[str], option: str
) -> dict[str, Path]:
    """Files of all cases, by name; none where there is no pattern."""
    if not patterns:
        return {}
    found = _matched(root, patterns, option)
    if _CASE not in str(patterns):
        if len(found) != len(images):
            wanted = f"match a file for each of {len(images)} images"
            raise InputError(option, wanted, f"{len(found)} files")
        return dict(zip(images, found.values(), strict=True))
    missing = [name for name in images if name not in found]
    if missing:
        wanted = f"match a file for every image below {root}"
        raise InputError(option, wanted, f"none for {shortened(missing)}")
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


def _read_truth(path: Path, image: Path) -> Volume:
    """Labels on the grid of their image: a segmentation may store a part of it."""
    labels = read_labels(path)
    return filled(read_volume(image), labels) if may_be_part(labels) else labels


def _read_landmarks(
    path: Path, image: Path, columns: Mapping[str, str] | None, numbers: dict[str, int]
) -> list[Landmark]:
    return read_points(path, read_volume(image), numbers=numbers, columns=columns)


ENTRIES = {"folder": find_folder}
