"""Scores of instances that nobody has matched with the truth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..types import Array
from .contingency import pair_table, rand_indices
from .scores import Record

__all__ = ["InstanceScores", "compare_partitions", "score_each_instance"]


@dataclass(frozen=True)
class InstanceScores(Record):
    """Means over instances, each compared by itself with all structures of its slice as one.

    Without an instance they are 0, but for the precision and the Rand indices, which are nan then.
    """

    iou: float
    dice: float
    precision: float
    recall: float
    rand_index: float
    adjusted_rand_index: float
    instances: int


def compare_partitions(pred: Array, truth: Array) -> tuple[float, float]:
    """Rand index and adjusted Rand index of two arrays of integers of one shape.

    Background is one more region; the numbers of regions mean nothing.
    """
    found, place = np.unique(pred, return_inverse=True)
    values, kind = np.unique(truth, return_inverse=True)
    return rand_indices(pair_table(place, kind, (len(found), len(values))))


def score_each_instance(instances: Array, truth: Array) -> InstanceScores:
    """Compare each instance with all structures of its slice, whichever these are.

    A mask inside of one organ among many is precise and recalls little, so that its Dice is small
    however well it fits: this is what a mean over the masks of an automatic mode says.

    Parameters
    ----------
    instances, truth : int array, shape (N, H, W)
        Slices; values of at least 0, 0 is no instance and no structure.
    """
    rows = [row for pair in zip(instances, truth, strict=True) for row in _rows(*pair)]
    if not rows:
        return InstanceScores(0.0, 0.0, math.nan, 0.0, math.nan, math.nan, 0)
    iou, dice, precision, recall, rand, adjusted = np.mean(rows, axis=0).tolist()
    return InstanceScores(iou, dice, precision, recall, rand, adjusted, len(rows))


def _rows(instances: Array, truth: Array) -> Iterator[tuple[float, ...]]:
    """Scores of each instance of a slice."""
    from scipy.sparse import csr_array

    numbers, place = np.unique(instances, return_inverse=True)
    table = pair_table(place, truth > 0, (len(numbers), 2)).toarray()
    outside, structure = table.sum(axis=0).tolist()
    for number, (false, hits) in zip(numbers.tolist(), table.tolist(), strict=True):
        if number == 0:
            continue
        area, union = false + hits, false + structure
        pairs = csr_array([[false, hits], [outside - false, structure - hits]])
        yield (
            hits / union,
            2 * hits / (area + structure),
            hits / area,
            hits / structure if structure else 0.0,
            *rand_indices(pairs),
        )
