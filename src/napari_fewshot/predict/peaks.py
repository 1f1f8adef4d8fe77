"""Several peaks of one probability map, right and wrong ones, quickly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..types import Array
from .landmarks import SMOOTHING

__all__ = ["find_peaks"]

_WIDEST = 15  # voxels; wider windows cost time and change nothing where peaks are few


def find_peaks(
    probability: Array, *, count: int, least: float, distance: float, spacing: Sequence[float]
) -> tuple[Array, Array]:
    """Find the highest local maxima of a smoothed map.

    Unlike :func:`~napari_fewshot.predict.landmarks.find_landmarks` it does not look at the
    region that a peak stands on, so it stays quick where a map is above 0 everywhere.

    Parameters
    ----------
    probability : uint8 array, shape (Z, Y, X)
        In 255ths.
    count : int
        Most peaks.
    least : float
        Lowest probability of a peak, above 0.
    distance : float
        mm, within which a peak is the highest voxel along each axis.
    spacing : sequence of float
        mm, in array order.

    Returns
    -------
    places : float array, shape (N, 3)
        In voxels, the highest first; of a flat top its middle.
    scores : float array, shape (N,)
        Smoothed probability.
    """
    from scipy import ndimage

    none = np.zeros((0, probability.ndim)), np.zeros(0)
    high = probability >= np.ceil(255 * least)
    if not high.any():
        return none
    sizes = np.asarray(spacing, float)
    window = [min(2 * int(np.ceil(distance / size)) + 1, _WIDEST) for size in sizes]
    box = []
    for axis, side in enumerate(window):
        places = np.flatnonzero(high.any(axis=tuple(k for k in range(high.ndim) if k != axis)))
        margin = side // 2 + 1
        box.append(slice(max(int(places[0]) - margin, 0), int(places[-1]) + 1 + margin))
    part = probability[tuple(box)].astype(np.float32) / 255
    smooth = ndimage.gaussian_filter(part, SMOOTHING * sizes.min() / sizes, mode="nearest")
    tops = (smooth >= ndimage.maximum_filter(smooth, window, mode="nearest")) & (smooth >= least)
    numbered, number = ndimage.label(tops, np.ones((3,) * tops.ndim))
    if number == 0:
        return none
    at = np.flatnonzero(numbered)
    names = numbered.ravel()[at] - 1
    heights = np.zeros(number)
    heights[names] = smooth.ravel()[at]
    voxels = np.stack(np.unravel_index(at, numbered.shape))
    sums = np.stack([np.bincount(names, axis, number) for axis in voxels], axis=1)
    middles = sums / np.bincount(names, minlength=number)[:, None]
    chosen = np.argsort(-heights, kind="stable")[:count]
    return middles[chosen] + [side.start for side in box], heights[chosen]
