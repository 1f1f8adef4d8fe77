"""Cases out of patterns of file names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ...errors import InputError
from ...io import read_labels, read_points, read_volume
from ...io.paths import stem_of
from ...types import Landmark
from ..datasets import Case
from .sections import DatasetConfig

__all__ = ["find_files"]

_CASE = "{case}"


def find_files(dataset: DatasetConfig) -> list[Case]:
    """Find images, and what belongs to each of them, below the root of a data set.

    Raises
    ------
    InputError
        If there is no image, or no labels or landmarks for one of them.
    """
    root = dataset.root
    if not root.is_dir():
        raise InputError("dataset.root", "be an existing folder", root)
    images = _matched(root, dataset.images)
    if not images:
        raise InputError("dataset.images", f"match files below {root}", ", ".join(dataset.images))
    labels = _beside(root, images, dataset.labels, "labels")
    points = _beside(root, images, dataset.landmarks, "landmarks")
    numbers: dict[str, int] = {}
    cases = []
    for name, image in images.items():
        label, point = labels.get(name), points.get(name)
        cases.append(
            Case(
                name,
                partial(read_volume, image),
                None if label is None else partial(read_labels, label),
                None if point is None else partial(_read_landmarks, point, image, numbers),
                files=tuple(path for path in (image, label, point) if path is not None),
            )
        )
    return cases


def _read_landmarks(path: Path, image: Path, numbers: dict[str, int]) -> list[Landmark]:
    return read_points(path, read_volume(image), numbers=numbers)


def _beside(
    root: Path, images: dict[str, Path], patterns: Sequence[str], what: str
) -> dict[str, Path]:
    """Files of the images, by the name of the case."""
    if not patterns:
        return {}
    found = _matched(root, patterns)
    if not any(_CASE in pattern for pattern in patterns):
        if len(found) != len(images):
            raise InputError(
                f"dataset.{what}",
                f"match as many files as there are images ({len(images)})",
                len(found),
                f"Or write {_CASE} in both patterns where names agree.",
            )
        return dict(zip(images, found.values(), strict=True))
    missing = [name for name in images if name not in found]
    if missing:
        raise InputError(
            f"dataset.{what}",
            f"match a file for every image below {root}",
            f"none for {missing[0]} ({len(missing)} missing)",
        )
    return found


def _matched(root: Path, patterns: Sequence[str]) -> dict[str, Path]:
    """Files by the name of their case, sorted."""
    found: dict[str, Path] = {}
    for pattern in patterns:
        if pattern.count(_CASE) > 1 or Path(pattern).is_absolute():
            raise InputError("dataset", f"have patterns below root, with one {_CASE}", pattern)
        parts = [re.escape(part).replace(r"\*", "[^/]*") for part in pattern.split(_CASE)]
        expression = re.compile("([^/]+?)".join(parts))
        for path in sorted(root.glob(pattern.replace(_CASE, "*"))):
            match = expression.fullmatch(path.relative_to(root).as_posix())
            name = match.group(1) if match and match.groups() else stem_of(path)
            if path.is_file() and found.setdefault(name, path) != path:
                raise InputError(
                    "dataset", "match one file of a kind for each case", f"{found[name]} and {path}"
                )
    return dict(sorted(found.items()))
