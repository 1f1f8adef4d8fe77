"""How found landmarks look: filled where probably right, hollow where they may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..layers import columns_of

__all__ = ["LEAST_SURE", "fill_sure", "point_size"]

LEAST_SURE = 0.5
"""Points with a lower score are hollow."""
_YELLOW = (1.0, 1.0, 0.0)
_SIZE, _SHARE = 3.0, 0.005


def point_size(shape: Sequence[int]) -> float:
    """Diameter of a point in pixels of an image: seen in large ones too."""
    return max(_SIZE, _SHARE * max(shape))


def fill_sure(layer: Any) -> None:
    """Fill points of a layer whose score is high, or that a person placed and have none."""
    scores = np.array(columns_of(layer.features).get("score", np.zeros(0)), float)
    if len(scores) != len(layer.data) or not len(scores):
        return
    hollow = scores < LEAST_SURE  # not where there is none
    layer.face_color = np.column_stack([np.tile(_YELLOW, (len(scores), 1)), ~hollow])
