"""2D images as landmarks are looked for in them: whole, or a part of what templates show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..features.extract import FeatureExtractor
from ..slices.coarse import extent_of
from ..slices.stack import SliceStack
from ..types import Array
from .known import KnownImage, KnownLandmarks
from .part import ZOOMS, likeness_of_part, overview
from .patches import even_contrast
from .pyramid import Resized, described, sampled

__all__ = [
    "RADIUS",
    "Described",
    "as_part",
    "cells_of",
    "described_plane",
    "known_plane",
    "seen_plane",
]

_SIDES = (160, 96, 320)
"""Pixels of the longest side where images are described; on the first grid, places are found."""
_FINE = 640
"""The same where places are made exact, by patches."""
RADIUS = 36
"""Of a patch round a landmark, in pixels of the fine size."""


@dataclass(frozen=True, eq=False)
class Described:
    """A 2D image as landmarks are looked for in it.

    Parameters
    ----------
    features : float32 arrays, shape (C, h, w)
        At each of the sizes, of length 1.
    grey : float32 array
        Of even contrast at the fine size, with a margin of the radius of a patch.
    unit : float
        The mm that places count in.
    extent : array, shape (2,)
        Sides in mm.
    part : array, shape (2,), optional
        Of an image that shows a part of the templates: from their middle to its, in units.
    """

    features: tuple[Array, ...]
    grey: Array
    unit: float
    extent: Array
    part: Array | None = None

    @property
    def shape(self) -> Array:
        """Rows and columns at the fine size."""
        return np.array(self.grey.shape) - 2 * RADIUS

    def at(self, places: Array) -> tuple[Array, Array]:
        """Features (L, sizes * C) and patches (L, side, side) at places in mm, 0 where none is."""
        each = []
        for features in self.features:
            found = sampled(features, cells_of(places, self.extent, features.shape[1:]))
            each.append(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6))
        cells = cells_of(places, self.extent, self.shape)
        return np.concatenate(each, axis=1), np.stack([self._patch(at) for at in cells])

    def overview(self) -> Array:
        """Coarse features of the whole, of those that tell parts best."""
        return overview(self.features[-1], self.extent, self.unit)

    def cut(self, axis: int, first: float, stop: float) -> Described:
        """What lies between two shares of a side, described as it is in the whole."""

        def cut(array: Array, margin: int = 0) -> Array:
            side = array.shape[axis - 2] - 2 * margin
            own = slice(round(first * side), round(stop * side) + 2 * margin)
            return array[..., own, :] if axis == 0 else array[..., own]

        extent = self.extent.copy()
        extent[axis] *= stop - first
        features = tuple(cut(one) for one in self.features)
        return replace(self, features=features, grey=cut(self.grey, RADIUS), extent=extent)

    def _patch(self, cell: Array) -> Array:
        from scipy import ndimage

        side = 2 * RADIUS + 1
        if not np.isfinite(cell).all():
            return np.zeros((side, side), np.float32)
        rows, columns = np.indices((side, side))
        at = [rows + cell[0], columns + cell[1]]  # the margin takes the radius away
        patch: Array = ndimage.map_coordinates(self.grey, at, order=1, mode="nearest")
        return patch


def cells_of(places: Array, extent: Array, shape: Sequence[int] | Array) -> Array:
    """From mm to cells of a grid."""
    cells: Array = places * np.array(shape) / extent - 0.5
    return cells


def known_plane(stack: SliceStack, places: Array) -> KnownImage:
    """Remember a 2D image, not yet described; ``places``, (L, 2), are in mm from its corner."""
    spacing = (float(stack.spacing[1]), float(stack.spacing[2]))
    extent = tuple(float(side) for side in extent_of(stack)[1:])
    none = np.zeros((len(places), 0), np.float32)
    return KnownImage(places.astype(np.float32), extent, spacing, none)


def described_plane(
    stack: SliceStack, known: KnownLandmarks, extractor: FeatureExtractor, zoom: float = 1.0
) -> Described:
    """Features and even greys of a 2D image, or of one that is drawn larger than templates."""
    extent = extent_of(stack)[1:]
    unit = zoom * known.unit(extent, stack.spacing[1:])

    def resized(side: int) -> Resized:
        rows, columns = np.maximum(1, np.round(extent * side / unit)).astype(int)
        return Resized(stack, 0, (int(rows), int(columns)))

    features = tuple(described(resized(side), extractor) for side in _SIDES)
    grey = even_contrast(resized(_FINE).slice(0).mean(axis=0))
    margin = np.pad(grey, RADIUS, mode="symmetric").astype(np.float32)
    return Described(features, margin, unit, extent)


def seen_plane(stack: SliceStack, known: KnownLandmarks, extractor: FeatureExtractor) -> Described:
    """Describe a 2D image to place landmarks in it; it may show a part of the templates."""
    whole = described_plane(stack, known, extractor)
    views = _overviews(known)
    if not views:
        return whole
    part = likeness_of_part(whole.overview(), views)
    chosen, least = whole, part.whole
    for zoom in ZOOMS[1:] if whole.unit == whole.extent.max() else ():
        other = described_plane(stack, known, extractor, zoom)
        its = likeness_of_part(other.overview(), views)
        if its.likeness > part.likeness:
            chosen, part = other, its
    return replace(chosen, part=part.offset) if part.is_more_than(least) else whole


def as_part(image: Described, known: KnownLandmarks) -> Described:
    """The same, but that it is known to show a part of the templates, at their scale."""
    return replace(image, part=likeness_of_part(image.overview(), _overviews(known)).offset)


def _overviews(known: KnownLandmarks) -> list[Array]:
    return [one.overview for one in known.images if len(one.overview)]
