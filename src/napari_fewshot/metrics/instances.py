"""Which label an instance without a name belongs to, so that it can be scored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..types import Array

__all__ = ["match_instances"]


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
    numbers, place = np.unique(found, return_inverse=True)
    values, kind = np.unique(true, return_inverse=True)
    codes = place.ravel().astype(np.int64) * len(values) + kind.ravel()
    pairs, counts = np.unique(codes, return_counts=True)
    areas = np.bincount(pairs // len(values), counts, len(numbers))
    labels = np.zeros(len(numbers), np.int32)
    for pair, count in zip(pairs, counts, strict=True):
        number, value = divmod(int(pair), len(values))
        if numbers[number] and count > share * areas[number]:
            labels[number] = values[value]
    return labels[place].reshape(found.shape)
