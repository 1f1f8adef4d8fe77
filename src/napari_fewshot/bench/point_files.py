"""Two CSV files of landmarks, with the spacing that their distances need."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..io import read_points, read_volume
from ..types import Landmark, Volume

__all__ = ["PointPair", "read_point_pair"]

_ANYWHERE = 10**6


class PointPair(NamedTuple):
    """Predicted and true landmarks, mm of (z, y, x), and the image where it was given."""

    pred: list[Landmark]
    truth: list[Landmark]
    spacing: tuple[float, ...]
    image: Volume | None


def read_point_pair(pred: Path, truth: Path, image: Path | None = None) -> PointPair:
    """Read landmarks to compare.

    The spacing is that of the image; without one it is found from a file that has both voxel
    and patient coordinates.

    Raises
    ------
    InputError
        If a file cannot be read, or the spacing cannot be found.
    """
    if image is not None:
        volume = read_volume(image)
        spacing = (1.0, *volume.spacing)[-3:]
        return PointPair(read_points(pred, volume), read_points(truth, volume), spacing, volume)
    found = _spacing_of(truth) or _spacing_of(pred)
    if found is None:
        raise InputError(
            "--image",
            "be given, since the CSV files do not tell the spacing",
            "nothing",
            "Files with z, y, x beside R, A, S of four points that span the volume do.",
        )
    # Positions are voxels in both files; without the image there is no shape to check against.
    anywhere = Volume(np.broadcast_to(np.uint8(0), (_ANYWHERE,) * 3), found)
    return PointPair(read_points(pred, anywhere), read_points(truth, anywhere), found, None)


def _spacing_of(path: Path) -> tuple[float, float, float] | None:
    """Fit the affine of a file that has voxel and patient coordinates; None where it has not."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = [
                {(name or "").strip().lower(): text for name, text in row.items()}
                for row in csv.DictReader(file)
            ]
        rows = np.array([[float(row[name]) for name in "zyxras"] for row in table])
    except (KeyError, TypeError, ValueError, UnicodeDecodeError):
        return None  # read_points says what is wrong, where anything is
    if len(rows) < 4:
        return None
    voxels = np.column_stack([rows[:, :3], np.ones(len(rows))])
    affine, _, rank, _ = np.linalg.lstsq(voxels, rows[:, 3:], rcond=1e-6)
    if rank < 4:
        return None
    z, y, x = (float(size) for size in np.linalg.norm(affine[:3], axis=1))
    return (z, y, x) if min(z, y, x) > 0 else None
