"""The images of a run, drawn once and kept; batches and held-out images are taken from them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .images import draw_anatomy_image, draw_phantom_image
from .regions import choose_regions

__all__ = ["Batch", "Pool", "draw_pool", "read_pool"]

_MEAN = (123.675, 116.28, 103.53)


@dataclass(frozen=True, eq=False)
class Batch:
    """Images of one step with their prompted regions.

    Parameters
    ----------
    images : Tensor, shape (N, 3, S, S), float32 in 0..255
        Padded with the mean colour, so that the padding is 0 once normalised.
    masks : Tensor, shape (N, R, S, S), bool
        Regions; none is empty, also at half the resolution.
    """

    images: Tensor
    masks: Tensor


@dataclass(frozen=True, eq=False)
class Pool:
    """Images in their bytes, and their regions in bits.

    Parameters
    ----------
    images : uint8 array, shape (K, 3, S, S)
    masks : uint8 array, shape (K, R, S, S / 8)
        Eight pixels of a row in each byte.
    """

    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]

    def batch(self, rng: np.random.Generator, images: int, regions: int) -> Batch:
        """Draw images and some regions of each, small ones more often, turned at random."""
        chosen = rng.choice(len(self.images), images, replace=False)
        pixels, masks = [], []
        for k in chosen:
            image, mask = self.images[k], np.unpackbits(self.masks[k], axis=-1)
            odds = mask.sum((1, 2), dtype=np.float64) ** -0.75
            rows = rng.choice(len(mask), regions, p=odds / odds.sum())
            mask = mask[rows]
            # Mirrored along an axis the padding leads, which SAM never sees: half stay.
            turns = rng.random(3) < (0.5, 0.25, 0.25)
            if turns[0]:
                image, mask = image.swapaxes(1, 2), mask.swapaxes(1, 2)
            for axis in (1, 2):
                if turns[axis]:
                    image, mask = np.flip(image, axis), np.flip(mask, axis)
            pixels.append(image.astype(np.float32))
            masks.append(mask.astype(bool))
        return Batch(torch.from_numpy(np.stack(pixels)), torch.from_numpy(np.stack(masks)))

    def at(self, index: int) -> Batch:
        """One image with all its regions as they were drawn."""
        masks = np.unpackbits(self.masks[index], axis=-1).astype(bool)
        image = self.images[index].astype(np.float32)
        return Batch(torch.from_numpy(image)[None], torch.from_numpy(masks)[None])

    def save(self, path: Path) -> None:
        """Write beside ``path``, then rename: never half a file."""
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            np.savez(file, images=self.images, masks=self.masks)
        temporary.replace(path)


def draw_pool(seed: int, first: int, count: int, side: int, regions: int) -> Pool:
    """Draw images ``first`` to ``first + count``; a pure function of its arguments.

    Every second image is a slice of a phantom, the others are drawn anatomies.
    """
    images = np.empty((count, 3, side, side), dtype=np.uint8)
    images[:] = np.array(_MEAN, dtype=np.float32).round()[:, None, None]
    masks = np.zeros((count, regions, side, side // 8), dtype=np.uint8)
    for k in range(count):
        number = first + k
        rng = np.random.default_rng([seed, 29, number])
        if number % 2:
            image, labels = draw_phantom_image(rng, number // 2, side)
        else:
            image, labels = draw_anatomy_image(rng, seed, side)
        height, width = labels.shape
        images[k, :, :height, :width] = (255 * image).round()
        names = np.full((side, side), -1, dtype=np.int16)
        names[:height, :width] = labels
        chosen = choose_regions(rng, images[k].astype(np.float32) / 255, names, regions)
        masks[k] = np.packbits(chosen, axis=-1)
    return Pool(images, masks)


def read_pool(path: Path) -> Pool:
    """Read what :meth:`Pool.save` wrote."""
    with np.load(path) as file:
        return Pool(file["images"], file["masks"])
