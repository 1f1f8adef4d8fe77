"""PerSAM-F: two weights that mix SAM's three masks, learned on the template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..config import PerSamConfig
from ..types import Array, Progress, no_progress

if TYPE_CHECKING:
    import torch

__all__ = ["fit_mask_weights", "mask_loss"]

_ALPHA, _GAMMA = 0.25, 2.0
_EVERY = 50


def fit_mask_weights(
    logits: Sequence[Array],
    masks: Sequence[Array],
    config: PerSamConfig,
    progress: Progress = no_progress,
) -> tuple[Array, list[float]]:
    """Learn how much of each of three masks to take (Zhang et al. 2023, arXiv:2305.03048).

    SAM stays as it is, so its masks are computed once and only their mixture is learned, by Adam
    from a third each.

    Parameters
    ----------
    logits : sequence of float arrays, shape (3, H, W)
        SAM's three masks on each template slice.
    masks : sequence of bool arrays, shape (H, W)
        What they should be.
    config : PerSamConfig
        Steps and learning rate.
    progress : callable
        Called every 50 steps.

    Returns
    -------
    weights : float32 array, shape (3,)
        (1 - w1 - w2, w1, w2).
    losses : list of float
        Mean over the slices, at every step.
    """
    import torch

    pairs = [
        (torch.from_numpy(np.ascontiguousarray(one)).flatten(1), torch.from_numpy(mask).flatten())
        for one, mask in zip(logits, masks, strict=True)
    ]
    free = torch.full((2,), 1 / 3, requires_grad=True)
    optimiser = torch.optim.Adam([free], lr=config.learning_rate)
    losses = []
    for step in range(1, config.steps + 1):
        weights = torch.cat([1 - free.sum(dim=0, keepdim=True), free])
        loss = torch.stack([mask_loss(weights @ one, mask.float()) for one, mask in pairs]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if step % _EVERY == 0 or step == config.steps:
            progress(step, config.steps, "mask weights")
    learned = free.detach()
    weights = torch.cat([1 - learned.sum(dim=0, keepdim=True), learned])
    return weights.numpy(), losses


def mask_loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Dice loss and focal loss (Lin et al. 2017, arXiv:1708.02002) of a mask, shape (P,)."""
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

    found = logits.sigmoid()
    dice = (2 * (found * mask).sum() + 1) / (found.sum() + mask.sum() + 1)
    wrong = (found - mask).abs()
    balance = 1 - _ALPHA + (2 * _ALPHA - 1) * mask
    focal = (balance * wrong**_GAMMA * cross_entropy(logits, mask, reduction="none")).mean()
    return 1 - dice + focal
