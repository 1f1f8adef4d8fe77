"""Augmented patches of slices, for networks that learn from images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..config.augmentation import AugmentationConfig
from ..types import Array
from .known import UNKNOWN, class_plane
from .training_set import TrainingSet

if TYPE_CHECKING:
    import torch

__all__ = ["NOTHING", "Patch", "PatchSampler"]

_MIN_SIDE = 32
_MULTIPLE = 16  # four halvings


NOTHING = AugmentationConfig(
    rotation=0, scale=0, shift=0, brightness=0, contrast=0, gamma=0, noise=0
)
"""Patches as they are, for the held-out loss."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of a slice, turned, scaled and shaded.

    Parameters
    ----------
    image : tensor, shape (C, rows, columns), float32
    classes : tensor, shape (rows, columns), int64
        -1 where nothing is known; so is what lies outside of the slice.
    places : array, shape (rows, columns, 2)
        Row and column of the slice that each pixel was read at.
    """

    image: torch.Tensor
    classes: torch.Tensor
    places: Array


@dataclass(frozen=True)
class PatchSampler:
    """Draws patches of one size (rows, columns) from slices of any size.

    Beyond the slice patches are black, or with ``mirrored`` the slice goes on as in a mirror.
    """

    size: tuple[int, int]
    config: AugmentationConfig
    mirrored: bool = False

    @staticmethod
    def fitting(largest: Array, limit: int, multiple: int = _MULTIPLE) -> tuple[int, int]:
        """Size of patches: that of the largest slice, at most ``limit``, in such multiples."""
        sides = -(-np.minimum(largest, limit) // multiple) * multiple
        rows, columns = np.maximum(sides, _MIN_SIDE)
        return int(rows), int(columns)

    def draw(
        self,
        training: TrainingSet,
        number: int,
        rng: np.random.Generator,
        centres: Array | None = None,
    ) -> Patch:
        """Draw a patch of an example.

        Of a large slice no more is read than the patch needs. ``centres`` are rows and columns,
        shape (n, 2), of which patches of large slices have one near their middle; None: half of
        them a painted pixel.
        """
        import torch
        from torch.nn.functional import grid_sample

        known = training.examples[number]
        places = self._places(known.labels, rng, centres)
        shape = np.array(known.labels.shape)
        at = _mirrored(places, shape) if self.mirrored else places
        first = np.clip(np.floor(at.min(axis=(0, 1))) - 1, 0, shape - 1).astype(int)
        last = np.clip(np.ceil(at.max(axis=(0, 1))) + 2, first + 1, shape).astype(int)
        rows, columns = zip(first.tolist(), last.tolist(), strict=True)
        window = slice(*rows), slice(*columns)
        # grid_sample counts in halves of the image from its centre, columns first.
        halves = ((at - first + 0.5) * 2 / (last - first) - 1)[..., ::-1]
        grid = torch.from_numpy(np.ascontiguousarray(halves, dtype=np.float32))[None]
        image = torch.from_numpy(training.image(number, window))[None]
        moved = grid_sample(image, grid, "bilinear", align_corners=False)[0]
        nearest = np.rint(places).astype(int)
        inside = ((nearest >= 0) & (nearest < shape)).all(axis=-1)
        row, column = np.moveaxis(np.clip(nearest, 0, shape - 1) - first, -1, 0)
        values = training.label_values
        classes = class_plane(replace(known, labels=known.labels[window]), values)
        height, width = classes.shape
        there = classes[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        found = torch.from_numpy(np.where(inside, there, UNKNOWN))
        return Patch(self._grey(moved, rng), found, places)

    def _places(self, labels: Array, rng: np.random.Generator, centres: Array | None) -> Array:
        """Row and column in the slice of each pixel of a patch, shape (rows, columns, 2)."""
        config = self.config
        angle = np.deg2rad(rng.uniform(-config.rotation, config.rotation))
        # One factor for each axis would shear rotated structures.
        factor = (1 + config.scale) ** rng.uniform(-1, 1)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / factor
        if config.flips:
            turn = turn @ np.diag(rng.choice([-1.0, 1.0], size=2))
        size = np.array(self.size)
        offsets = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
        places: Array = (offsets - (size - 1) / 2) @ turn.T + self._centre(labels, rng, centres)
        return places

    def _centre(self, labels: Array, rng: np.random.Generator, centres: Array | None) -> Array:
        """Where in the slice the patch lies."""
        shape, size = np.array(labels.shape), np.array(self.size)
        middle = (shape - 1) / 2
        jitter = rng.uniform(-1, 1, size=2) * self.config.shift * np.minimum(shape, size)
        spare = np.maximum(shape - size, 0)
        if not spare.any():
            return np.asarray(middle + jitter)
        wanted = middle + rng.uniform(-0.5, 0.5, size=2) * spare
        if centres is None and rng.random() < 0.5:
            centres = np.argwhere(labels > 0)
            centres = centres if len(centres) else np.argwhere(labels >= 0)
        if centres is not None:
            wanted = centres[rng.integers(len(centres))] + jitter
        return np.asarray(np.clip(wanted, middle - spare / 2, middle + spare / 2))

    def _grey(self, image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        import torch

        config = self.config
        gamma, contrast = (
            (1 + change) ** rng.uniform(-1, 1) for change in (config.gamma, config.contrast)
        )
        changed = image.clamp(0, 1) ** gamma
        mean = changed.mean()
        changed = (changed - mean) * contrast + mean
        changed = changed + rng.uniform(-config.brightness, config.brightness)
        spread = rng.uniform(0, config.noise)
        noise = rng.standard_normal(changed.shape, dtype=np.float32) * spread
        grey: torch.Tensor = changed + torch.from_numpy(noise.astype(np.float32))
        return grey


def _mirrored(places: Array, shape: Array) -> Array:
    """Where pixels beyond the slice are read, so that it goes on as in a mirror."""
    folded = np.mod(places + 0.5, 2 * shape)
    at: Array = np.clip(np.minimum(folded, 2 * shape - folded) - 0.5, 0, shape - 1)
    return at
