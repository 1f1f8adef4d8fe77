"""Pairs of pixels without ever listing them: the network and its two heads.

Let ``t`` be the shared network's output for a target pixel and ``r`` that for a reference of
label ``l``. The head gives the pair a logit for each class.

``concat`` (published)
    A linear layer on the joined outputs and a softmax over background and all labels::

        g_c = u_c . t + v_c . r + b_c          c = 0 .. L
        p(l) = exp(g_l) / sum_c exp(g_c)

    The exponentials factor into a part of the target and a part of the reference, so the
    denominators of all pairs are one matrix product.

``bilinear``
    The label of the reference is known, so the pair is of that label or of class 0; and the
    two outputs are compared::

        g = u_l . t + v_l . r + b_l + t' W r
        p(l) = 1 / (1 + exp(-g)),  p(0) = 1 - p(l)

    ``W r`` is computed once for each reference, so all pairs are one matrix product.

Each pixel and each reference passes the shared network once. Averaged over the references of a
label, p(l) and p(0) give the pixel's odds of that label against background; a calibration
offset for each label, learned with the pixel loss, carries what balanced pairs do not know: how
frequent the label is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ..config import ContrastiveConfig
from .networks import feed_forward

__all__ = ["PairNetwork", "References", "log_denominators"]

_LEAST = 1e-6
_PAIRS_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class References:
    """References of each label, ready to be compared with.

    Parameters
    ----------
    offset : tensor, shape (L, K, L + 1) for ``concat``, (L, K) for ``bilinear``
        What a reference adds to the logits of its pairs.
    product : tensor, shape (L, K, d), optional
        ``W r`` of the bilinear head.
    labels : int tensor, shape (L,)
        Zero-based number of the label of each row.
    """

    offset: torch.Tensor
    product: torch.Tensor | None
    labels: torch.Tensor

    def own_class(self) -> torch.Tensor:
        """Offset of the class of each reference's own label, (L, K); ``concat`` only."""
        count = self.offset.shape[1]
        index = (self.labels + 1)[:, None, None].expand(-1, count, 1)
        return self.offset.gather(2, index)[..., 0]

    @property
    def chunk(self) -> int:
        """Targets to compare at once, so that their pairs stay within a few megabytes."""
        pairs = self.labels.numel() * self.offset.shape[1]
        return max(64, _PAIRS_AT_ONCE // max(1, pairs))


class PairNetwork(nn.Module):
    """The shared network and the head.

    Parameters
    ----------
    inputs : int
        Features of a pixel.
    labels : int
        Number of labels L.
    config : ContrastiveConfig
    """

    def __init__(self, inputs: int, labels: int, config: ContrastiveConfig) -> None:
        super().__init__()
        width = config.width
        self.bilinear = config.head == "bilinear"
        self.branch = feed_forward(inputs, config.hidden, width, config.n_layers, config.dropout)
        classes = labels if self.bilinear else labels + 1
        self.target = nn.Linear(width, classes)
        self.reference = nn.Linear(width, classes, bias=False)
        self.calibration = nn.Parameter(torch.zeros(labels))
        if self.bilinear:
            self.product = nn.Parameter(torch.randn(width, width) / width)

    def shared(self, features: torch.Tensor) -> torch.Tensor:
        """The branch that both pixels of a pair pass: (..., C) to (..., d), 0 or above."""
        outputs: torch.Tensor = self.branch(features).relu()
        return outputs

    def references(self, features: torch.Tensor, labels: torch.Tensor | None = None) -> References:
        """Prepare references, shape (L, K, C); ``labels`` when not all labels are there."""
        outputs = self.shared(features)
        numbers = torch.arange(len(features)) if labels is None else labels
        numbers = numbers.to(outputs.device)
        if not self.bilinear:
            return References(self.reference(outputs), None, numbers)
        weight = self.reference.weight[numbers]
        offset = torch.einsum("lkd,ld->lk", outputs, weight)
        return References(offset, outputs @ self.product.T, numbers)

    def pair_logits(self, targets: torch.Tensor, references: References) -> torch.Tensor:
        """Log odds of "the label of the reference" against class 0, shape (n, L, K).

        Parameters
        ----------
        targets : tensor, shape (n, d)
            Outputs of :meth:`shared`.
        references : References
            Prepared references.
        """
        rows, count = references.offset.shape[:2]
        own = self.target(targets)
        logits: torch.Tensor
        if references.product is not None:
            product = targets @ references.product.reshape(rows * count, -1).T
            logits = product.view(-1, rows, count) + references.offset
            logits = logits + own[:, references.labels, None]
            return logits
        offset = references.own_class() - references.offset[..., 0]
        logits = (own[:, 1:] - own[:, :1])[:, references.labels, None] + offset
        return logits

    def class_probabilities(
        self,
        targets: torch.Tensor,
        references: References,
        logits: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Probability of the label, and of class 0, averaged over references: two (n, L).

        ``logits`` of the pairs, where they are there already, need not be computed again.
        """
        if self.bilinear:
            pairs = self.pair_logits(targets, references) if logits is None else logits
            same = pairs.sigmoid().mean(2)
            return same, 1 - same
        own, offset = self.target(targets), references.offset
        logs = log_denominators(own, offset)
        same = (own[:, references.labels + 1, None] + references.own_class() - logs).exp()
        zero = (own[:, :1, None] + offset[..., 0] - logs).exp()
        return same.mean(2), zero.mean(2)

    def class_logits(
        self,
        targets: torch.Tensor,
        references: References,
        logits: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits of background (0) and of each label, shape (n, L + 1).

        A label's logit is the log of its averaged odds against class 0 plus its calibration;
        so the most probable class is the label with the best odds, or background when no
        label beats class 0.
        """
        same, zero = self.class_probabilities(targets, references, logits)
        odds = same.clamp(min=_LEAST).log() - zero.clamp(min=_LEAST).log()
        odds = odds + self.calibration[references.labels]
        return torch.cat([torch.zeros_like(odds[:, :1]), odds], dim=1)


def log_denominators(own: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Log of the sum over classes of exp(own + offset), of all pairs, shape (n, R, K).

    The exponentials factor, so this is one matrix product; the largest of each side is taken
    out before and put back after.

    Parameters
    ----------
    own : tensor, shape (n, classes)
        What each target gives to the logits.
    offset : tensor, shape (R, K, classes)
        What each reference adds.
    """
    top, offset_top = own.amax(1).detach(), offset.amax(2).detach()
    left = (own - top[:, None]).exp()
    right = (offset - offset_top[..., None]).exp()
    sums = left @ right.reshape(-1, own.shape[1]).T
    logs = sums.clamp(min=1e-30).log().view(-1, *offset.shape[:2])
    result: torch.Tensor = logs + top[:, None, None] + offset_top
    return result
