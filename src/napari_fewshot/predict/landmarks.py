"""Points where a label is most probable, or in the middle of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import LandmarkConfig
from ..errors import InputError
from ..types import Array, Landmark

__all__ = ["component_centres", "find_landmarks", "find_peaks"]

# Width of the smoothing, in units of the finest spacing: enough that a single hot voxel loses
# most of its height, while a disk of three pixels' radius keeps nearly all of it.
_SMOOTHING = 0.75
# A second peak in one region counts when the saddle between is lower than it by this share.
_PROMINENCE = 0.15
# A point is the centre of what is above this share of its peak.
_LEVEL = 0.5
_ROUNDING = 1e-4
_MAX_WINDOW = 15  # voxels; wider ones cost time and change nothing where peaks are few


@dataclass(frozen=True)
class _Candidate:
    """A peak: where (voxels, with a fraction), how high, and how much mass it stands on."""

    position: tuple[float, ...]
    score: float
    mass: float

    @property
    def rank(self) -> tuple[float, float]:
        # Saturated probabilities differ by rounding alone; there the larger region wins.
        return round(self.score, 2), self.mass


def find_landmarks(
    probability: Array,
    *,
    label: int,
    name: str,
    config: LandmarkConfig,
    spacing: Sequence[float],
) -> list[Landmark]:
    """Find up to ``config.per_label`` points of one label, the best first.

    The probability is smoothed by less than a voxel. A point is the centre of mass of the region
    round a peak that is above half of the peak's height, weighted by what is above; so it has a
    fraction of a voxel for small blobs, and is the centre of a region with the size of an organ.
    Where that centre is not in the region (a ring, a crescent), the point is the voxel of the
    region farthest from its border.

    Labels are independent of each other: a caller that cannot hold all probabilities gives one
    volume after the other.

    ``probability``, (Z, Y, X) or (Y, X), is floating in 0..1, nan being 0, or uint8 in 255ths;
    ``spacing`` is in mm, in array order. Points are at least ``config.min_distance`` mm apart; the
    score is the smoothed probability at the peak, at least ``config.min_score``.
    :class:`InputError` if ``probability`` is of another shape or dtype, or the spacing does not fit
    it.
    """
    sizes = _checked(probability, spacing)
    # Smoothing a constant leaves rounding errors; they must not cost a point at the limit.
    low = max(config.min_score - _ROUNDING, _ROUNDING)
    found: list[_Candidate] = []
    for smooth, offset in _regions(probability, low, sizes):
        # No peak of a region can outrank its top and its whole mass.
        bound = (round(float(smooth.max()), 2), float(smooth.sum()))
        if len(found) >= config.per_label and found[config.per_label - 1].rank >= bound:
            break
        candidates = [*found, *_peaks(smooth, offset, low, sizes)]
        found = _apart(candidates, config.min_distance, sizes)
    return [
        Landmark(name, label, _position(candidate), _score(candidate, config))
        for candidate in found[: config.per_label]
    ]


def _checked(probability: Array, spacing: Sequence[float]) -> Array:
    if probability.ndim not in (2, 3) or 0 in probability.shape:
        raise InputError("probability", "have two or three axes", str(probability.shape))
    if probability.dtype.kind != "f" and probability.dtype != np.uint8:
        raise InputError("probability", "be floating or uint8", f"dtype {probability.dtype}")
    sizes = np.asarray(spacing, float)
    if sizes.shape != (probability.ndim,) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise InputError("spacing", f"be {probability.ndim} finite values above 0 mm", spacing)
    return sizes


def _regions(probability: Array, low: float, spacing: Array) -> list[tuple[Array, tuple[int, ...]]]:
    """Return the smoothed probability of each region that may hold a peak, the highest first.

    A region is a connected set of voxels above half of ``low``, in its bounding box, 0 outside
    the region; with it comes the place of the box in the array.
    """
    from scipy import ndimage

    floor = _LEVEL * low
    bound = floor * 255 if probability.dtype == np.uint8 else floor
    box = _box(probability >= bound)
    if box is None:
        return []
    part = np.nan_to_num(probability[box].astype(np.float32), nan=0.0, posinf=1.0)
    if probability.dtype == np.uint8:
        part /= 255
    smooth = ndimage.gaussian_filter(part, _SMOOTHING * spacing.min() / spacing, mode="nearest")
    numbered, count = ndimage.label(smooth >= floor, np.ones((3,) * part.ndim))
    if count == 0:
        return []
    tops = _tops(smooth, numbered, count)
    masses = np.bincount(numbered.ravel(), smooth.ravel(), count + 1)[1:]
    boxes = ndimage.find_objects(numbered)
    regions = []
    for number in np.lexsort((-masses, -tops.round(2))):
        if tops[number] < low:
            continue
        inner = boxes[number]
        region = np.where(numbered[inner] == number + 1, smooth[inner], 0)
        corner = tuple(o.start + i.start for o, i in zip(box, inner, strict=True))
        regions.append((region, corner))
    return regions


def _tops(values: Array, numbered: Array, count: int) -> Array:
    """Return the highest value of each of ``count`` numbered parts (0 at least)."""
    tops = np.zeros(count + 1, values.dtype)
    np.maximum.at(tops, numbered.ravel(), values.ravel())
    return tops[1:]


def _box(mask: Array) -> tuple[slice, ...] | None:
    """Return the box of what is True, with a margin for the smoothing; None if nothing is."""
    margin = 3
    box = []
    for axis, length in enumerate(mask.shape):
        others = tuple(number for number in range(mask.ndim) if number != axis)
        places = np.flatnonzero(mask.any(axis=others))
        if len(places) == 0:
            return None
        start, stop = int(places[0]) - margin, int(places[-1]) + 1 + margin
        box.append(slice(max(start, 0), min(stop, length)))
    return tuple(box)


def _peaks(smooth: Array, offset: tuple[int, ...], low: float, spacing: Array) -> list[_Candidate]:
    """Return the peaks of one region, each with the centre of its own part of the region."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    markers, count = _domes(smooth)
    inside = smooth > 0
    basins = watershed(-smooth, markers, mask=inside) if count > 1 else inside.astype(np.int32)
    candidates = []
    for number, box in enumerate(ndimage.find_objects(basins), start=1):
        part, own = smooth[box], basins[box] == number
        height = float(part[own].max())
        if height < low:
            continue
        core = own & (part >= _LEVEL * height)
        weights = np.where(core, part - _LEVEL * height, 0).astype(np.float64)
        centre = _centre(core, weights, spacing)
        corner = [side.start + start for side, start in zip(box, offset, strict=True)]
        position = tuple(float(c + o) for c, o in zip(centre, corner, strict=True))
        candidates.append(_Candidate(position, height, float(weights.sum())))
    return candidates


