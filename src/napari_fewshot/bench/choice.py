"""Which slices are painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..types import Array
from .areas import CaseAreas

__all__ = ["Candidate", "candidates", "choose"]

_ROUNDS = 50


@dataclass(frozen=True)
class Candidate:
    """A slice that could be painted.

    Parameters
    ----------
    case : str
    index : int
        Along the working axis, in file order.
    place : float
        0 at the first labelled slice of its case, 1 at the last.
    areas : dict of int to int
        Pixels of each label.
    """

    case: str
    index: int
    place: float
    areas: dict[int, int]


def candidates(case: CaseAreas) -> list[Candidate]:
    """Slices of a case that have a label that counts."""
    areas = case.areas
    if not areas:
        return []
    total = np.sum(list(areas.values()), axis=0)
    used = np.flatnonzero(total)
    length = max(1, int(used[-1] - used[0])) if used.size else 1
    return [
        Candidate(
            case.case,
            int(k),
            float((k - used[0]) / length),
            {value: int(line[k]) for value, line in areas.items() if line[k]},
        )
        for k in used
    ]


def choose(
    slices: Sequence[Candidate],
    count: int,
    how: Literal["even", "first", "random", "representative", "cases"],
    seed: int,
) -> list[Candidate]:
    """Choose ``count`` slices, all where there are no more; the order of what is given is kept.

    ``even``: at equal distances, neither the first nor the last where more than one is left out.
    ``representative``: k-means over place and areas of labels; of each group the slice nearest to
    its middle.
    """
    if count >= len(slices):
        return list(slices)
    if how == "first":
        return list(slices[:count])
    if how == "random":
        drawn = np.random.default_rng(seed).choice(len(slices), count, replace=False)
        return [slices[k] for k in sorted(drawn.tolist())]
    if how == "representative":
        return [slices[k] for k in _medoids(_described(slices), count)]
    return [slices[k] for k in _even(len(slices), count)]


def _even(total: int, count: int) -> list[int]:
    places = sorted({int(p) for p in np.round(np.linspace(0, total - 1, count + 2)[1:-1])})
    if len(places) == count:
        return places
    # All but one: these are less than a slice apart, and two of them round to the same.
    return [(2 * k + 1) * total // (2 * count) for k in range(count)]


def _described(slices: Sequence[Candidate]) -> Array:
    """Place and root of the area of each label, the largest of which is 1."""
    values = sorted({value for one in slices for value in one.areas})
    areas = np.array([[one.areas.get(value, 0) for value in values] for one in slices], float)
    sizes = np.sqrt(areas / areas.max(axis=0)) / np.sqrt(len(values))
    return np.column_stack([[one.place for one in slices], sizes])


def _medoids(points: Array, count: int) -> list[int]:
    """Points nearest to the centres of k-means, started from points far from each other."""
    chosen = [int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < count:
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    centres = points[chosen]
    for _ in range(_ROUNDS):
        group = np.argmin(_distances(points, centres), axis=1)
        moved = np.array(
            [
                points[group == k].mean(axis=0) if (group == k).any() else centres[k]
                for k in range(count)
            ]
        )
        if np.allclose(moved, centres):
            break
        centres = moved
    found: list[int] = []
    for line in _distances(points, centres).T:
        order = np.argsort(line, kind="stable")
        found.append(next(int(k) for k in order if int(k) not in found))
    return sorted(found)


def _distances(points: Array, centres: Array) -> Array:
    return np.stack([np.linalg.norm(points - centre, axis=1) for centre in centres], axis=1)
