"""Dice and cross-entropy of what is known of a slice, and of nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["partial_loss"]


def partial_loss(
    logits: torch.Tensor, classes: torch.Tensor, looked_for: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy plus soft Dice, over known pixels.

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

    Returns
    -------
    tensor, scalar
        Mean cross-entropy of the known pixels, plus 1 - the mean soft Dice of the labels that
        occur in the batch.
    """
    import torch

    known = classes >= 0
    if not known.any():
        return logits.sum() * 0
    target = torch.nn.functional.one_hot(classes.clamp(min=0), logits.shape[1])
    target = target.movedim(-1, 1).to(logits.dtype)

    log_probability = logits.log_softmax(dim=1)
    allowed = target[:, 1:].bool() | (~looked_for[:, :, None, None] & (classes == 0)[:, None])
    allowed = torch.cat([target[:, :1].bool(), allowed], dim=1)
    right = log_probability.masked_fill(~allowed, float("-inf"))
    # Pixels that are not known are allowed background, which keeps the sum finite.
    entropy = -right.logsumexp(dim=1)[known].mean()

    probability = log_probability.exp()[:, 1:]
    counted = (known[:, None] & looked_for[:, :, None, None]).to(logits.dtype)
    truth = target[:, 1:] * counted
    over = (0, 2, 3)
    overlap = (probability * truth).sum(over)
    size = (probability * counted).sum(over) + truth.sum(over)
    present = truth.sum(over) > 0
    if not present.any():
        return entropy
    dice = (2 * overlap[present] + 1) / (size[present] + 1)
    return entropy + 1 - dice.mean()