def _domes(smooth: Array) -> tuple[Array, int]:
    """Mark the parts of a region round peaks that stand out by a share of the highest."""
    from scipy import ndimage
    from skimage.morphology import reconstruction

    prominence = _PROMINENCE * smooth.max()
    rest = smooth - reconstruction(smooth - prominence, smooth)
    # Each part of the rest above 0 is one dome; those lower than the prominence are ripples.
    numbered, count = ndimage.label(rest > _ROUNDING, np.ones((3,) * smooth.ndim))
    high = np.flatnonzero(_tops(rest, numbered, count) >= prominence - _ROUNDING) + 1
    renumber = np.zeros(count + 1, np.int32)
    renumber[high] = np.arange(1, len(high) + 1)
    return renumber[numbered], len(high)


def _centre(core: Array, weights: Array, spacing: Array) -> Array:
    """Return the weighted centre where it is in the core, else the core's deepest voxel."""
    from scipy import ndimage

    if weights.any():
        centre = np.array(ndimage.center_of_mass(weights))
        if core[tuple(np.round(centre).astype(int))]:
            return centre
    depth = ndimage.distance_transform_edt(np.pad(core, 1), sampling=spacing)
    return np.array(np.unravel_index(depth.argmax(), depth.shape), float) - 1


def _apart(candidates: list[_Candidate], distance: float, spacing: Array) -> list[_Candidate]:
    """Sort by rank, and drop what is too near to a better one."""
    kept: list[_Candidate] = []
    places = np.empty((len(candidates), len(spacing)))  # of those that are kept, in mm
    for candidate in sorted(candidates, key=lambda item: item.rank, reverse=True):
        place = np.multiply(candidate.position, spacing)
        if (np.linalg.norm(places[: len(kept)] - place, axis=1) >= distance).all():
            places[len(kept)] = place
            kept.append(candidate)
    return kept


