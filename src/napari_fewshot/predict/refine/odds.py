"""Probabilities of all labels of a slice, from the label that was chosen and how sure it is."""

from __future__ import annotations

import numpy as np

from ...types import Array

__all__ = ["label_box", "label_odds"]

_FADE = 2.0
_LESS = 0.95


def label_odds(numbers: Array, confidence: Array, count: int) -> Array:
    """Probabilities of all labels at each pixel.

    What the chosen label leaves goes to the nearest other label. That one is less probable
    than the one that was chosen, and fades with the distance from it; the probabilities are then
    scaled to sum to 1.

    Parameters
    ----------
    numbers : int array, shape (H, W)
        Label of each pixel, 0..count - 1; each occurs.
    confidence : float array, shape (H, W)
        Probability of that label.
    count : int
        Number of labels, at least 2.

    Returns
    -------
    float32 array, shape (count, H, W)
        They sum to 1 at every pixel.
    """
    from scipy.ndimage import distance_transform_edt, find_objects

    other = np.zeros_like(numbers)
    fade = np.zeros(numbers.shape, np.float32)
    for number, box in enumerate(find_objects(numbers + 1)):
        wide = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
        inside = numbers[wide] == number  # the nearest other pixel is at most one further out
        distance, (rows, columns) = distance_transform_edt(inside, return_indices=True)
        other[wide][inside] = numbers[wide][rows[inside], columns[inside]]
        fade[wide][inside] = np.exp((1 - distance[inside]) / _FADE)
    chosen = np.maximum(confidence, 1e-3)
    result = np.zeros((count, *numbers.shape), np.float32)
    rest = np.minimum(1 - confidence, _LESS * confidence) * fade
    np.put_along_axis(result, other[None], rest[None].astype(np.float32), axis=0)
    np.put_along_axis(result, numbers[None], chosen[None].astype(np.float32), axis=0)
    result /= result.sum(axis=0)
    return result


def label_box(labels: Array, margin: int) -> tuple[slice, slice]:
    """Rows and columns round what is not background, widened by a margin; it is not empty."""
    rows, columns = (np.flatnonzero((labels != 0).any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )
