"""Augmented patches of slices: one affine resampling, then changes of grey values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from ...config.base import StageConfig
from ...types import Array

if TYPE_CHECKING:
    import torch

__all__ = ["AugmentationConfig", "PatchSampler"]

_LEAST = 32
_MULTIPLE = 16  # four halvings


class AugmentationConfig(StageConfig):
    """How much patches vary.

    Parameters
    ----------
    flips : bool
        Mirror rows and columns, each with probability one half. Off by default: slices come in
        one orientation of the patient, and left and right may be two labels.
    rotation : float
        Largest angle in degrees.
    scale : float
        Largest change of size: factors from ``1 / (1 + scale)`` to ``1 + scale``.
    shift : float
        Largest shift of a slice that fits into a patch, as a share of its sides.
    brightness, contrast, gamma : float
        Largest shift of grey values (of 0..1), and largest relative changes of contrast and of
        the exponent.
    noise : float
        Largest standard deviation of Gaussian noise.
    """

    flips: bool = False
    rotation: float = Field(default=15.0, ge=0, le=180)
    scale: float = Field(default=0.2, ge=0, le=2)
    shift: float = Field(default=0.1, ge=0, le=1)
    brightness: float = Field(default=0.1, ge=0, le=1)
    contrast: float = Field(default=0.2, ge=0, le=2)
    gamma: float = Field(default=0.3, ge=0, le=2)
    noise: float = Field(default=0.03, ge=0, le=1)


NOTHING = AugmentationConfig(
    rotation=0, scale=0, shift=0, brightness=0, contrast=0, gamma=0, noise=0
)
"""Patches as they are, for the held-out loss."""


@dataclass(frozen=True)
class PatchSampler:
    """Draws patches of one size from slices of any size.

    Parameters
    ----------
    size : tuple of int
        Rows and columns of a patch.
    config : AugmentationConfig
    """

    size: tuple[int, int]
    config: AugmentationConfig

    @staticmethod
    def fitting(shapes: list[tuple[int, int]], most: int) -> tuple[int, int]:
        """Size of patches: that of the largest slice, at most ``most``, in multiples of 16."""
        sides = [max(shape[axis] for shape in shapes) for axis in range(2)]
        rows, columns = (
            max(_LEAST, -(-min(side, most) // _MULTIPLE) * _MULTIPLE) for side in sides
        )
        return rows, columns

    def draw(
        self, image: Array, classes: Array, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw one patch.

        Parameters
        ----------
        image : array, shape (C, H, W), float32 in 0..1
            The slice.
        classes : array, shape (H, W), int64
            -1 where unknown; so is what lies outside of the slice.
        rng : numpy.random.Generator
            Drawn from in the same order for the same settings.

        Returns
        -------
        image : tensor, shape (C, rows, columns), float32
        classes : tensor, shape (rows, columns), int64
        """
        import torch
        from torch.nn.functional import grid_sample

        places = self._places(classes, rng)
        shape = np.array(classes.shape)
        # grid_sample counts in halves of the image from its centre, columns first.
        halves = ((places + 0.5) * 2 / shape - 1)[..., ::-1]
        grid = torch.from_numpy(np.ascontiguousarray(halves, dtype=np.float32))[None]
        moved = grid_sample(torch.from_numpy(image)[None], grid, "bilinear", align_corners=False)[0]
        known = torch.from_numpy(classes + 1).float()[None, None]
        nearest = grid_sample(known, grid, "nearest", align_corners=False)[0, 0]
        return self._grey(moved, rng), nearest.round().long() - 1

    def _places(self, classes: Array, rng: np.random.Generator) -> Array:
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
        places: Array = (offsets - (size - 1) / 2) @ turn.T + self._centre(classes, rng)
        return places

    def _centre(self, classes: Array, rng: np.random.Generator) -> Array:
        """Where in the slice the patch lies: half of the large slices' patches on a label."""
        shape, size = np.array(classes.shape), np.array(self.size)
        middle = (shape - 1) / 2
        jitter = rng.uniform(-1, 1, size=2) * self.config.shift * np.minimum(shape, size)
        spare = np.maximum(shape - size, 0)
        if not spare.any():
            return np.asarray(middle + jitter)
        wanted = middle + rng.uniform(-0.5, 0.5, size=2) * spare
        if rng.random() < 0.5:
            inside = np.argwhere(classes > 0)
            inside = inside if len(inside) else np.argwhere(classes >= 0)
            wanted = inside[rng.integers(len(inside))] + jitter
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
