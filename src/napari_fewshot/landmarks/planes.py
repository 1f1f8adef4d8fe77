"""Landmarks in 2D images: appearance and arrangement together, coarse first, then exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..features.extract import FeatureExtractor
from ..slices.coarse import extent_of
from ..slices.stack import SliceStack
from ..types import Array
from .known import KnownImage, KnownLandmarks
from .patches import correlations, even_contrast
from .placed import Placed
from .pyramid import Resized, described, sampled
from .structure import Structure

__all__ = ["Described", "described_plane", "known_plane", "place_in_plane"]

_SIDES = (320, 640)
"""Pixels of the longest side where places are found, and where they are made exact."""
_RADIUS = 18
"""Of a patch round a landmark, in pixels of the coarse size."""
_NOISE = 0.05
"""Variance of a patch that counts little, beside 1 of one with the usual contrast."""
_SCALES = (0.85, 1.0, 1.18)
"""Of the arrangement, beside that of the templates."""
_FEATURES = 12.0
"""Log of how much more probable a place is whose features are the same than one of no likeness."""
_PATCHES = 8.0
"""The same of patches, at the fine size."""
_LEAST_SPREAD = 0.05
"""Standard deviation of the place in the image, as a share of its longest side, at least."""
_ELSEWHERE = 0.01
"""How probable any place is beside that where templates have a landmark."""
_WIDER = 1.5
"""And times what it is in the templates."""
_WINDOW = 0.06
"""Share of the longest side on each side of a place in which it is made exact."""
_NEAR = 0.025
"""Share of the longest side within which places count as one."""


@dataclass(frozen=True, eq=False)
class Described:
    """A 2D image as landmarks are looked for in it.

    Parameters
    ----------
    features : float32 array, shape (C, h, w)
        At the coarse size, of length 1.
    greys : two float32 arrays
        Of even contrast at both sizes, with a margin of the radius of a patch.
    unit : float
        The mm that places count in.
    extent : array, shape (2,)
        Sides in mm.
    """

    features: Array
    greys: tuple[Array, Array]
    unit: float
    extent: Array

    def shape(self, level: int) -> Array:
        """Rows and columns at a size."""
        return np.array(self.greys[level].shape) - 2 * _radius(level)

    def cells(self, places: Array, level: int) -> Array:
        """From mm to cells of a size."""
        cells: Array = places * self.shape(level) / self.extent - 0.5
        return cells

    def at(self, places: Array) -> tuple[Array, Array]:
        """Features (L, C) and fine patches (L, side, side) at places in mm, 0 where none is."""
        found = sampled(self.features, self.cells(places, 0))
        found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
        return found, np.stack([self._patch(at) for at in self.cells(places, 1)])

    def _patch(self, cell: Array) -> Array:
        from scipy import ndimage

        radius = _radius(1)
        if not np.isfinite(cell).all():
            return np.zeros((2 * radius + 1,) * 2, np.float32)
        rows, columns = np.indices((2 * radius + 1,) * 2)
        at = [rows + cell[0], columns + cell[1]]  # the margin takes the radius away
        patch: Array = ndimage.map_coordinates(self.greys[1], at, order=1, mode="nearest")
        return patch


def _radius(level: int) -> int:
    return _RADIUS * _SIDES[level] // _SIDES[0]


def known_plane(stack: SliceStack, places: Array) -> KnownImage:
    """Remember a 2D image, not yet described; ``places``, (L, 2), are in mm from its corner."""
    spacing = (float(stack.spacing[1]), float(stack.spacing[2]))
    extent = tuple(float(side) for side in extent_of(stack)[1:])
    none = np.zeros((len(places), 0), np.float32)
    return KnownImage(places.astype(np.float32), extent, spacing, none)


def described_plane(
    stack: SliceStack, known: KnownLandmarks, extractor: FeatureExtractor
) -> Described:
    """Features and even greys of a 2D image."""
    extent = extent_of(stack)[1:]
    unit = known.unit(extent, stack.spacing[1:])
    shapes, greys = [], []
    for level, side in enumerate(_SIDES):
        rows, columns = np.maximum(1, np.round(extent * side / unit)).astype(int)
        shapes.append((int(rows), int(columns)))
        grey = even_contrast(Resized(stack, 0, shapes[-1]).slice(0).mean(axis=0))
        greys.append(np.pad(grey, _radius(level), mode="symmetric").astype(np.float32))
    features = described(Resized(stack, 0, shapes[0]), extractor)
    return Described(features, (greys[0], greys[1]), unit, extent)


def place_in_plane(image: Described, known: KnownLandmarks) -> Placed:
    """Place landmarks in a 2D image."""
    arrangement = [_relative(one, known) for one in known.images]
    structure = Structure.of(arrangement)
    likely = _likely(image, known, arrangement, structure.places)
    found = _coarse(image, structure, likely)
    places = np.full((len(found), 2), np.nan)
    sure = np.zeros(len(found))
    for number, map_ in enumerate(found):
        places[number], sure[number] = _exact(image, known, number, map_)
    return Placed(places, sure, image.extent)


def _relative(one: KnownImage, known: KnownLandmarks) -> Array:
    """Places from the middle of the image, in units."""
    extent = np.array(one.extent)
    return (one.places - extent / 2) / known.unit(extent, one.spacing)


def _similar(image: Described, known: KnownLandmarks) -> Array:
    """Log-likelihood (L, h, w) of each cell by the most alike template."""
    flat = image.features.reshape(len(image.features), -1)
    best: Array | None = None
    for one in known.images:
        similar = _FEATURES * (one.descriptors @ flat)
        similar = similar.reshape(len(similar), *image.features.shape[1:])
        best = similar if best is None else np.maximum(best, similar)
    if best is None:
        raise ValueError("no template")
    return best


def _likely(
    image: Described, known: KnownLandmarks, arrangement: list[Array], middle: Array
) -> Array:
    """Likelihood (L, h, w) of each place by what is seen there, and by where templates have it."""
    similar = _similar(image, known)
    similar -= similar.max(axis=(1, 2), keepdims=True)
    shape = similar.shape[1:]
    cell = image.extent / image.unit / shape
    at = [(np.arange(n) + 0.5) * c - n * c / 2 for n, c in zip(shape, cell, strict=True)]
    together = np.stack(arrangement)
    spread = np.zeros(len(middle))
    if len(together) > 1:
        seen = np.isfinite(together[..., 0]).sum(axis=0)
        squares = np.nansum(np.square(together - middle), axis=(0, 2)) / 2
        spread = np.sqrt(squares / np.maximum(seen - 1, 1))
    width = _WIDER * np.maximum(spread, _LEAST_SPREAD / _WIDER)
    rows = np.exp(-np.square(at[0] - middle[:, :1]) / (2 * np.square(width)[:, None]))
    columns = np.exp(-np.square(at[1] - middle[:, 1:]) / (2 * np.square(width)[:, None]))
    prior = _ELSEWHERE + (1 - _ELSEWHERE) * rows[:, :, None] * columns[:, None, :]
    result: Array = np.exp(similar) * prior
    return result.astype(np.float32)


def _coarse(image: Described, structure: Structure, likely: Array) -> Array:
    """Probability (L, h, w) of each cell of the coarsest level, over scales."""
    cell = float(image.extent[0] / image.unit / likely.shape[1])
    each = [structure.marginals(likely, cell, scale) for scale in _SCALES]
    best = max(evidence for _, evidence in each)
    total = sum(np.exp(evidence - best) * found for found, evidence in each)
    result: Array = np.asarray(total) / np.sum(total, axis=(1, 2), keepdims=True)
    return result


def _exact(
    image: Described, known: KnownLandmarks, number: int, coarse: Array
) -> tuple[Array, float]:
    """The place in mm of one landmark, and how much of the probability is near it."""
    from scipy import ndimage

    near = _NEAR * image.unit / image.extent[0]
    cells, sure = _peak(coarse, near * coarse.shape[0])
    place = (cells + 0.5) * image.extent / coarse.shape
    shape, radius = image.shape(1), _radius(1)
    middle = np.round(image.cells(place[None], 1)[0]).astype(int)
    reach = int(np.ceil(_WINDOW * image.unit / image.extent[0] * shape[0]))
    low, high = np.clip(middle - reach, 0, shape - 1), np.clip(middle + reach + 1, 1, shape)
    rows, columns = (np.arange(a, b) for a, b in zip(low, high, strict=True))
    at = np.meshgrid(
        (rows + 0.5) * coarse.shape[0] / shape[0] - 0.5,
        (columns + 0.5) * coarse.shape[1] / shape[1] - 0.5,
        indexing="ij",
    )
    prior = ndimage.map_coordinates(coarse, at, order=1, mode="nearest")
    part = image.greys[1][low[0] : high[0] + 2 * radius, low[1] : high[1] + 2 * radius]
    seen = [one.patches[number] for one in known.images if np.isfinite(one.places[number, 0])]
    similar = correlations(part, np.stack(seen), _NOISE).max(axis=0)
    window = prior * np.exp(_PATCHES * (similar - similar.max()))
    cells, _ = _peak(window, near * shape[0] / 2)
    return (cells + low + 0.5) * image.extent / shape, sure


def _peak(map_: Array, radius: float) -> tuple[Array, float]:
    """Middle of what is most probable within a radius of cells, and how much that is."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(map_, radius / 2, mode="constant")
    top = np.unravel_index(int(smooth.argmax()), map_.shape)
    rows, columns = np.indices(map_.shape)
    near = np.where(np.hypot(rows - top[0], columns - top[1]) <= radius, map_, 0)
    total = float(near.sum())
    if not total > 0:
        return np.array(top, float), 0.0
    middle = np.array([(rows * near).sum(), (columns * near).sum()]) / total
    return middle, total / float(map_.sum())
