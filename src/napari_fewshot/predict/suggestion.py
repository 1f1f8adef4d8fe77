"""The slice to paint next: uncertain, and like many slices that are unlike the painted ones.

``benchmarks/suggestion.py`` compares it with evenly spaced slices, and says what was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..scratch import bands
from ..types import Array, FeatureMap, SliceFeatures

__all__ = [
    "SliceDescription",
    "SliceScore",
    "painting_values",
    "slice_descriptor",
    "slice_uncertainty",
    "suggest_slice",
]

_CELLS = 4
_ENOUGH = 64


@dataclass(frozen=True, eq=False)
class SliceScore:
    """What is known of a predicted slice.

    Parameters
    ----------
    index : int
        Slice of the volume.
    uncertainty : float
        See :func:`slice_uncertainty`.
    descriptor : array, shape (D,)
        See :func:`slice_descriptor`.
    """

    index: int
    uncertainty: float
    descriptor: Array


class SliceDescription:
    """Describes a slice by its features, averaged over a coarse grid of cells.

    Parameters
    ----------
    grid : tuple of int
        (h, w) of the features of the whole slice.
    """

    def __init__(self, grid: tuple[int, int]) -> None:
        # Of a pixel grid, a part of the pixels tells the mean of a cell just as well.
        self._step = max(1, min(grid) // _ENOUGH)
        self._edges = [_edges(-(-side // self._step)) for side in grid]
        self._sums: dict[tuple[int, int], Array] = {}
        self._counts: dict[tuple[int, int], int] = {}

    def add(self, part: FeatureMap) -> None:
        """Take the features of a part of the slice, or all of them."""
        step, (top, left) = self._step, part.origin
        data = part.data[:, -top % step :: step, -left % step :: step].astype(np.float32)
        top, left = -(-top // step), -(-left // step)
        for row, (first, last) in enumerate(self._edges[0]):
            for column, (start, stop) in enumerate(self._edges[1]):
                cell = data[
                    :,
                    max(0, first - top) : max(0, last - top),
                    max(0, start - left) : max(0, stop - left),
                ]
                if cell.size:
                    at = row, column
                    self._sums[at] = self._sums.get(at, 0) + cell.sum(axis=(1, 2))
                    self._counts[at] = self._counts.get(at, 0) + cell[0].size

    def vector(self) -> Array:
        """The descriptor, shape (D,), float32; D is the same for all slices of one backbone."""
        return np.concatenate([self._sums[at] / self._counts[at] for at in sorted(self._sums)])


def slice_descriptor(features: SliceFeatures) -> Array:
    """Describe a slice by its ``features``; see :class:`SliceDescription`."""
    whole = features.data.shape[1:] if isinstance(features, FeatureMap) else features.shape
    description = SliceDescription((int(whole[0]), int(whole[1])))
    for part in features.parts():
        description.add(part)
    return description.vector()


def slice_uncertainty(probabilities: Array) -> float:
    """Uncertainty, in 0..1, of a slice of class probabilities (L + 1, H, W).

    The mean over pixels of the probability of not being background, times that of the best class
    being wrong. Plain background adds nothing.
    """
    total = 0.0
    for rows in bands(*probabilities.shape[1:]):
        band = probabilities[:, rows]
        doubt = 1 - band.max(axis=0)
        total += float(((1 - band[0]) * doubt).sum(dtype=np.float64))
    return total / float(probabilities[0].size)


def painting_values(
    scores: Sequence[SliceScore], known: Sequence[int], known_descriptors: Sequence[Array] = ()
) -> dict[int, float]:
    """How much it should help to paint each slice: by index, 1 for the best, 0 for known slices.

    By how much nearer (in squared distance) all slices come to a known one, each weighted with its
    uncertainty. Near are slices with like features and a like position in the stack.
    ``known_descriptors`` are of other known slices: those that are not in ``scores``, and of other
    volumes.
    """
    by_index = {one.index: one for one in scores}
    indices = sorted(by_index)
    if not indices:
        return {}
    is_known = np.isin(indices, list(known))
    doubts = _weights(np.array([by_index[k].uncertainty for k in indices]), ~is_known)
    described = [by_index[k].descriptor for k in indices] + list(known_descriptors)
    between = _distances(np.stack(described).astype(np.float32), np.array(indices))
    nearest = np.append(is_known, np.ones(len(known_descriptors), dtype=bool))
    far = between[:, nearest].min(axis=1, initial=float(between.max()) or 1.0)
    nearer = np.maximum(far[:, None] - between[:, : len(indices)], 0.0)
    gains = np.where(is_known, 0.0, doubts @ nearer)
    return dict(zip(indices, (gains / (gains.max() or 1.0)).tolist(), strict=True))


def suggest_slice(
    scores: Sequence[SliceScore], known: Sequence[int], known_descriptors: Sequence[Array] = ()
) -> int | None:
    """Choose the slice to paint next: that of the highest painting value.

    Arguments are as for :func:`painting_values`. The first of equally good slices is chosen;
    None when all are known.
    """
    values = painting_values(scores, known, known_descriptors)
    left = values.keys() - set(known)
    return min(left, key=lambda k: (-values[k], k), default=None)


def _edges(length: int) -> list[tuple[int, int]]:
    """First and one past the last pixel of each cell; on a tiny map, cells overlap."""
    return [(k * length // _CELLS, -(-(k + 1) * length // _CELLS)) for k in range(_CELLS)]


def _weights(doubts: Array, left: Array) -> Array:
    """Uncertainties of the slices that are left, or equal weights where all are certain."""
    doubts = np.where(left, np.clip(np.nan_to_num(doubts), 0.0, 1.0), 0.0)
    return doubts if doubts.any() else left.astype(np.float64)


def _distances(points: Array, positions: Array) -> Array:
    """Squared distances of the first slices to all, in features and position, equal in size."""
    count = len(positions)
    points = points - points.mean(axis=0)
    squares = (points**2).sum(axis=1)
    features = squares[:count, None] + squares - 2 * points[:count] @ points.T
    features = np.maximum(features, 0.0)
    np.fill_diagonal(features, 0.0)  # not quite so by rounding
    along = np.zeros_like(features)  # slices without a position differ in features only
    along[:, :count] = (positions[:, None] - positions) ** 2
    parts = [part / (np.sqrt(part[:, :count]).mean() ** 2 or 1.0) for part in (features, along)]
    return np.asarray(parts[0] + parts[1], dtype=np.float64)
