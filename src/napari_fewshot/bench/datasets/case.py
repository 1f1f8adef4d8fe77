"""Cases of a data set: where image and truth lie, read when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...registry import Registry
from ...types import Landmark, Volume

__all__ = ["LAYOUTS", "Case", "Layout"]


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
        What was read for it, for the report.
    """

    name: str
    image: Callable[[], Volume]
    truth: Callable[[], Volume] | None = None
    landmarks: Callable[[], list[Landmark]] | None = None
    split: Literal["train", "test"] | None = None
    group: str = ""
    files: tuple[Path, ...] = field(default_factory=tuple)


@dataclass(frozen=True)
class Layout:
    """How the folder of a data set is laid out.

    Parameters
    ----------
    name, summary : str
    find : callable
        ``find(root: Path, **options) -> list[Case]`` in a stable order; raises an ``InputError``
        that names the folders and files that are missing. Reads no image.
    source, licence : str
        Where the data set is had, and on what terms.
    """

    name: str
    summary: str
    find: Callable[..., list[Case]]
    source: str = ""
    licence: str = ""


LAYOUTS: Registry[Layout] = Registry("layout")
