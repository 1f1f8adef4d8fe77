"""Landmarks that were placed in an image, before it is said how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Array

__all__ = ["Placed"]


@dataclass(frozen=True, eq=False)
class Placed:
    """Places of landmarks.

    Parameters
    ----------
    places : array, shape (L, D)
        In mm from the corner of the image in canonical order; nan where one is not placed.
    sure : array, shape (L,)
        The higher the surer, from 0 on; no probability yet.
    extent : array, shape (D,)
        Sides of the image in mm.
    """

    places: Array
    sure: Array
    extent: Array
