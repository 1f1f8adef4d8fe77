"""Points where a label is most probable, or in the middle of its parts."""

from __future__ import annotations

from bisect import insort_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..arrays import release
from ..config import LandmarkConfig
from ..errors import InputError
from ..types import Array, Box, Landmark
from .centres import centre_of
from .components import Components, blocks_of, box_of, inside, widened, within
from .domes import ROUNDING, Basins
from .regions import Region, regions, smoothed

__all__ = ["component_centres", "find_landmarks", "find_peaks"]

# A point is the centre of what is above this share of its peak.
_LEVEL = 0.5
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
    low = max(config.min_score - ROUNDING, ROUNDING)
    candidates: list[_Candidate] = []  # the best last
    found: list[_Candidate] = []
    for region in regions(probability, low, _LEVEL, sizes):
        full = len(found) == config.per_label
        # No peak of a region can outrank its top and its whole mass.
        if full and found[-1].rank >= (round(region.top, 2), region.mass):
            break
        peaks = list(_peaks(region, low, sizes))
        for peak in peaks:
            insort_left(candidates, peak, key=lambda one: one.rank)
        if not full or any(peak.rank > found[-1].rank for peak in peaks):
            found = _apart(candidates, config.min_distance, sizes, config.per_label)
    return [
        Landmark(name, label, _position(candidate), _score(candidate, config))
        for candidate in found
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


@dataclass(frozen=True, eq=False)
class _Part:
    """What belongs to one peak of a region, in a box, and is above half of its height."""

    basins: Basins
    number: int
    box: Box

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(side.stop - side.start for side in self.box)

    @cached_property
    def height(self) -> float:
        return max(float(self.values(where).max()) for where in blocks_of(self.shape))

    def values(self, where: Box) -> Array:
        return self.basins.values(self.number, within(self.box, where))

    def core(self, where: Box) -> Array:
        above: Array = self.values(where) >= np.float32(_LEVEL * self.height)
        return above

    def weights(self, where: Box) -> Array:
        more: Array = np.maximum(self.values(where) - np.float32(_LEVEL * self.height), 0)
        return more


def _peaks(region: Region, low: float, spacing: Array) -> Iterator[_Candidate]:
    """Peaks of one region, each with the centre of its own part of the region."""
    basins = Basins.of(region.smooth, region.top, _LEVEL * low)
    for number, box in enumerate(basins.boxes()):
        part = _Part(basins, number, box)
        if part.height < low:
            continue
        centre, mass = centre_of(part.core, part.weights, part.shape, spacing)
        corner = [side.start + start for side, start in zip(box, region.corner, strict=True)]
        position = tuple(float(c + o) for c, o in zip(centre, corner, strict=True))
        yield _Candidate(position, part.height, mass)


def _apart(
    candidates: list[_Candidate], distance: float, spacing: Array, most: int
) -> list[_Candidate]:
    """Return the best candidates, the best first, but those that are too near to a better one.

    ``candidates`` have the best last; no more than ``most`` are returned.
    """
    kept: list[_Candidate] = []
    places = np.empty((min(most, len(candidates)), len(spacing)))  # of those, in mm
    for candidate in reversed(candidates):
        place = np.multiply(candidate.position, spacing)
        if (np.linalg.norm(places[: len(kept)] - place, axis=1) >= distance).all():
            places[len(kept)] = place
            kept.append(candidate)
            if len(kept) == most:
                break
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
    around = box_of(labels, lambda part: part == label)
    if around is None:
        return []
    mine = labels[around]

    def read(where: Box) -> Array:
        release(labels)
        mask: Array = mine[where] == label
        return mask

    parts = Components(read, mine.shape, mine.ndim)
    largest = (np.argsort(-parts.sizes[1:], kind="stable") + 1)[: config.per_label].tolist()
    found = []
    for number, box in zip(largest, parts.boxes(largest), strict=True):
        mask, surely = parts.mask(number, box), confidence[within(around, box)]
        centre, size = centre_of(
            mask.__getitem__, mask.__getitem__, mask.shape, np.asarray(spacing, float)
        )
        corner = [side.start for side in within(around, box)]
        z, y, x = (float(c + start) for c, start in zip(centre, corner, strict=True))
        score = _sum(surely, mask) / size
        found.append(Landmark(name, label, (z, y, x), score))
    return found


def _sum(values: Array, mask: Array) -> float:
    total = 0.0
    for where in blocks_of(mask.shape):
        total += float(values[where].sum(dtype=np.float64, where=mask[where]))
        release(values)
        release(mask)
    return total


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
    sizes = np.asarray(spacing, float)
    window = [min(2 * int(np.ceil(distance / size)) + 1, _MAX_WINDOW) for size in sizes]
    reach = [side // 2 for side in window]
    bound = np.ceil(255 * min_score)
    box = box_of(probability, lambda part: part >= bound, [side + 1 for side in reach])
    if box is None:
        return none
    smooth = smoothed(probability, box, sizes)

    def tops(where: Box) -> Array:
        around = widened(where, reach, smooth.shape)
        values = np.asarray(smooth[around])
        highest = ndimage.maximum_filter(values, window, mode="nearest")
        release(smooth)
        found: Array = ((values >= highest) & (values >= min_score))[inside(around, where)]
        return found

    parts = Components(tops, smooth.shape, smooth.ndim)
    heights = np.zeros(len(parts.sizes))
    sums = np.zeros((len(parts.sizes), smooth.ndim))
    for where, numbers, names in parts.blocks():
        at = np.nonzero(numbers)
        mine = names[numbers[at]]
        heights[mine] = smooth[where][at]
        for axis, (side, places) in enumerate(zip(where, at, strict=True)):
            np.add.at(sums[:, axis], mine, places + side.start)
        release(smooth)
    chosen = np.argsort(-heights[1:], kind="stable")[:count] + 1
    middles = sums[chosen] / parts.sizes[chosen, None]
    return middles + [side.start for side in box], heights[chosen]
