"""The loss of networks that label all pixels of a patch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .training import marginal_cross_entropy

if TYPE_CHECKING:
    import torch

__all__ = ["partial_loss"]


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
