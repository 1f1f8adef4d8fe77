"""The slice to paint next: uncertain, and like many slices that are unlike the painted ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..types import Array, FeatureMap

__all__ = [
    "SliceScore",
    "painting_values",
    "slice_descriptor",
    "slice_uncertainty",
    "suggest_slice",
]

_CELLS = 4


@dataclass(frozen=True, eq=False)
class SliceScore:
    """What is known of a predicted slice.

    Parameters
    ----------
    index : int
        Slice of the volume.
    uncertainty : float
        Of its prediction, by :func:`slice_uncertainty`.
    descriptor : array, shape (D,)
        By :func:`slice_descriptor`.
    """

    index: int
    uncertainty: float
    descriptor: Array


def slice_descriptor(features: FeatureMap) -> Array:
    """Describe a slice: its features, averaged over a coarse grid of cells.

    Parameters
    ----------
    features : FeatureMap

    Returns
    -------
    array, shape (D,), float32
        The same D for all maps of one backbone.
    """
    _, height, width = features.data.shape
    rows, columns = _edges(height), _edges(width)
    cells = [
        features.data[:, top:bottom, left:right].mean(axis=(1, 2), dtype=np.float32)
        for top, bottom in rows
        for left, right in columns
    ]
    return np.concatenate(cells)


def slice_uncertainty(probabilities: Array) -> float:
    """Uncertainty of a predicted slice.

    Parameters
    ----------
    probabilities : array, shape (L + 1, H, W)
        Class probabilities; class 0 is background.

    Returns
    -------
    float
        In 0..1: doubt in the best class, averaged over pixels with the weight of what may not
        be background, so that plain background does not count.
    """
    weight = 1 - probabilities[0]
    doubt = 1 - probabilities.max(axis=0)
    total = float(weight.sum(dtype=np.float64))
    return float((weight * doubt).sum(dtype=np.float64)) / total if total > 0 else 0.0


def painting_values(
    scores: Sequence[SliceScore], known: Sequence[int], known_descriptors: Sequence[Array] = ()
) -> dict[int, float]:
    """How much painting each slice should help.

    Parameters
    ----------
    scores : sequence of SliceScore
        Slices of one volume, in any order.
    known : sequence of int
        Slices of this volume that are painted or reviewed.
    known_descriptors : sequence of array
        Descriptors of other known slices: of those not in ``scores``, of other volumes.

    Returns
    -------
    dict of int to float
        Value in 0..1 of each slice of ``scores``; 0 for known slices, 1 for the best.
    """
    ordered = sorted(scores, key=lambda one: one.index)
    if not ordered:
        return {}
    painted = set(known)
    indices = np.array([one.index for one in ordered])
    is_known = np.array([one.index in painted for one in ordered])
    points = np.stack([one.descriptor for one in ordered]).astype(np.float64)
    doubt = np.array([one.uncertainty for one in ordered], dtype=np.float64)
    between = _distances(points, points)
    nearest = [between[:, is_known]]
    if len(known_descriptors):
        others = np.stack(list(known_descriptors)).astype(np.float64)
        nearest.append(_distances(points, others))
    covered = np.concatenate(nearest, axis=1)
    far = covered.min(axis=1) if covered.shape[1] else np.full(len(points), between.max())
    gains = (doubt[:, None] * np.maximum(far[:, None] - between, 0.0)).sum(axis=0)
    gains[is_known] = 0.0
    if gains.max() > 0:
        gains = gains / gains.max()
    return {int(k): float(gain) for k, gain in zip(indices, gains, strict=True)}


def suggest_slice(
    scores: Sequence[SliceScore], known: Sequence[int], known_descriptors: Sequence[Array] = ()
) -> int | None:
    """Choose the slice to paint next.

    Parameters
    ----------
    scores, known, known_descriptors
        As for :func:`painting_values`.

    Returns
    -------
    int, optional
        None when all slices are known.
    """
    values = painting_values(scores, known, known_descriptors)
    left = set(values) - set(known)
    return min(left, key=lambda k: (-values[k], k), default=None)


def _edges(length: int) -> list[tuple[int, int]]:
    """First and one past the last pixel of each cell; cells of few pixels share some."""
    starts = [cell * length // _CELLS for cell in range(_CELLS)]
    stops = [-(-(cell + 1) * length // _CELLS) for cell in range(_CELLS)]
    return list(zip(starts, stops, strict=True))


def _distances(first: Array, second: Array) -> Array:
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    return np.sqrt(np.maximum(squares, 0.0))
