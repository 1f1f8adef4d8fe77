"""Cases of a data set: where image and truth lie, read when they are needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import InputError
from ...io import check_match, read_labels
from ...registry import Registry
from ...types import Landmark, Volume

__all__ = [
    "LAYOUTS",
    "Case",
    "Layout",
    "centroids",
    "existing_folder",
    "merged_masks",
    "natural",
    "shortened",
]


@dataclass(frozen=True, eq=False)
class Case:
    """One image with its truth.

    Parameters
    ----------
    name : str
        Unique in its data set.
    image : callable
        ``image() -> Volume``; reads the file.
    truth : callable, optional
        ``truth() -> Volume`` of int labels on the grid of the image.
    landmarks : callable, optional
        ``landmarks() -> list[Landmark]``, positions in voxels of the file order of the image.
    split : {"train", "test"}, optional
        What the data set itself says.
    group : str
        Cases of one person or animal share it: they never fall on both sides of a split.
    files : tuple of Path
        What its results depend on.
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

LAYOUTS: Registry[Layout] = Registry("layout", ".bench.datasets.folder", ".bench.datasets.official")


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
    volume = truth()
    landmarks = []
    for label, name in sorted(volume.names.items()):
        voxels = np.argwhere(volume.data == label)
        if voxels.size:
            z, y, x = (0.0,) * (3 - volume.ndim) + tuple(map(float, voxels.mean(axis=0)))
            landmarks.append(Landmark(name, label, (z, y, x)))
    return landmarks
