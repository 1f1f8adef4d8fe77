"""Landmarks that were placed in an image, before it is said how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Array

__all__ = ["REACHES", "Placed"]

REACHES = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12)


@dataclass(frozen=True, eq=False)
class Placed:
    """Places of landmarks.

    Parameters
    ----------
    places : array, shape (L, D)
        In mm from the corner of the image in canonical order; nan where one is not placed.
    sure : array, shape (L, R)
        The higher the surer that a landmark lies within each of ``REACHES`` of its place, as
        shares of the longest side; from 0 on, no probability yet.
    extent : array, shape (D,)
        Sides of the image in mm.
    """

    places: Array
    sure: Array
    extent: Array
