"""Pixels against all references of a fitted contrastive network: no work that is not needed."""

from __future__ import annotations

import torch

from ..pointwise import linear
from .contrastive_network import MIN_PROBABILITY, MIN_SUM, PairNetwork

__all__ = ["Comparison"]

_PAIRS_AT_ONCE = 2**19  # 2 MB
_HIGHEST_CALIBRATION = 60.0  # its exponential times the highest odds fits into float32


class Comparison:
    """The softmax of :meth:`~.contrastive_network.PairNetwork.class_logits`, references fixed.

    What references and labels add to the logits of a pair is folded into one matrix. Of the
    softmax, whose background has the logit 0, the odds themselves remain.

    Parameters
    ----------
    network : PairNetwork
        In evaluation.
    references : tensor, shape (L, K, C)
        Standardised features.
    """

    def __init__(self, network: PairNetwork, references: torch.Tensor) -> None:
        prepared = network.references(references)
        labels, count = prepared.offset.shape[:2]
        self._shape = (-1, labels, count)
        self._odds = network.calibration.clamp(max=_HIGHEST_CALIBRATION).exp()
        self._bilinear = prepared.product is not None
        if prepared.product is not None:
            own = network.target.weight[:, None] + prepared.product
            self._weight = own.flatten(0, 1).contiguous()
            self._bias = (prepared.offset + network.target.bias[:, None]).flatten()
            return
        # exp(own + offset) over its sum over classes, of the label and of class 0: see
        # log_denominators. The exponentials of the references are the matrices.
        self._weight, self._bias = network.target.weight, network.target.bias
        right = (prepared.offset - prepared.offset.amax(2, keepdim=True)).exp()
        self._right = right.flatten(0, 1).contiguous()
        of_label = right.gather(2, prepared.labels.view(-1, 1, 1).expand(-1, count, 1) + 1)
        rows = torch.arange(labels, device=right.device)
        means = right.new_zeros(2, labels, labels, count)
        means[0, rows, rows] = of_label[..., 0] / count
        means[1, rows, rows] = right[..., 0] / count
        self._means = means.view(2 * labels, labels * count)

    def __call__(self, targets: torch.Tensor) -> torch.Tensor:
        """Class probabilities (n, L + 1) of shared outputs (n, d) of the network."""
        _, labels, count = self._shape
        at_once = max(256, _PAIRS_AT_ONCE // (labels * count)) // 16 * 16
        return torch.cat([self._probabilities(part) for part in targets.split(at_once)])

    def _probabilities(self, targets: torch.Tensor) -> torch.Tensor:
        if self._bilinear:
            pairs = linear(targets, self._weight, self._bias).sigmoid_()
            same = pairs.view(self._shape).mean(2)
            zero = 1 - same
        else:
            own = linear(targets, self._weight, self._bias)
            left = own.sub_(own.amax(1, keepdim=True)).exp_()
            sums = linear(left, self._right).clamp_(min=MIN_SUM)
            same, zero = linear(sums.reciprocal_(), self._means).chunk(2, dim=1)
            same, zero = same * left[:, 1:], zero * left[:, :1]
        odds = (
            same.clamp(min=MIN_PROBABILITY).div_(zero.clamp(min=MIN_PROBABILITY)).mul_(self._odds)
        )
        background = odds.sum(1, keepdim=True).add_(1).reciprocal_()
        return torch.cat([background, odds.mul_(background)], dim=1)
