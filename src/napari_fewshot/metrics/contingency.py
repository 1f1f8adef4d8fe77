"""Which label meets which, slice by slice: the counts behind every overlap score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..types import Array

__all__ = ["PairCounts", "compact_labels", "count_pairs", "present_labels", "rand_indices"]

# Values below this are looked up in a table; rarer, larger ones are searched.
_TABLE_LIMIT = 1 << 20


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Voxels by pair of (truth, prediction), over compact label indices 0..K-1.

    Parameters
    ----------
    truth, pred : array, shape (P,), int64
        Indices of the pairs that occur, each pair once.
    counts : array, shape (P,), int64
        Voxels of each pair.
    truth_by_slice, pred_by_slice : array, shape (S, K), int64
        Voxels of each label in each slice.
    hits : array, shape (K,), int64
        Voxels of each label on which truth and prediction agree.
    """

    truth: Array
    pred: Array
    counts: Array
    truth_by_slice: Array
    pred_by_slice: Array
    hits: Array


def present_labels(labels: Array) -> Array:
    """Return the values above 0 that occur in an array of integers of at least 0, sorted."""
    if int(labels.max()) < _TABLE_LIMIT:
        seen = np.zeros(int(labels.max()) + 1, bool)
        for part in labels:  # by slab: no copy of the whole volume in another dtype
            seen[part] = True
        values = np.flatnonzero(seen)
    else:
        values = np.unique(labels).astype(np.int64)
    return values[values > 0]


def compact_labels(labels: Array, values: Array) -> Array:
    """Replace each label by 1 + its place in ``values``, and all others by 0.

    Parameters
    ----------
    labels : array
        Any shape, integers of at least 0.
    values : array, shape (K,), int64
        Sorted, unique, above 0.

    Returns
    -------
    array, shape of ``labels``, the smallest unsigned dtype that holds K
    """
    dtype = np.min_scalar_type(len(values))
    result = np.empty(labels.shape, dtype)
    top = int(labels.max())
    if top < _TABLE_LIMIT:
        table = np.zeros(top + 1, dtype)
        known = values[values <= top]
        table[known] = np.arange(1, len(known) + 1)
        for source, target in zip(labels, result, strict=True):
            target[...] = table[source]
        return result
    padded = np.concatenate([[0], values])
    for source, target in zip(labels, result, strict=True):
        place = np.searchsorted(padded, source).clip(max=len(values))
        target[...] = np.where(padded[place] == source, place, 0)
    return result


def count_pairs(pred: Array, truth: Array, size: int, axis: int, keep: Array | None) -> PairCounts:
    """Count the pairs of labels in each slice along ``axis``, in one pass.

    Parameters
    ----------
    pred, truth : array, shape (Z, Y, X)
        Unsigned integers below ``size``.
    size : int
        Number K of indices, background included.
    axis : int
        Axis of the slices.
    keep : array, shape (Z, Y, X), bool, optional
        Voxels that are counted; None counts all.
    """
    slices = truth.shape[axis]
    by_truth = np.zeros((slices, size), np.int64)
    by_pred = np.zeros((slices, size), np.int64)
    all_codes, all_counts = [], []
    for number in range(slices):
        codes = truth.take(number, axis).astype(np.int64) * size
        codes += pred.take(number, axis)
        chosen = codes.ravel() if keep is None else codes[keep.take(number, axis)]
        values, counts = _tally(chosen, size * size)
        by_truth[number] = np.bincount(values // size, counts, size)
        by_pred[number] = np.bincount(values % size, counts, size)
        all_codes.append(values)
        all_counts.append(counts)
    values, place = np.unique(np.concatenate(all_codes), return_inverse=True)
    # Sums of float64 weights are exact below 2**53 voxels.
    totals = np.bincount(place, np.concatenate(all_counts), len(values)).astype(np.int64)
    in_truth, in_pred = values // size, values % size
    same = in_truth == in_pred
    hits = np.zeros(size, np.int64)
    hits[in_truth[same]] = totals[same]
    return PairCounts(in_truth, in_pred, totals, by_truth, by_pred, hits)


def _tally(codes: Array, size: int) -> tuple[Array, Array]:
    if size <= max(4 * codes.size, 1 << 16):
        counts = np.bincount(codes, minlength=1)
        values = np.flatnonzero(counts)
        return values, counts[values]
    values, counts = np.unique(codes, return_counts=True)
    return values, counts


def rand_indices(pairs: PairCounts) -> tuple[float, float]:
    """Return the Rand index and the adjusted Rand index of two labellings.

    They are computed from the table of pairs, as scikit-learn does from the voxels, because
    the voxels of a volume need not then be held as two int64 vectors. With no voxel at all
    both are nan; where both labellings agree on every pair both are 1.

    References
    ----------
    Hubert and Arabie, Comparing partitions, Journal of Classification 2 (1985), eq. 5.
    """
    # Python integers: squares of voxel counts overflow int64 in large volumes.
    total = int(pairs.counts.sum())
    if total == 0:
        return float("nan"), float("nan")
    if total == 1:
        return 1.0, 1.0
    same_both = _square_sum(pairs.counts)
    same_truth = _square_sum(pairs.truth_by_slice.sum(0))
    same_pred = _square_sum(pairs.pred_by_slice.sum(0))
    together = same_both - total
    only_truth = same_truth - same_both
    only_pred = same_pred - same_both
    apart = total * total - same_truth - same_pred + same_both
    rand = (together + apart) / (total * (total - 1))
    if only_truth == 0 and only_pred == 0:
        return rand, 1.0
    above = 2 * (together * apart - only_truth * only_pred)
    below = (together + only_truth) * (only_truth + apart)
    below += (together + only_pred) * (only_pred + apart)
    return rand, above / below


def _square_sum(counts: Array) -> int:
    return sum(int(count) ** 2 for count in counts)
