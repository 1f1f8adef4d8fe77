"""One connected part cut into objects where it is narrow."""

from __future__ import annotations

import numpy as np

from ..config import ObjectsConfig
from ..types import Array

__all__ = ["split_part"]

_SHARE = 0.25
"""Smoothing, at most, as a share of the largest distance to the border: small cells stay apart."""


def split_part(
    mask: Array,
    spacing: Array,
    config: ObjectsConfig,
    height: Array | None = None,
    min_size: float = 0.0,
) -> Array:
    """Number the objects of a connected part.

    The distance to the border, in units of length, has a peak in each object and a saddle in each
    neck. Every peak of the smoothed distance is the seed of a watershed; then regions are joined,
    the highest saddle first, unless it is below a share (``config.neck``) of the lower of both
    peaks, and regions smaller than ``min_size`` with the neighbour of the highest saddle.

    Parameters
    ----------
    mask : bool array, shape (Z, Y, X) or (Y, X)
        With a voxel of background around, but at ends of the image: objects go on beyond.
    spacing : array, shape (D,)
        In any unit of length.
    config : ObjectsConfig
        ``neck``, ``sigma`` and ``connectivity`` count.
    height : float array, shape of ``mask``, optional
        0..1, low at borders between objects, such as the probability of the label; the distance is
        multiplied by its root.
    min_size : float
        In voxels.

    Returns
    -------
    int32 array, shape of ``mask``
        Objects from 1, in the order of their first voxels; 0 outside of the mask.
    """
    from scipy import ndimage
    from skimage.measure import label
    from skimage.morphology import local_maxima
    from skimage.segmentation import watershed

    if mask.all():  # no border to be far from
        return mask.astype(np.int32)
    distance = ndimage.distance_transform_edt(mask, sampling=spacing)
    finest = float(spacing.min())
    sigma = min(config.sigma * finest, _SHARE * float(distance.max()))
    level = ndimage.gaussian_filter(distance, sigma / spacing, mode="nearest")
    if height is not None:
        likely = ndimage.gaussian_filter(
            height.astype(np.float64), finest / spacing, mode="nearest"
        )
        # By the root: a border at half of the height counts as a neck of 0.7.
        likely = np.sqrt(likely)
        level, distance = level * likely, distance * likely
    level = np.where(mask, level, 0.0)
    seeds = label(local_maxima(level, connectivity=mask.ndim) & mask, connectivity=mask.ndim)
    count = int(seeds.max())
    if count < 2:
        return mask.astype(np.int32)
    connectivity = min(config.connectivity, mask.ndim)
    regions = watershed(-level, seeds, mask=mask, connectivity=connectivity)
    # Smoothed, small objects are lower than they are: seeds are smooth, necks are not.
    peaks = np.zeros(count + 1)
    np.maximum.at(peaks, regions.ravel(), distance.ravel())
    names = _joined(regions, distance, peaks, config.neck, min_size)
    return _merge_order(names[regions])


def _merge_order(regions: Array) -> Array:
    """Number regions anew, from 1, in the order of their first voxels (int32)."""
    flat = regions.ravel()
    values, first = np.unique(flat, return_index=True)
    values, first = values[values > 0], first[values > 0]
    ranks = np.zeros(int(flat.max(initial=0)) + 1, np.int32)
    ranks[values[np.argsort(first)]] = np.arange(1, len(values) + 1)
    found: Array = ranks[regions]
    return found


def _joined(regions: Array, level: Array, peaks: Array, neck: float, min_size: float) -> Array:
    """Region that each region becomes a part of."""
    pairs, saddles = _saddles(regions, level)
    sizes = np.bincount(regions.ravel(), minlength=len(peaks)).tolist()
    tops, roots = peaks.tolist(), list(range(len(peaks)))

    def root(number: int) -> int:
        while roots[number] != number:
            roots[number] = roots[roots[number]]
            number = roots[number]
        return number

    def join(one: int, other: int) -> None:
        low, high = sorted((one, other))
        roots[high] = low
        tops[low], sizes[low] = max(tops[low], tops[high]), sizes[low] + sizes[high]

    ordered = [
        (int(a), int(b), float(saddles[k]))
        for k in np.lexsort((pairs[:, 1], pairs[:, 0], -saddles))
        for a, b in [pairs[k]]
    ]
    for one, other, saddle in ordered:
        one, other = root(one), root(other)
        if one != other and saddle >= neck * min(tops[one], tops[other]):
            join(one, other)
    # Fragments go to whom they are joined most, the smallest first.
    changed = min_size > 1
    while changed:
        changed = False
        small = sorted(
            {root(number) for number in range(1, len(roots))},
            key=lambda number: (sizes[number], number),
        )
        for number in small:
            if sizes[number] >= min_size:
                break
            touching = ((root(a), root(b)) for a, b, _ in ordered)
            best = next((pair for pair in touching if number in pair and pair[0] != pair[1]), None)
            if best is not None:
                join(*best)
                changed = True
                break
    return np.array([root(number) for number in range(len(roots))])


def _saddles(regions: Array, level: Array) -> tuple[Array, Array]:
    """Pairs (N, 2) of regions that touch across faces, and the highest way between both (N,)."""
    found, heights = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for axis in range(regions.ndim):
        ahead = tuple(slice(1, None) if k == axis else slice(None) for k in range(regions.ndim))
        behind = tuple(slice(-1) if k == axis else slice(None) for k in range(regions.ndim))
        a, b = regions[behind], regions[ahead]
        border = (a != b) & (a > 0) & (b > 0)
        found.append(np.sort(np.stack([a[border], b[border]], axis=1), axis=1).astype(np.int64))
        heights.append(np.minimum(level[behind][border], level[ahead][border]))
    pairs, place = np.unique(np.concatenate(found), axis=0, return_inverse=True)
    saddles = np.zeros(len(pairs))
    np.maximum.at(saddles, place.ravel(), np.concatenate(heights))
    return pairs, saddles