def _score(candidate: _Candidate, config: LandmarkConfig) -> float:
    return min(max(candidate.score, config.min_score), 1.0)


def _position(candidate: _Candidate) -> tuple[float, float, float]:
    z, y, x = (0.0, *candidate.position)[-3:]
    return z, y, x


def component_centres(
    labels: Array,
    confidence: Array,
    *,
    label: int,
    name: str,
    config: LandmarkConfig,
    spacing: Sequence[float],
) -> list[Landmark]:
    """Find the centres of the largest ``config.per_label`` components of a label, largest first.

    So the cleaned mask of a landmark is its localisation (Reddy et al., arXiv:2410.09759, section
    2). Voxels of ``labels``, (Z, Y, X), that touch, at a corner too, are one component, across
    slices as within. Where the centre is outside of it, the point is its voxel farthest from its
    border. The score is the mean of the component in ``confidence``, of the shape of ``labels``.
    ``spacing`` is in mm, in array order.
    """
    from scipy import ndimage

    mask = labels == label
    around = _box(mask)
    if around is None:
        return []
    numbered, _ = ndimage.label(mask[around], np.ones((3,) * labels.ndim))
    sizes, boxes = np.bincount(numbered.ravel())[1:], ndimage.find_objects(numbered)
    found = []
    for number in np.argsort(-sizes, kind="stable")[: config.per_label]:
        box = boxes[number]
        part = numbered[box] == number + 1
        centre = _centre(part, part, np.asarray(spacing, float))
        corner = [outer.start + inner.start for outer, inner in zip(around, box, strict=True)]
        z, y, x = (float(c + start) for c, start in zip(centre, corner, strict=True))
        score = float(confidence[around][box][part].mean())
        found.append(Landmark(name, label, (z, y, x), score))
    return found


def find_peaks(
    probability: Array, *, count: int, min_score: float, distance: float, spacing: Sequence[float]
) -> tuple[Array, Array]:
    """Find the highest local maxima of a smoothed map, right and wrong ones, quickly.

    Unlike :func:`find_landmarks` it does not look at the region that a peak stands on, so it
    stays quick where a map, uint8 (Z, Y, X) in 255ths, is above 0 everywhere. Within
    ``distance`` mm a peak is the highest voxel along each axis.

    Returns the places in voxels, float (N, 3), the highest first and of a flat top its middle,
    and their smoothed probabilities (N,).
    """
    from scipy import ndimage

    none = np.zeros((0, probability.ndim)), np.zeros(0)
    high = probability >= np.ceil(255 * min_score)
    if not high.any():
        return none
    sizes = np.asarray(spacing, float)
    window = [min(2 * int(np.ceil(distance / size)) + 1, _MAX_WINDOW) for size in sizes]
    box = []
    for axis, side in enumerate(window):
        places = np.flatnonzero(high.any(axis=tuple(k for k in range(high.ndim) if k != axis)))
        margin = side // 2 + 1
        box.append(slice(max(int(places[0]) - margin, 0), int(places[-1]) + 1 + margin))
    part = probability[tuple(box)].astype(np.float32) / 255
    smooth = ndimage.gaussian_filter(part, _SMOOTHING * sizes.min() / sizes, mode="nearest")
    highest = ndimage.maximum_filter(smooth, window, mode="nearest")
    tops = (smooth >= highest) & (smooth >= min_score)
    numbered, number = ndimage.label(tops, np.ones((3,) * tops.ndim))
    if number == 0:
        return none
    at = np.flatnonzero(numbered)
    names = numbered.ravel()[at] - 1
    heights = np.zeros(number)
    heights[names] = smooth.ravel()[at]
    voxels = np.stack(np.unravel_index(at, numbered.shape))
    sums = np.stack([np.bincount(names, axis, number) for axis in voxels], axis=1)
    middles = sums / np.bincount(names, minlength=number)[:, None]
    chosen = np.argsort(-heights, kind="stable")[:count]
    return middles[chosen] + [side.start for side in box], heights[chosen]
