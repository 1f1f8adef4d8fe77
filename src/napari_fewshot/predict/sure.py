"""Labels that a prediction is sure of, to learn more from, on slices that lie evenly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..scratch import bands
from ..types import Array

__all__ = ["MAX_SLICES", "evenly", "sure_labels"]

MAX_SLICES = 24
"""Slices at most that are learned from in this way."""
_CONFIDENT = 0.8
"""Probability from which a predicted label is taken for known."""


def sure_labels(plane: Array, values: Array, unknown: int) -> Array:
    """Label values, (H, W), where one of the probabilities (L + 1, H, W) is high; else unknown."""
    result = np.empty(plane.shape[1:], np.int32)
    for rows in bands(len(result), plane[:, 0].size):
        band = plane[:, rows]
        sure = band.max(axis=0) > _CONFIDENT
        result[rows] = np.where(sure, values[band.argmax(axis=0)], unknown)
    return result


def evenly(slices: Sequence[int] | Array, count: int) -> list[int]:
    """So many of the slices, each in the middle of its share."""
    places = (np.arange(count) + 0.5) * len(slices) / max(1, count)
    return [int(slices[k]) for k in places.astype(int)]
