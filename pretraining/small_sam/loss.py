"""Loss of SAM: focal and dice on the masks, squared error of the predicted IoU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["GUIDE_CHANNELS", "guide_target", "iou_of", "mask_losses", "sam_loss"]


# Values of a token that the guide predicts: 2 × 2 colours and 4 × 4 grey values.
GUIDE_CHANNELS = 2 * 2 * 3 + 4 * 4


def guide_target(images: Tensor) -> Tensor:
    """What the embedding of each token has to tell of its patch of 8 × 8 pixels.

    Parameters
    ----------
    images : Tensor, shape (N, 3, S, S)
        Normalised as the network sees them.

    Returns
    -------
    Tensor, shape (N, 28, S / 8, S / 8)
    """
    colours = F.pixel_unshuffle(F.avg_pool2d(images, 4), 2)
    greys = F.pixel_unshuffle(F.avg_pool2d(images.mean(1, keepdim=True), 2), 4)
    return torch.cat([colours, greys], 1)


def iou_of(masks: Tensor, truth: Tensor) -> Tensor:
    """IoU over the last two axes of two bool tensors that broadcast."""
    both = (masks & truth).flatten(-2).sum(-1)
    either = (masks | truth).flatten(-2).sum(-1)
    return both / either.clamp(min=1)


def mask_losses(logits: Tensor, truth: Tensor) -> Tensor:
    """20 focal + dice of each mask.

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
    p = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    missed = p + target - 2 * p * target
    focal = (0.5 * missed * missed * entropy).flatten(2).mean(-1)
    overlap = (p * target).flatten(2).sum(-1)
    total = p.flatten(2).sum(-1) + target.flatten(2).sum(-1)
    return 20 * focal + 1 - (2 * overlap + 1) / (total + 1)


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
