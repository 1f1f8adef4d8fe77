"""Features of a 2D image at another size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..features.extract import FeatureExtractor
from ..slices.grid import resize_plane
from ..slices.stack import SliceSource, Window, digest_plane
from ..types import Array, FeatureMap

__all__ = ["Resized", "described", "sampled"]


@dataclass(frozen=True, eq=False)
class Resized:
    """One slice of a source on another grid: a source of one slice."""

    source: SliceSource
    index: int
    shape: tuple[int, int]

    @property
    def channels(self) -> int:
        """Channels of the slice."""
        return self.source.channels

    def __len__(self) -> int:
        """Return 1."""
        return 1

    def slice(self, index: int, /) -> Array:
        """Return the slice, shape (C, H, W), float32."""
        return resize_plane(self.source.slice(self.index), self.shape)

    def window(self, index: int, window: Window, /) -> Array:
        """Return a part of it."""
        return self.slice(index)[:, *window]

    def digest(self, index: int, /) -> str:
        """Return a hexadecimal digest of its content."""
        return digest_plane(self.slice(index))


def described(image: Resized, extractor: FeatureExtractor) -> Array:
    """Features of an image, float32, shape (C, h, w), each of length 1."""
    features = extractor.map(image, 0)
    whole = np.empty((features.channels, *image.shape), np.float32)
    for part in features.parts():
        whole[:, *_window(part)] = part.data
    lengths = np.linalg.norm(whole, axis=0)
    result: Array = whole / np.maximum(lengths, 1e-6)
    return result


def _window(part: FeatureMap) -> Window:
    (row, column), (height, width) = part.origin, part.shape
    return slice(row, row + height), slice(column, column + width)


def sampled(features: Array, places: Array) -> Array:
    """Features, (n, C), at places (n, 2) in cells, with a fraction; nan gives zeros."""
    height, width = features.shape[1:]
    limits = np.array([height, width]) - 1
    at = np.clip(np.nan_to_num(places), 0, limits)
    low = np.minimum(at.astype(int), np.maximum(limits - 1, 0))
    share = (at - low).astype(np.float32)
    total = np.zeros((len(places), len(features)), np.float32)
    for row in (0, 1):
        for column in (0, 1):
            weight = np.abs(1 - row - share[:, 0]) * np.abs(1 - column - share[:, 1])
            there = np.minimum(low + np.array([row, column]), limits)
            total += weight[:, None] * features[:, there[:, 0], there[:, 1]].T
    return np.where(np.isfinite(places[:, :1]), total, 0)
