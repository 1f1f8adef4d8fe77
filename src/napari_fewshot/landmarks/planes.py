"""Landmarks in 2D images: appearance and arrangement together, coarse first, then exact."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np

from ..slices.grid import resize_plane
from ..types import Array
from .described import RADIUS, Described, cells_of
from .known import KnownImage, KnownLandmarks
from .patches import correlations
from .placed import CANDIDATES, Placed
from .structure import Structure

__all__ = ["place_in_plane"]

_FEATURES = 2.1
"""Log of how much more probable a place is whose features are the same than one of no likeness, for
each of these sizes."""
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
_PART_SPREAD = 0.06
"""The same of where a part of what templates show lies in them."""
_ELSEWHERE = 0.01
"""How probable any place is beside that where templates have a landmark."""
_PATCH, _PATCH_SPREAD = 0.3, 0.12
"""Correlation of the patch where a landmark is placed with the most alike one of templates: it
tells right places from wrong ones better than all else, the probability of the place hardly."""
_MARGIN_SPREAD = 0.05
"""Of how much more alike the features of the place are than the most alike ones elsewhere, which
tell other things than the patch does."""
_WINDOW = 0.06
"""Share of the longest side on each side of a place in which it is made exact."""
_NEAR = 0.05
"""Share of the longest side within which places count as one."""
_INSIDE = 0.5
"""Probability to lie in the image from which on a landmark is placed."""


def place_in_plane(image: Described, known: KnownLandmarks, fixed: Array | None = None) -> Placed:
    """Place landmarks in a 2D image; ``fixed``, (L, 2), are those known in mm, else nan.

    Of a part of what templates show, those that probably lie outside are placed nowhere.
    """
    arrangement = [_relative(one, known) for one in known.images]
    structure = Structure.of(arrangement)
    similar = _similar(image, known)
    likely, inside = _likely(image, similar, arrangement, structure.places)
    shape = image.features[0].shape[1:]
    if fixed is None:
        fixed = np.full((len(likely), 2), np.nan)
    there = np.isfinite(fixed[:, 0])
    for number in np.flatnonzero(there).tolist():
        cell = cells_of(fixed[number], image.extent, shape)
        cell = cell + [side.start for side in inside]
        likely[number] = _at_cell(cell, likely[number])
    found = _coarse(structure, likely, float(image.extent[0] / image.unit / shape[0]))
    placed = Placed.nowhere(len(found), image.extent)
    near = _NEAR * image.unit / image.extent[0] * shape[0]
    longest = image.extent.max() / image.extent[0] * shape[0]
    for number, map_ in enumerate(found[:, *inside]):
        if there[number]:
            placed.places[number] = fixed[number]
            continue
        cells, *others = _peaks(map_, near, 1 + CANDIDATES)
        is_inside = float(map_.sum()) >= _INSIDE
        if is_inside:
            placed.places[number] = _exact(image, known, number, map_, cells)
        else:
            others = [cells, *others][:CANDIDATES]
        ranked = sorted(
            ((_within(map_, at, _NEAR * longest), at) for at in others), key=lambda one: -one[0]
        )
        kept = [placed.places[number]] if is_inside else []
        for mass, at in ranked:
            place = _exact(image, known, number, map_, at)
            if all(np.linalg.norm(place - one) > _NEAR * image.unit for one in kept):
                placed.shares[number, len(kept) - is_inside] = mass
                placed.others[number, len(kept) - is_inside] = place
                kept.append(place)
        if is_inside:
            placed.shares[number] /= max(float(placed.shares[number].sum()), 1e-30)
    sure = np.where(there, 1.0, _sure(image, known, similar, placed.places))
    return replace(placed, sure=sure, is_part=image.part is not None)


def _at_cell(cell: Array, like: Array) -> Array:
    """A map in which one place alone is likely."""
    rows, columns = np.indices(like.shape)
    square = np.square(rows - cell[0]) + np.square(columns - cell[1])
    likely: Array = np.exp(-(square - square.min()) / 2)
    return likely


def _sure(image: Described, known: KnownLandmarks, similar: Array, places: Array) -> Array:
    """How sure places in mm are, (L,), by what is seen there and elsewhere in the image.

    ``similar`` is :func:`_similar`.
    """
    from scipy import ndimage

    _, patches = image.at(places)
    own = patches - patches.mean(axis=(1, 2), keepdims=True)
    best = np.full(len(places), -1.0)
    for one in known.images:
        its = one.patches - one.patches.mean(axis=(1, 2), keepdims=True)
        first, second = (np.square(two).mean(axis=(1, 2)) + _NOISE for two in (own, its))
        best = np.maximum(best, (own * its).mean(axis=(1, 2)) / np.sqrt(first * second))
    shape = similar.shape[1:]
    cells = cells_of(places, image.extent, shape)
    grid = np.indices(shape)
    radius = _NEAR * image.unit / image.extent[0] * shape[0]
    margin = np.zeros(len(places))
    for number in np.flatnonzero(np.isfinite(cells[:, 0])).tolist():
        here = np.clip(np.round(cells[number]).astype(int), 0, np.array(shape) - 1)
        far = np.hypot(*(grid - here[:, None, None])) > radius
        if far.any():
            around = ndimage.maximum_filter(similar[number], 3)
            margin[number] = around[tuple(here)] - similar[number][far].max()
    margin /= _FEATURES * len(image.features)
    odds = (best - _PATCH) / _PATCH_SPREAD + margin / _MARGIN_SPREAD
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
    image: Described,
    similar: Array,
    arrangement: list[Array],
    middle: Array,
) -> tuple[Array, tuple[slice, slice]]:
    """Likelihood (L, h, w) of each place by what is seen there, and by where templates have it.

    ``similar`` is :func:`_similar`. Also which rows and columns of it are the image: of a part,
    places outside of it are there too, and they look like any place of it.
    """
    seen_there = np.exp(similar - similar.max(axis=(1, 2), keepdims=True))
    seen_there /= seen_there.mean(axis=(1, 2), keepdims=True)
    shape = np.array(seen_there.shape[1:])
    cell = image.extent / image.unit / shape
    margin, spread = np.zeros(2, int), 0.0
    if image.part is not None:
        middle, spread = middle - image.part, _PART_SPREAD
        far = np.abs(middle).max(axis=0) + 2 * spread
        margin = np.maximum(0, np.ceil(far / cell - shape / 2)).astype(int)
        arrangement = [one - image.part for one in arrangement]
    at = [
        (np.arange(-m, n + m) + 0.5) * c - n * c / 2
        for m, n, c in zip(margin.tolist(), shape.tolist(), cell, strict=True)
    ]
    together = np.stack(arrangement)
    seen = np.isfinite(together[..., 0]).sum(axis=0)
    squares = np.nansum(np.square(together - middle), axis=(0, 2)) / 2
    variance = (_BELIEF * _PLACE_SPREAD**2 + squares) / (_BELIEF + seen - 1)
    width = np.sqrt(variance * (1 + 1 / seen) + spread**2)  # the mean is not known
    rows = np.exp(-np.square(at[0] - middle[:, :1]) / (2 * np.square(width)[:, None]))
    columns = np.exp(-np.square(at[1] - middle[:, 1:]) / (2 * np.square(width)[:, None]))
    result = _ELSEWHERE + (1 - _ELSEWHERE) * rows[:, :, None] * columns[:, None, :]
    inside = (
        slice(margin[0], margin[0] + shape[0]),
        slice(margin[1], margin[1] + shape[1]),
    )
    result[:, *inside] *= seen_there
    result /= result.max(axis=(1, 2), keepdims=True)
    return result.astype(np.float32), inside


def _coarse(structure: Structure, likely: Array, cell: float) -> Array:
    """Probability (L, h, w) of each cell, of a side in units, over scales."""
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
    middle = np.round(cells_of(place, image.extent, shape)).astype(int)
    reach = int(np.ceil(_WINDOW * image.unit / image.extent[0] * shape[0]))
    low, high = np.clip(middle - reach, 0, shape - 1), np.clip(middle + reach + 1, 1, shape)
    rows, columns = (np.arange(a, b) for a, b in zip(low, high, strict=True))
    at = np.meshgrid(
        (rows + 0.5) * coarse.shape[0] / shape[0] - 0.5,
        (columns + 0.5) * coarse.shape[1] / shape[1] - 0.5,
        indexing="ij",
    )
    prior = ndimage.map_coordinates(coarse, at, order=1, mode="nearest")
    part = image.grey[low[0] : high[0] + 2 * RADIUS, low[1] : high[1] + 2 * RADIUS]
    seen = [one.patches[number] for one in known.images if np.isfinite(one.places[number, 0])]
    similar = correlations(part, np.stack(seen), _NOISE).max(axis=0)
    weight = _PATCHES * len(seen) / (len(seen) + _PATCH_BELIEF)
    window = prior * np.exp(weight * (similar - similar.max()))
    found: Array = (_peaks(window, near * shape[0] / 2, 1)[0] + low + 0.5) * image.extent / shape
    return found


def _within(map_: Array, middle: Array, radius: float) -> float:
    """How much of a map is within a radius of cells."""
    rows, columns = np.indices(map_.shape)
    return float(map_[np.hypot(rows - middle[0], columns - middle[1]) <= radius].sum())


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
