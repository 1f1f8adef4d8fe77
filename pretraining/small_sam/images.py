"""Synthetic images with the masks of some of their regions, as SAM sees them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_fill_holes
from skimage.measure import label
from torch import Tensor

from ..anatomy import draw_anatomy
from ..appearance import draw_look, normalise, render
from ..noise import bank_of

__all__ = ["Batch", "choose_regions", "draw_batch"]

Rng = np.random.Generator
Mask = npt.NDArray[np.bool_]

# Side of the plane that is drawn, against that of the network's input: seen small and large.
_ZOOMS = (0.75, 1.0, 1.0, 1.25)
_LEAST = 24


@dataclass(frozen=True, eq=False)
class Batch:
    """Images of one step with their prompted regions.

    Parameters
    ----------
    images : Tensor, shape (N, 3, S, S), float32 in 0..255
        Padded with the mean colour at the lower right, so that it is 0 once normalised.
    masks : Tensor, shape (N, R, S, S), bool
        Regions; none is empty, also at half the resolution.
    """

    images: Tensor
    masks: Tensor


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
        if _teaches(rng, image, inside, mask):
            chosen.append(mask)
    while len(chosen) < count:
        chosen.append(chosen[rng.integers(len(chosen))] if chosen else inside)
    return np.stack(chosen)


def _draw_image(
    rng: Rng, seed: int, side: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]:
    """One image, (3, H, W) in 0..1, and its regions; the longest of H and W is ``side``."""
    plane = round(side * float(rng.choice(_ZOOMS)))
    bank = bank_of(seed)
    anatomy = draw_anatomy(rng, bank, plane)
    look = draw_look(rng, anatomy.regions, anatomy.kind)
    # Few regions may look alike here: a border that nobody can see teaches nothing.
    spread = rng.choice([0.05, 0.12, 0.25])
    colour = look.colour + rng.normal(0, spread, look.colour.shape).astype(np.float32)
    look = dataclasses.replace(look, colour=np.clip(colour, 0, 1.2))
    labels = anatomy.paint(rng, 0.5)
    image = normalise(rng, look, [render(rng, bank, look, labels)])[0]
    if rng.random() < 0.5:
        image, labels = image.swapaxes(1, 2), labels.T
    height, width = plane, plane
    if rng.random() < 0.5:
        height = int(plane * rng.uniform(0.5, 1))
    if rng.random() < 0.5:
        width, height = height, width
    top = int(rng.integers(plane - height + 1))
    left = int(rng.integers(plane - width + 1))
    image = image[:, top : top + height, left : left + width]
    labels = labels[top : top + height, left : left + width]
    size = (round(height * side / plane), round(width * side / plane))
    pixels = torch.from_numpy(np.ascontiguousarray(image))[None]
    names = torch.from_numpy(np.ascontiguousarray(labels)).float()[None, None]
    pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)[0].clamp(0, 1)
    names = F.interpolate(names, size, mode="nearest-exact")[0, 0]
    return pixels.numpy(), names.numpy().astype(np.int16)


def draw_batch(seed: int, step: int, side: int, images: int, regions: int) -> Batch:
    """Draw the images of one training step; a pure function of its arguments.

    Parameters
    ----------
    seed, step : int
        What the batch depends on.
    side : int
        Side S of the network's input.
    images, regions : int
        Images N, and regions R of each.
    """
    rng = np.random.default_rng([seed, 23, step])
    padded = np.empty((images, 3, side, side), dtype=np.float32)
    padded[:] = np.array([123.675, 116.28, 103.53], dtype=np.float32)[:, None, None]
    masks = np.zeros((images, regions, side, side), dtype=bool)
    for k in range(images):
        image, labels = _draw_image(rng, seed, side)
        height, width = labels.shape
        padded[k, :, :height, :width] = 255 * image
        names = np.full((side, side), -1, dtype=np.int16)
        names[:height, :width] = labels
        masks[k] = choose_regions(rng, padded[k] / 255, names, regions)
    return Batch(torch.from_numpy(padded), torch.from_numpy(masks))
