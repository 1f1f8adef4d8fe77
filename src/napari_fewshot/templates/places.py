"""Whether labels have their place in slices, as organs have and nuclei have not."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from ..types import Array
from .training_set import TrainingSet

__all__ = ["have_places", "worth_of_place"]

_CELLS = 32
"""Rows and columns of the grid on which places are compared."""
_BLUR = 2.0
"""Of places, in cells: neighbours of a place are like it."""
_DOUBT = 0.3
"""Cells of label frequencies that count beside what lies at a place."""
_MIN_WORTH = 0.12
"""Worth of place below which labels have none. Measured on two to eight slices: nuclei at most
-0.03, axons 0.00, neuropil -0.07 to 0.09; torso from 0.23, all other organs from 0.34."""
_MIN_GUESSED = 0.25
"""The same of labels that a model guesses from strokes. Measured on three and five slices: nuclei,
axons and neuropil at most 0.19, blood cells from 0.30, organs from 0.45."""
_FLOOR = 1e-4
_ENOUGH = 512
"""Rows or columns of a slice that are looked at: of larger ones only every second, third ..."""


def have_places(training: TrainingSet, *, guessed: bool = False) -> bool:
    """Whether where a pixel lies says what it is; also where that cannot be told.

    ``guessed``: most labels are those that a model is sure of, which learned from strokes. Where
    nothing can be told then, these are of one 2D image, and others will lie otherwise.
    """
    worth = worth_of_place(training)
    if worth is None:
        return not guessed
    return worth >= (_MIN_GUESSED if guessed else _MIN_WORTH)


def worth_of_place(training: TrainingSet) -> float | None:
    """How much better labels are known from their place on the other slices than without it.

    Every slice is left out in turn. What the others have at a place, blurred, tells its labels; of
    the log loss that their frequencies alone have, this is the share that is saved. Below 0, place
    misleads. None where no label is known on two slices along one axis.
    """
    values = np.array([0, *training.label_values])
    own = [one for one in training.examples if one.origin is None and not one.points_only]
    saved = whole = 0.0
    for axis in training.axes:
        maps = [_shares(one.labels, values) for one in own if one.position.axis == axis]
        total = sum(maps, np.zeros((len(values), _CELLS, _CELLS)))
        if len(maps) < 2:
            continue
        for one in maps:
            others = total - one
            seen = others.any(axis=(1, 2))  # of a label that no other slice has nothing is told
            if not np.logical_and(seen, one.any(axis=(1, 2)))[1:].any():
                continue
            frequency = others.sum(axis=(1, 2), keepdims=True) + _FLOOR
            frequency /= frequency.sum()
            near = gaussian_filter(others, (0, _BLUR, _BLUR), mode="nearest")
            placed = (near + _DOUBT * frequency) / (near.sum(axis=0) + _DOUBT)
            alone, known = (
                float((one[seen] * np.log(np.maximum(share[seen], _FLOOR))).sum())
                for share in (frequency, placed)
            )
            whole -= alone
            saved += known - alone
    return saved / whole if whole > 0 else None


def _shares(labels: Array, values: Array) -> Array:
    """Shares of the pixels of each cell, (L + 1, rows, columns), that have the value of a class.

    Unknown pixels are none of them.
    """
    step = max(1, min(labels.shape) // _ENOUGH)
    labels = labels[::step, ::step]
    rows, columns = (np.arange(n) * _CELLS // n for n in labels.shape)
    cells = rows[:, None] * _CELLS + columns
    known = np.isin(labels, values)
    classes = np.searchsorted(values, labels[known])
    size = len(values) * _CELLS**2
    counts = np.bincount(classes * _CELLS**2 + cells[known], minlength=size)
    return counts.reshape(len(values), _CELLS, _CELLS) * (_CELLS**2 / labels.size)
