"""Loss of the masks: cross-entropy round the region and dice, squared error of predicted IoU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["iou_of", "mask_losses", "nearby", "sam_loss"]

_FAR = 0.05


def iou_of(masks: Tensor, truth: Tensor) -> Tensor:
    """IoU over the last two axes of two bool tensors that broadcast."""
    both = (masks & truth).flatten(-2).sum(-1)
    either = (masks | truth).flatten(-2).sum(-1)
    return both / either.clamp(min=1)


def nearby(truth: Tensor) -> Tensor:
    """Weights of pixels, of sum 1: high in the frame of each region and a little beyond.

    Over the whole image a small region would weigh next to nothing, and empty masks would be
    the first thing learned.

    Parameters
    ----------
    truth : Tensor, shape (R, H, W), bool
        The regions.
    """
    weight = torch.ones(truth.shape)
    for axis in (1, 2):
        held = truth.any(3 - axis)
        count = held.shape[1]
        at = torch.arange(count)
        low, high = held.int().argmax(1), count - 1 - held.int().flip(1).argmax(1)
        margin = 2 + (high - low + 1) // 4
        inside = (at >= (low - margin)[:, None]) & (at <= (high + margin)[:, None])
        weight = weight * inside.unsqueeze(3 - axis)
    weight = weight.clamp(min=_FAR)
    return weight / weight.sum((1, 2), keepdim=True)


def mask_losses(logits: Tensor, truth: Tensor) -> Tensor:
    """Weighted cross-entropy + dice of each mask.

    Parameters
    ----------
    logits : Tensor, shape (R, M, H, W)
        M answers for each region.
    truth : Tensor, shape (R, H, W), bool
        The regions.

    Returns
    -------
    Tensor, shape (R, M)
    """
    target = truth[:, None].float().expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    entropy = (entropy * nearby(truth)[:, None]).flatten(2).sum(-1)
    p = logits.sigmoid()
    overlap = (p * target).flatten(2).sum(-1)
    total = p.flatten(2).sum(-1) + target.flatten(2).sum(-1)
    return entropy + 1 - (2 * overlap + 1) / (total + 1)


def sam_loss(
    logits: Tensor, predicted: Tensor, truth: Tensor, *, ambiguous: bool
) -> tuple[Tensor, Tensor]:
    """Loss of one pass of the decoder, and the IoU of each mask.

    One point alone trains the best of the three masks; other prompts train the single mask. The
    rest takes part at a lower weight, so that either output is of use whatever the prompt.

    Parameters
    ----------
    logits : Tensor, shape (R, 4, H, W)
        The single mask, then the three.
    predicted : Tensor, shape (R, 4)
        Predicted IoU.
    truth : Tensor, shape (R, H, W), bool
        The regions.
    ambiguous : bool
        Whether the prompt was one point alone.
    """
    losses = mask_losses(logits, truth)
    with torch.no_grad():
        iou = iou_of(logits > 0, truth[:, None])
    best = losses[:, 1:].min(1).values
    weights = (0.3, 1.0) if ambiguous else (1.0, 0.5)
    loss = weights[0] * losses[:, 0] + weights[1] * best
    return (loss + F.mse_loss(predicted, iou, reduction="none").mean(1)).mean(), iou
