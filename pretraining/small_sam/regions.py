"""Regions of a label map that are worth a prompt."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes
from skimage.measure import label

__all__ = ["choose_regions"]

Rng = np.random.Generator
Mask = npt.NDArray[np.bool_]

_LEAST = 24


def _component(rng: Rng, pieces: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Mask:
    """One connected piece, larger ones somewhat more often."""
    large = np.flatnonzero(sizes >= _LEAST)
    weights = sizes[large] ** 0.3
    return np.asarray(pieces == rng.choice(large, p=weights / weights.sum()))


def _several(rng: Rng, labels: npt.NDArray[np.int16], piece: Mask, kind: str) -> Mask:
    """What a piece belongs to: its whole region, its whole organ, or a part of the body."""
    rows, columns = np.nonzero(piece)
    at = rng.integers(len(rows))
    region = labels[rows[at], columns[at]]
    if kind == "region":
        return np.asarray(labels == region)
    if kind == "organ":
        return np.asarray(binary_fill_holes(piece))
    if kind == "body":
        return np.asarray(binary_fill_holes((labels != labels[0, 0]) & (labels >= 0)))
    around = piece | np.roll(piece, 3, 0) | np.roll(piece, -3, 1)
    near = np.unique(labels[around & (labels >= 0)])
    chosen = rng.choice(near, min(int(rng.integers(1, 3)), len(near)), replace=False)
    joined = np.asarray(label(np.isin(labels, [region, *chosen]), connectivity=1))
    return np.asarray(joined == joined[rows[at], columns[at]])


def _eroded(mask: Mask, by: int = 1) -> Mask:
    """Pixels whose square of ``2 by + 1`` pixels lies in the mask; outside counts as within."""
    for axis in (0, 1):
        padded = np.pad(mask, [(by, by) if axis == a else (0, 0) for a in (0, 1)], mode="edge")
        size = mask.shape[axis]
        shifted = [padded.take(range(k, k + size), axis) for k in range(2 * by + 1)]
        mask = np.logical_and.reduce(shifted)
    return mask


def _teaches(rng: Rng, image: npt.NDArray[np.float32], inside: Mask, mask: Mask) -> bool:
    """Whether a mask is of a fair size and has a border that can be seen; few are threads."""
    blocks = mask.reshape(mask.shape[0] // 2, 2, -1, 2).sum((1, 3)) >= 2
    if blocks.sum() < _LEAST // 4 or mask.sum() > 0.9 * inside.sum():
        return False
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    frame = (
        slice(max(rows[0] - 4, 0), rows[-1] + 5),
        slice(max(columns[0] - 4, 0), columns[-1] + 5),
    )
    image, inside, mask = image[(slice(None), *frame)], inside[frame], mask[frame]
    core = _eroded(mask)
    if core.sum() < 0.3 * mask.sum() and rng.random() < 0.75:
        return False
    rim, ring = mask & ~_eroded(core), ~_eroded(~mask, 3) & inside & ~mask
    if not ring.any():
        return False
    step = np.abs(image[:, rim].mean(1) - image[:, ring].mean(1)).max()
    noise = 0.5 * (image[:, rim].std(1).min() + image[:, ring].std(1).min())
    return bool(step > rng.uniform(0.02, 0.08) + 0.3 * noise)


def choose_regions(
    rng: Rng, image: npt.NDArray[np.float32], labels: npt.NDArray[np.int16], count: int
) -> Mask:
    """Choose regions of several scales.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    image : array, shape (3, H, W), in 0..1
        What is seen of them.
    labels : array, shape (H, W), int16
        Region of each pixel; -1 where there is no image.
    count : int
        Number R of masks.

    Returns
    -------
    array, shape (R, H, W), bool
        Connected pieces, whole regions, organs with all that lies within them, neighbours
        together, and the whole body.
    """
    pieces = np.asarray(label(labels, background=-1, connectivity=1), dtype=np.int64)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    inside = np.asarray(labels >= 0)
    kinds = ("piece", "region", "organ", "joined", "body")
    chosen: list[Mask] = []
    for _ in range(20 * count):
        if len(chosen) == count:
            break
        kind = str(rng.choice(kinds, p=[0.5, 0.14, 0.2, 0.1, 0.06]))
        mask = _component(rng, pieces, sizes)
        if mask[0, 0] and rng.random() < 0.8:
            continue
        if kind != "piece":
            mask = _several(rng, labels, mask, kind) & inside
        if any(np.array_equal(mask, other) for other in chosen) and rng.random() < 0.9:
            continue
        if _teaches(rng, image, inside, mask):
            chosen.append(mask)
    while len(chosen) < count:
        chosen.append(chosen[rng.integers(len(chosen))] if chosen else inside)
    return np.stack(chosen)
