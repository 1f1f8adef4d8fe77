"""Which label meets which: the counts behind every overlap score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import blocks
from ..errors import InputError
from ..types import Array

__all__ = [
    "PairCounts",
    "compact_labels",
    "count_pairs",
    "match_instances",
    "pair_table",
    "present_labels",
    "rand_indices",
]


_TABLE_LIMIT = 1 << 16


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Voxels by pair of (truth, prediction), over compact label indices 0..K-1.

    ``table`` is a sparse array (K, K) of truth and prediction, ``truth_by_slice`` and
    ``pred_by_slice`` are arrays (S, K); all int64.
    """

    table: Any
    truth_by_slice: Array
    pred_by_slice: Array


def present_labels(labels: Array) -> Array:
    """Return the values above 0 that occur in an array of integers of at least 0, sorted.

    An array that is read as it is indexed is read once, block by block.
    """
    found: set[int] = set()
    for _, block in blocks(labels):
        few = int(block.max(initial=0)) < _TABLE_LIMIT
        for plane in block:
            # By counting where it can be: sorting all voxels takes many times as long.
            flat = plane.ravel().astype(np.int64, copy=False)
            found.update((np.flatnonzero(np.bincount(flat)) if few else np.unique(flat)).tolist())
    return np.array(sorted(found - {0}), dtype=np.int64)


def compact_labels(labels: Array, values: Array) -> Array:
    """Replace each label by 1 + its place in ``values``, and all others by 0.

    ``values`` are sorted, unique and above 0. The result has the smallest unsigned dtype that
    holds their number.
    """
    from skimage.util import map_array

    # scikit-image takes no array that cannot be written to, as those of mapped files are
    native = labels.astype(labels.dtype.newbyteorder("="), copy=not labels.flags.writeable)
    held = values[values <= np.iinfo(native.dtype).max]
    places = np.arange(1, len(held) + 1, dtype=np.min_scalar_type(len(values)))
    result: Array = map_array(native, held.astype(native.dtype), places)
    return result


def count_pairs(pred: Array, truth: Array, size: int, axis: int, keep: Array | None) -> PairCounts:
    """Count the pairs of labels in each slice along ``axis``, in one pass.

    ``pred`` and ``truth``, shape (Z, Y, X), hold unsigned integers below ``size``, background
    included; ``keep``, bool of that shape, marks the voxels that are counted, None for all.
    """
    from scipy.sparse import csr_array

    total = csr_array((size, size), dtype=np.int64)
    by_truth, by_pred = [], []
    for number in range(truth.shape[axis]):
        true, found = truth.take(number, axis), pred.take(number, axis)
        if keep is not None:
            here = keep.take(number, axis)
            true, found = true[here], found[here]
        table = pair_table(true, found, (size, size))
        by_truth.append(table.sum(axis=1))
        by_pred.append(table.sum(axis=0))
        total = total + table
    return PairCounts(total, np.array(by_truth), np.array(by_pred))


def pair_table(rows: Array, columns: Array, shape: tuple[int, int]) -> Any:
    """Count the pairs of indices, as a sparse array of int64."""
    from scipy.sparse import coo_array

    where = (rows.ravel().astype(np.int64), columns.ravel().astype(np.int64))
    return coo_array((np.ones(rows.size, np.int64), where), shape=shape).tocsr()


def rand_indices(table: Any) -> tuple[float, float]:
    """Return the Rand index and the adjusted Rand index of two labellings, by their table of pairs.

    They are computed from the table of pairs, as scikit-learn does from the voxels, because
    the voxels of a volume need not then be held as two int64 vectors. With no voxel at all
    both are nan; where both labellings agree on every pair both are 1.

    References
    ----------
    Hubert and Arabie, Comparing partitions, Journal of Classification 2 (1985), eq. 5.
    """
    # Python integers: squares of voxel counts overflow int64 in large volumes.
    total = int(table.sum())
    if total == 0:
        return float("nan"), float("nan")
    if total == 1:
        return 1.0, 1.0
    same_both = _square_sum(table.data)
    same_truth = _square_sum(table.sum(axis=1))
    same_pred = _square_sum(table.sum(axis=0))
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


def match_instances(instances: npt.ArrayLike, truth: npt.ArrayLike, share: float = 0.5) -> Array:
    """Give each instance the label in which most of it lies.

    An instance goes to the true label that has more than ``share`` of its pixels; one that lies
    in background or in several labels, none of which has as much, goes to none. The prediction of
    a label is the union of its instances. The rule looks at the truth, as a person would who
    picks the right ones among the found masks: it says how good the masks are, not how well
    somebody would find them.

    Parameters
    ----------
    instances : int array, shape (Z, Y, X) or (Y, X)
        Values of at least 0; 0 is no instance.
    truth : int array of that shape
        Label values of at least 0; 0 is background.
    share : float
        From 0.5, below which two labels could claim one instance, to less than 1.

    Returns
    -------
    int32 array of that shape
        Label values.

    Raises
    ------
    InputError
        If the shapes differ, values are negative or no integers, or the share is out of range.
    """
    found, true = np.asarray(instances), np.asarray(truth)
    for name, array in (("instances", found), ("truth", true)):
        if array.dtype.kind not in "iub":
            raise InputError(name, "be integers", f"dtype {array.dtype}")
        if array.size and int(array.min()) < 0:
            raise InputError(name, "be at least 0", int(array.min()))
    if found.shape != true.shape:
        raise InputError("instances", f"have the shape {true.shape} of the truth", found.shape)
    if not 0.5 <= share < 1:
        raise InputError("share", "be at least 0.5 and below 1", share)
    if not found.size:
        return np.zeros(found.shape, np.int32)
    numbers, place = np.unique(found, return_inverse=True)
    values, kind = np.unique(true, return_inverse=True)
    table = pair_table(place, kind, (len(numbers), len(values)))
    largest = table.max(axis=1).toarray().ravel()
    label = values[np.asarray(table.argmax(axis=1)).ravel()]
    claimed = (largest > share * table.sum(axis=1)) & (numbers > 0)
    return np.where(claimed, label, 0).astype(np.int32)[place].reshape(found.shape)
