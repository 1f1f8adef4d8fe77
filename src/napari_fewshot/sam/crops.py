"""Parts of slices that SAM sees enlarged, and the points that it is prompted with there."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np

from ..slices.stack import SliceSource
from ..types import Array

__all__ = ["Crop", "crop_boxes", "cut", "near_crop_edge", "point_grid"]

Crop = tuple[int, int, int, int]
"""First row, first column, last row, last column."""

_EDGE = 20


def point_grid(side: int, shape: tuple[int, int]) -> Array:
    """Points (row, column) of a grid of ``side × side`` over a slice, shape (side², 2)."""
    centres = (np.arange(side) + 0.5) / side
    rows, columns = np.meshgrid(centres * shape[0], centres * shape[1], indexing="ij")
    return np.stack([rows.ravel(), columns.ravel()], axis=1)


def crop_boxes(shape: tuple[int, int], layers: int, overlap: float) -> Iterator[tuple[int, Crop]]:
    """Layer and place of the whole slice and of the crops that lie in it.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the slice.
    layers : int
        Layer n has 2ⁿ crops along each side.
    overlap : float
        Of crops of layer 1, as a share of the shorter side; half of it in the next layer.
    """
    yield 0, (0, 0, shape[0] - 1, shape[1] - 1)
    for layer in range(1, layers + 1):
        count = 2**layer
        shared = int(overlap * min(shape) * 2 / count)
        sides = [math.ceil((side + shared * (count - 1)) / count) for side in shape]
        for row in range(count):
            for column in range(count):
                first = [(sides[0] - shared) * row, (sides[1] - shared) * column]
                last = [min(first[k] + sides[k], shape[k]) - 1 for k in (0, 1)]
                if last[0] >= first[0] and last[1] >= first[1]:
                    yield layer, (first[0], first[1], last[0], last[1])


def near_crop_edge(box: Crop, crop: Crop, shape: tuple[int, int]) -> bool:
    """Whether a mask comes near an edge of its crop that is none of the slice.

    It is then likely cut off, and whole in another crop.
    """
    edges = (crop[0], crop[1], crop[2] + 1, crop[3] + 1)
    for side, edge, border in zip(box, edges, (0, 0, *shape), strict=True):
        if abs(side - edge) <= _EDGE and abs(side - border) > _EDGE:
            return True
    return False


def cut(source: SliceSource, crop: Crop) -> SliceSource:
    """Return the same part of all slices of a source; the source itself for the whole."""
    if crop == (0, 0, source.shape[0] - 1, source.shape[1] - 1):
        return source
    return _Cut(source, crop)


class _Cut:
    """The same part of all slices of another source."""

    def __init__(self, source: SliceSource, crop: Crop) -> None:
        self._source, self._crop = source, crop
        self.channels = source.channels
        self.shape = (crop[2] - crop[0] + 1, crop[3] - crop[1] + 1)

    def __len__(self) -> int:
        return len(self._source)

    def slice(self, index: int) -> Array:
        top, left, bottom, right = self._crop
        plane = self._source.slice(index)[:, top : bottom + 1, left : right + 1]
        return np.ascontiguousarray(plane)

    def digest(self, index: int) -> str:
        text = f"crop {self._crop} {self._source.digest(index)}"
        return hashlib.sha256(text.encode()).hexdigest()
