"""Landmarks in 2D images: appearance and arrangement together, coarse first, then exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from ..features.extract import FeatureExtractor
from ..slices.coarse import extent_of
from ..slices.grid import resize_plane
from ..slices.stack import SliceStack
from ..types import Array
from .known import KnownImage, KnownLandmarks
from .patches import correlations, even_contrast
from .placed import CANDIDATES, REACHES, Placed
from .pyramid import Resized, described, sampled
from .scores import logit
from .structure import Structure

__all__ = ["Described", "described_plane", "known_plane", "place_in_plane"]

_SIDES = (160, 96, 320)
"""Pixels of the longest side where images are described; on the first grid, places are found."""
_FEATURES = 2.1
"""Log of how much more probable a place is whose features are the same than one of no likeness, for
each of these sizes."""
_FINE = 640
"""The same where places are made exact, by patches."""
_RADIUS = 36
"""Of a patch round a landmark, in pixels of the fine size."""
_NOISE = 0.05
"""Variance of a patch that counts little, beside 1 of one with the usual contrast."""
_SCALES = (0.8, 0.9, 1.0, 1.11, 1.25)
"""Of the arrangement, beside that of the templates."""
_SCALE_SPREAD = 0.12
"""Standard deviation of the logarithm of the scale."""
_PATCHES = 10.0
"""Log of how much more probable a place is whose patch is the same as one of many templates."""
_PATCH_BELIEF = 1.5
"""Templates that it takes for nearly as much: the patch of one alone misleads."""
_PLACE_SPREAD = 0.035
"""Standard deviation of the place in the image along each axis, as a share of its longest side,
before templates are seen."""
_BELIEF = 4.0
"""Templates that this counts as, beside those that show how places vary."""
_ELSEWHERE = 0.01
"""How probable any place is beside that where templates have a landmark."""
_LIKENESS, _LIKENESS_SPREAD = 0.89, 0.045
"""Similarity of the features where landmarks are placed, right and wrong ones: it tells them apart
as well as the probability near the place does, and both together better."""
_MASS_SPREAD = 1.5
"""Of the log-odds of that probability."""
_WINDOW = 0.06
"""Share of the longest side on each side of a place in which it is made exact."""
_NEAR = 0.05
"""Share of the longest side within which places count as one."""
_OWN = REACHES.index(_NEAR)


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
    """

    features: tuple[Array, ...]
    grey: Array
    unit: float
    extent: Array

    @property
    def shape(self) -> Array:
        """Rows and columns at the fine size."""
        return np.array(self.grey.shape) - 2 * _RADIUS

    def at(self, places: Array) -> tuple[Array, Array]:
        """Features (L, sizes * C) and patches (L, side, side) at places in mm, 0 where none is."""
        each = []
        for features in self.features:
            found = sampled(features, _cells(places, self.extent, features.shape[1:]))
            each.append(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6))
        cells = _cells(places, self.extent, self.shape)
        return np.concatenate(each, axis=1), np.stack([self._patch(at) for at in cells])

    def _patch(self, cell: Array) -> Array:
        from scipy import ndimage

        side = 2 * _RADIUS + 1
        if not np.isfinite(cell).all():
            return np.zeros((side, side), np.float32)
        rows, columns = np.indices((side, side))
        at = [rows + cell[0], columns + cell[1]]  # the margin takes the radius away
        patch: Array = ndimage.map_coordinates(self.grey, at, order=1, mode="nearest")
        return patch


def _cells(places: Array, extent: Array, shape: Sequence[int] | Array) -> Array:
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
    stack: SliceStack, known: KnownLandmarks, extractor: FeatureExtractor
) -> Described:
    """Features and even greys of a 2D image."""
    extent = extent_of(stack)[1:]
    unit = known.unit(extent, stack.spacing[1:])

    def resized(side: int) -> Resized:
        rows, columns = np.maximum(1, np.round(extent * side / unit)).astype(int)
        return Resized(stack, 0, (int(rows), int(columns)))

    features = tuple(described(resized(side), extractor) for side in _SIDES)
    grey = even_contrast(resized(_FINE).slice(0).mean(axis=0))
    margin = np.pad(grey, _RADIUS, mode="symmetric").astype(np.float32)
    return Described(features, margin, unit, extent)


