"""Landmarks that were placed in an image, before it is said how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..types import Array

__all__ = ["CANDIDATES", "Placed"]

CANDIDATES = 4
"""Other places that are kept of a landmark."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Places of landmarks.

    Parameters
    ----------
    places : array, shape (L, D)
        In mm from the corner of the image in canonical order; nan where one is not placed.
    sure : array, shape (L,)
        The higher the surer that a landmark lies near its place; from 0 to 1, no probability yet.
    extent : array, shape (D,)
        Sides of the image in mm.
    others : array, shape (L, K, D)
        Other places that a landmark may have, the most probable first; nan where there are fewer.
    shares : array, shape (L, K)
        How probable these are beside each other; of a landmark they sum to 1 at most.
    is_part : bool
        Whether the image was taken for a part of what templates show.
    """

    places: Array
    sure: Array
    extent: Array
    others: Array
    shares: Array
    is_part: bool = False

    @classmethod
    def nowhere(cls, count: int, extent: Array) -> Placed:
        """None of so many landmarks is placed."""
        others = np.full((count, CANDIDATES, len(extent)), np.nan)
        return cls(
            np.full((count, len(extent)), np.nan),
            np.zeros(count),
            extent,
            others,
            np.zeros((count, CANDIDATES)),
        )
