"""Large and small crops of slices, and masks of their patches, for transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..config import DistillationConfig
from ..types import Array
from .scans import Drawn
from .views import in_colours, placed, sampled, shaded

if TYPE_CHECKING:
    import torch

__all__ = ["CropBatch", "block_mask", "draw_crops", "stacked"]

_ASPECT = 0.3
_LEAST_BLOCK = 4


@dataclass(frozen=True, eq=False)
class CropBatch:
    """Crops of B slices, in 0..1.

    Parameters
    ----------
    large : tensor, shape (2 * B, 3, S, S), float32
        First crops of all slices, then second ones.
    small : tensor, shape (L * B, 3, s, s), float32
    masks : tensor, shape (2 * B, tokens, tokens), bool
        Patches that the student does not see.
    told : tensor, the same
        Patches of which the student has to say what the teacher says: these, and some that it sees.
    """

    large: torch.Tensor
    small: torch.Tensor
    masks: torch.Tensor
    told: torch.Tensor


def draw_crops(
    drawn: Drawn, patch: int, config: DistillationConfig, rng: np.random.Generator
) -> tuple[list[Array], list[Array]]:
    """Large and small crops of a slice for patches of so many pixels, each (3, S, S)."""
    image = in_colours(drawn.stack.slice(drawn.index), rng)
    if (image == image[:1]).all():
        image = image[:1]  # of grey ones, one channel is enough until the end
    kinds = (
        (2, config.tokens, config.global_scale),
        (config.local_crops, config.local_tokens, config.local_scale),
    )
    large, small = (
        [_crop(image, tokens * patch, scale, config, rng) for _ in range(count)]
        for count, tokens, scale in kinds
    )
    return large, small


def stacked(
    crops: list[tuple[list[Array], list[Array]]],
    config: DistillationConfig,
    rng: np.random.Generator,
) -> CropBatch:
    """Put the crops of slices together, and draw masks for the large ones."""
    import torch

    def batch(which: int, count: int) -> torch.Tensor:
        rows = [one[which][k] for k in range(count) for one in crops]
        return torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0)

    masks, told = [], []
    for _ in range(2 * len(crops)):
        share = rng.uniform(*config.masked_patches)
        share = share if rng.random() < config.masked_images else 0.0
        masks.append(block_mask(config.tokens, share, rng))
        told.append(masks[-1].copy())
        if config.seen_patches > 0:
            told[-1] |= rng.random(masks[-1].shape) < config.seen_patches
    patches = (torch.from_numpy(np.stack(some)) for some in (masks, told))
    return CropBatch(batch(0, 2), batch(1, config.local_crops), *patches)


def _crop(
    image: Array,
    side: int,
    scale: tuple[float, float],
    config: DistillationConfig,
    rng: np.random.Generator,
) -> Array:
    shape = np.array(image.shape[1:])
    edge = np.sqrt(rng.uniform(*scale) * shape.prod())
    middle = (shape - 1) / 2 + rng.uniform(-0.5, 0.5, 2) * np.maximum(0, shape - edge)
    places = placed(side, middle, rng.normal(0, config.rotation), edge / side)
    found = shaded(_read(image, places, edge / side), config.shading, rng)
    return np.broadcast_to(found, (3, side, side))


def _read(image: Array, places: Array, factor: float) -> Array:
    """Read an image at places; where pixels are fewer than those of the image, smooth it first."""
    from scipy.ndimage import gaussian_filter

    if factor > 1:
        image = gaussian_filter(image, (0, *[0.5 * np.sqrt(factor**2 - 1)] * 2))
    return sampled(image, places)


def block_mask(side: int, share: float, rng: np.random.Generator) -> Array:
    """Mask about a share of side × side patches, by rectangles, shape (side, side)."""
    mask = np.zeros((side, side), bool)
    wanted = round(share * side * side)
    for _ in range(10 * side):
        left = wanted - int(mask.sum())
        if left <= 0:
            break
        area = rng.uniform(min(_LEAST_BLOCK, left), left)
        aspect = np.exp(rng.uniform(np.log(_ASPECT), -np.log(_ASPECT)))
        rows, columns = np.clip(
            np.rint([np.sqrt(area * aspect), np.sqrt(area / aspect)]), 1, side
        ).astype(int)
        top, first = rng.integers(side - rows + 1), rng.integers(side - columns + 1)
        block = mask.copy()
        block[top : top + rows, first : first + columns] = True
        if block.sum() <= wanted:
            mask = block
    return mask