def place_in_plane(image: Described, known: KnownLandmarks, fixed: Array | None = None) -> Placed:
    """Place landmarks in a 2D image; ``fixed``, (L, 2), are those known in mm, else nan."""
    arrangement = [_relative(one, known) for one in known.images]
    structure = Structure.of(arrangement)
    likely = _likely(image, known, arrangement, structure.places)
    if fixed is None:
        fixed = np.full((len(likely), 2), np.nan)
    there = np.isfinite(fixed[:, 0])
    for number in np.flatnonzero(there).tolist():
        cell = _cells(fixed[number], image.extent, likely.shape[1:])
        likely[number] = _at_cell(cell, likely[number])
    found = _coarse(image, structure, likely)
    placed = Placed.nowhere(len(found), image.extent)
    near = _NEAR * image.unit / image.extent[0] * likely.shape[1]
    longest = image.extent.max() / image.extent[0] * likely.shape[1]
    for number, map_ in enumerate(found):
        if there[number]:
            placed.places[number], placed.sure[number] = fixed[number], 1.0
            continue
        cells, *others = _peaks(map_, near, 1 + CANDIDATES)
        placed.sure[number] = _within(map_, cells, longest)
        placed.places[number] = _exact(image, known, number, map_, cells)
        ranked = sorted(
            ((_within(map_, at, longest)[_OWN], at) for at in others), key=lambda one: -one[0]
        )
        kept = [placed.places[number]]
        for mass, at in ranked:
            place = _exact(image, known, number, map_, at)
            if min(np.linalg.norm(place - one) for one in kept) > _NEAR * image.unit:
                placed.shares[number, len(kept) - 1] = mass
                placed.others[number, len(kept) - 1] = place
                kept.append(place)
    placed.shares[:] /= np.maximum(placed.shares.sum(axis=1, keepdims=True), 1e-30)
    return replace(placed, sure=_surer(image, known, placed.places, placed.sure))


def _at_cell(cell: Array, like: Array) -> Array:
    """A map in which one place alone is likely."""
    rows, columns = np.indices(like.shape)
    square = np.square(rows - cell[0]) + np.square(columns - cell[1])
    likely: Array = np.exp(-(square - square.min()) / 2)
    return likely


def _surer(image: Described, known: KnownLandmarks, places: Array, mass: Array) -> Array:
    """How sure places are, (L, R), by the probability near them and by what is seen there."""
    seen, _ = image.at(places)
    each = (np.einsum("lc,lc->l", seen, one.descriptors) for one in known.images)
    likeness = reduce(np.maximum, each) / len(image.features)
    odds = logit(mass) / _MASS_SPREAD + ((likeness - _LIKENESS) / _LIKENESS_SPREAD)[:, None]
    sure: Array = 1 / (1 + np.exp(-odds))
    return sure


def _relative(one: KnownImage, known: KnownLandmarks) -> Array:
    """Places from the middle of the image, in units."""
    extent = np.array(one.extent)
    return (one.places - extent / 2) / known.unit(extent, one.spacing)


def _similar(image: Described, known: KnownLandmarks) -> Array:
    """Log-likelihood (L, h, w) of each cell by the most alike template at each size."""
    from scipy import ndimage

    shape, start = image.features[0].shape[1:], 0
    total = np.zeros((len(known.labels), *shape), np.float32)
    for features in image.features:
        flat = features.reshape(len(features), -1)
        own = slice(start, start + len(features))
        start = own.stop
        each = (one.descriptors[:, own] @ flat for one in known.images)
        best = reduce(np.maximum, each)
        planes = best.reshape(len(best), *features.shape[1:])
        if planes.shape[1] > shape[0]:  # what is found on a finer grid is not to be missed
            planes = ndimage.maximum_filter(planes, (1, 2, 2))
        total += _FEATURES * resize_plane(planes, shape)
    return total


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
    seen = np.isfinite(together[..., 0]).sum(axis=0)
    squares = np.nansum(np.square(together - middle), axis=(0, 2)) / 2
    variance = (_BELIEF * _PLACE_SPREAD**2 + squares) / (_BELIEF + seen - 1)
    width = np.sqrt(variance * (1 + 1 / seen))  # the mean is not known
    rows = np.exp(-np.square(at[0] - middle[:, :1]) / (2 * np.square(width)[:, None]))
    columns = np.exp(-np.square(at[1] - middle[:, 1:]) / (2 * np.square(width)[:, None]))
    prior = _ELSEWHERE + (1 - _ELSEWHERE) * rows[:, :, None] * columns[:, None, :]
    result: Array = np.exp(similar) * prior
    return result.astype(np.float32)


