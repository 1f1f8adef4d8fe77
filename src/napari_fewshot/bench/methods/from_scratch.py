"""What a training from scratch needs: augmented patches, a loss, a rule that ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from ...adapters.training import marginal_cross_entropy
from ...config.base import StageConfig
from ...types import Array

if TYPE_CHECKING:
    import torch

__all__ = ["NOTHING", "AugmentationConfig", "Convergence", "PatchSampler", "partial_loss"]

_MIN_SIDE = 32
_MULTIPLE = 16  # four halvings


class AugmentationConfig(StageConfig):
    """How much patches vary."""

    flips: bool = False
    """Mirror rows and columns, each with probability one half. Off by default: slices come in
    one orientation of the patient, and left and right may be two labels."""
    rotation: float = Field(default=15.0, ge=0, le=180)
    """Largest angle in degrees."""
    scale: float = Field(default=0.2, ge=0, le=2)
    """Largest change of size: factors from ``1 / (1 + scale)`` to ``1 + scale``."""
    shift: float = Field(default=0.1, ge=0, le=1)
    """Largest shift of a slice that fits into a patch, as a fraction of its sides."""
    brightness: float = Field(default=0.1, ge=0, le=1)
    """Largest shift of grey values (of 0..1)."""
    contrast: float = Field(default=0.2, ge=0, le=2)
    """Largest relative change of contrast, as ``gamma`` is of the exponent."""
    gamma: float = Field(default=0.3, ge=0, le=2)
    noise: float = Field(default=0.03, ge=0, le=1)
    """Largest standard deviation of Gaussian noise."""


NOTHING = AugmentationConfig(
    rotation=0, scale=0, shift=0, brightness=0, contrast=0, gamma=0, noise=0
)
"""Patches as they are, for the held-out loss."""


@dataclass(frozen=True)
class PatchSampler:
    """Draws patches of one size (rows, columns) from slices of any size."""

    size: tuple[int, int]
    config: AugmentationConfig

    @staticmethod
    def fitting(largest: Array, limit: int) -> tuple[int, int]:
        """Size of patches: that of the largest slice, at most ``limit``, in multiples of 16."""
        sides = -(-np.minimum(largest, limit) // _MULTIPLE) * _MULTIPLE
        rows, columns = np.maximum(sides, _MIN_SIDE)
        return int(rows), int(columns)

    def draw(
        self, image: Array, classes: Array, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a patch of an image (C, H, W), float32 in 0..1, and of its classes (H, W), int64.

        Classes are -1 where unknown; so is what lies outside of the slice.
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


def partial_loss(
    logits: torch.Tensor, classes: torch.Tensor, looked_for: torch.Tensor, *, dice: bool = True
) -> torch.Tensor:
    """Mean cross-entropy of known pixels, plus 1 - the mean soft Dice of labels in the batch.

    Parameters
    ----------
    logits : tensor, shape (B, L + 1, H, W)
        Of background and each label.
    classes : tensor, shape (B, H, W), int64
        0 background, -1 unknown: left out of both terms.
    looked_for : tensor, shape (B, L), bool
        Labels that a slice was searched for. Where one was not, a background pixel may be that
        label as well: the cross-entropy takes both for right, and the Dice of that label leaves
        the slice out.
    dice : bool
        Without it, the loss of one label is the binary cross-entropy of its probability: the
        softmax of two classes is the sigmoid of the difference of their logits.
    """
    import torch

    known = classes >= 0
    if not known.any():
        return logits.sum() * 0
    target = torch.nn.functional.one_hot(classes.clamp(min=0), logits.shape[1]).movedim(-1, 1)
    searched = looked_for[:, :, None, None]
    possible = target.bool()
    possible[:, 1:] |= ~searched & (classes == 0)[:, None]
    entropy = marginal_cross_entropy(logits.movedim(1, -1)[known], possible.movedim(1, -1)[known])
    if not dice:
        return entropy
    counted = (known[:, None] & searched).to(logits.dtype)
    probability = logits.softmax(dim=1)[:, 1:] * counted
    truth = target[:, 1:] * counted
    over = (0, 2, 3)
    overlap = (probability * truth).sum(over)
    size = probability.sum(over) + truth.sum(over)
    present = truth.sum(over) > 0
    if not present.any():
        return entropy
    return entropy + 1 - ((2 * overlap[present] + 1) / (size[present] + 1)).mean()


class Convergence:
    """A stated rule that ends a training when the smoothed loss has not fallen for some epochs.

    After each epoch the loss is smoothed (an exponential mean without start-up bias). An epoch
    gains if the smoothed loss is below its best so far by ``min_gain``. Training has converged
    after ``patience`` epochs in a row without gain, and ends at ``max_epochs`` in any case.
    ``smoothing``, 0..1, is the weight of what was before.

    Attributes
    ----------
    best : float
        Lowest smoothed loss that counted as a gain.
    waited : int
        Epochs since then.
    plateaus : int
        How often half of the patience has gone by without gain.
    """

    def __init__(
        self, patience: int, max_epochs: int, min_gain: float = 0.01, smoothing: float = 0.7
    ) -> None:
        self.patience, self.max_epochs = patience, max_epochs
        self.min_gain, self.smoothing = min_gain, smoothing
        self.epochs = self.waited = self.plateaus = 0
        self.best = float("inf")
        self._sum = self._weight = 0.0

    def put(self, loss: float) -> bool:
        """Take the loss of an epoch; return whether it gained."""
        self.epochs += 1
        self._sum = self.smoothing * self._sum + (1 - self.smoothing) * loss
        self._weight = self.smoothing * self._weight + (1 - self.smoothing)
        smoothed = self._sum / self._weight
        if smoothed < self.best - self.min_gain:
            self.best, self.waited = smoothed, 0
            return True
        self.waited += 1
        self.plateaus += self.waited % max(1, self.patience // 2) == 0
        return False

    @property
    def finished(self) -> bool:
        """Whether training ends here."""
        return self.waited >= self.patience or self.epochs >= self.max_epochs
