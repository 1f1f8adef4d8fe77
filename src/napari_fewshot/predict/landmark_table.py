"""Landmarks as a table, with the columns of their files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..types import Array, Landmark

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["landmark_table"]


def landmark_table(landmarks: Sequence[Landmark], affine: Array | None = None) -> pd.DataFrame:
    """Table of landmarks, a row for each: name, label, z, y, x and score.

    Parameters
    ----------
    landmarks : sequence of Landmark
        With places in voxels of the file order.
    affine : array, shape (4, 4), optional
        Of their image: columns R, A and S then have the place in the patient, in mm.
    """
    import pandas as pd

    places = np.array([point.position for point in landmarks], float).reshape(-1, 3)
    columns = {
        "name": pd.Series([point.name for point in landmarks], dtype="str"),
        "label": np.array([point.label for point in landmarks], int),
        **dict(zip("zyx", places.T, strict=True)),
        "score": np.array([point.score for point in landmarks], float),
    }
    if affine is not None:
        patient = places @ affine[:3, :3].T + affine[:3, 3]
        columns |= dict(zip("RAS", patient.T, strict=True))
    return pd.DataFrame(columns)