def _coarse(image: Described, structure: Structure, likely: Array) -> Array:
    """Probability (L, h, w) of each cell of the coarsest level, over scales."""
    cell = float(image.extent[0] / image.unit / likely.shape[1])
    each = [structure.marginals(likely, cell, scale) for scale in _SCALES]
    logs = [
        evidence - (np.log(scale) / _SCALE_SPREAD) ** 2 / 2
        for (_, evidence), scale in zip(each, _SCALES, strict=True)
    ]
    weights = np.exp(np.array(logs) - max(logs))
    total = sum(weight * found for (found, _), weight in zip(each, weights, strict=True))
    result: Array = np.asarray(total) / np.sum(total, axis=(1, 2), keepdims=True)
    return result


def _exact(
    image: Described, known: KnownLandmarks, number: int, coarse: Array, cells: Array
) -> Array:
    """The place in mm of one landmark near a cell of the coarse map."""
    from scipy import ndimage

    near = _NEAR * image.unit / image.extent[0]
    place = (cells + 0.5) * image.extent / coarse.shape
    shape = image.shape
    middle = np.round(_cells(place, image.extent, shape)).astype(int)
    reach = int(np.ceil(_WINDOW * image.unit / image.extent[0] * shape[0]))
    low, high = np.clip(middle - reach, 0, shape - 1), np.clip(middle + reach + 1, 1, shape)
    rows, columns = (np.arange(a, b) for a, b in zip(low, high, strict=True))
    at = np.meshgrid(
        (rows + 0.5) * coarse.shape[0] / shape[0] - 0.5,
        (columns + 0.5) * coarse.shape[1] / shape[1] - 0.5,
        indexing="ij",
    )
    prior = ndimage.map_coordinates(coarse, at, order=1, mode="nearest")
    part = image.grey[low[0] : high[0] + 2 * _RADIUS, low[1] : high[1] + 2 * _RADIUS]
    seen = [one.patches[number] for one in known.images if np.isfinite(one.places[number, 0])]
    similar = correlations(part, np.stack(seen), _NOISE).max(axis=0)
    weight = _PATCHES * len(seen) / (len(seen) + _PATCH_BELIEF)
    window = prior * np.exp(weight * (similar - similar.max()))
    found: Array = (_peaks(window, near * shape[0] / 2, 1)[0] + low + 0.5) * image.extent / shape
    return found


def _within(map_: Array, middle: Array, side: float) -> Array:
    """How much of a map is within each of ``REACHES``, as shares of a side in cells."""
    rows, columns = np.indices(map_.shape)
    far = np.hypot(rows - middle[0], columns - middle[1]) / side
    return np.array([float(map_[far <= reach].sum()) for reach in REACHES])


def _peaks(map_: Array, radius: float, count: int) -> list[Array]:
    """Middles of what is most probable within a radius of cells: one or more, the highest first."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(map_, radius / 2, mode="constant")
    tops = [int(smooth.argmax())]
    if count > 1:
        is_top = smooth == ndimage.maximum_filter(smooth, 2 * int(radius) + 1)
        own = np.flatnonzero(is_top & (smooth > 0))
        order = own[np.argsort(-smooth.ravel()[own], kind="stable")].tolist()
        tops += [at for at in order if at != tops[0]]
    rows, columns = np.indices(map_.shape)
    found = []
    for at in tops[:count]:
        top = np.unravel_index(at, map_.shape)
        near = np.where(np.hypot(rows - top[0], columns - top[1]) <= radius, map_, 0)
        total = float(near.sum())
        middle = np.array([(rows * near).sum(), (columns * near).sum()]) / (total or 1.0)
        found.append(middle if total > 0 else np.array(top, float))
    return found
