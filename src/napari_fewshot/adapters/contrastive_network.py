"""Pairs of pixels: the shared network, the two heads, and what they are trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from ..config import ContrastiveConfig
from .training import feed_forward, partial_cross_entropy

__all__ = [
    "MIN_PROBABILITY",
    "MIN_SUM",
    "PairNetwork",
    "PairTargets",
    "References",
    "log_denominators",
    "pair_loss",
    "similarity_loss",
]

MIN_PROBABILITY = 1e-6
"""Probabilities below count as this."""

MIN_SUM = 1e-30
"""Sums of exponentials below count as this."""

_LOWEST_TEMPERATURE = 0.01


@dataclass(frozen=True, eq=False)
class References:
    """References of each label, ready to be compared with.

    ``offset`` is what a reference adds to the logits of its pairs, (L, K, L + 1) for ``concat``,
    (L, K) for ``bilinear``; ``product`` is ``W r`` of the bilinear head, (L, K, d); ``labels`` is
    the zero-based number of the label of each row.
    """

    offset: torch.Tensor
    product: torch.Tensor | None
    labels: torch.Tensor

    def own_class(self) -> torch.Tensor:
        """Offset of the class of each reference's own label, (L, K); ``concat`` only."""
        count = self.offset.shape[1]
        index = (self.labels + 1)[:, None, None].expand(-1, count, 1)
        return self.offset.gather(2, index)[..., 0]


class PairNetwork(nn.Module):
    """The shared network, of ``inputs`` features of a pixel, and the head for L labels."""

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
        if config.compares_outputs:  # log of the learned temperature over the one of the start
            self.temperature = nn.Parameter(torch.zeros(1))

    def shared(self, features: torch.Tensor) -> torch.Tensor:
        """The branch that both pixels of a pair pass: (..., C) to (..., d), 0 or above."""
        outputs: torch.Tensor = self.branch(features).relu()
        return outputs

    def references(self, features: torch.Tensor, labels: torch.Tensor | None = None) -> References:
        """Prepare references, shape (L, K, C); ``labels`` when not all labels are there."""
        return self.prepared(self.shared(features), labels)

    def prepared(self, outputs: torch.Tensor, labels: torch.Tensor | None = None) -> References:
        """Prepare shared outputs of references, shape (L, K, d)."""
        numbers = torch.arange(len(outputs)) if labels is None else labels
        numbers = numbers.to(outputs.device)
        if not self.bilinear:
            return References(self.reference(outputs), None, numbers)
        weight = self.reference.weight[numbers]
        offset = torch.einsum("lkd,ld->lk", outputs, weight)
        return References(offset, outputs @ self.product.T, numbers)

    def pair_logits(self, targets: torch.Tensor, references: References) -> torch.Tensor:
        """Log odds of "the label of the reference" against class 0, shape (n, L, K).

        ``targets``, shape (n, d), are outputs of :meth:`shared`.
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
        odds = same.clamp(min=MIN_PROBABILITY).log() - zero.clamp(min=MIN_PROBABILITY).log()
        odds = odds + self.calibration[references.labels]
        return torch.cat([torch.zeros_like(odds[:, :1]), odds], dim=1)


def log_denominators(own: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Log of the sum over classes of exp(own + offset), of all pairs, shape (n, R, K).

    The exponentials factor, so this is one matrix product; the largest of each side is taken
    out before and put back after. ``own`` (n, classes) is what each target gives to the logits,
    ``offset`` (R, K, classes) what each reference adds.
    """
    top, offset_top = own.amax(1).detach(), offset.amax(2).detach()
    left = (own - top[:, None]).exp()
    right = (offset - offset_top[..., None]).exp()
    sums = left @ right.reshape(-1, own.shape[1]).T
    logs = sums.clamp(min=MIN_SUM).log().view(-1, *offset.shape[:2])
    result: torch.Tensor = logs + top[:, None, None] + offset_top
    return result


@dataclass(frozen=True, eq=False)
class PairTargets:
    """What is known of the target pixels.

    ``possible`` (n, L + 1) are the classes that each may have, one for a painted pixel; ``labels``
    (R,) the zero-based labels that have references; ``far`` (n, R) whether the pixel lies far
    enough from the region of a label to make a negative pair with it.
    """

    possible: torch.Tensor
    labels: torch.Tensor
    far: torch.Tensor | None = None

    @property
    def positive(self) -> torch.Tensor:
        """Whether target and reference row share their label, shape (n, R)."""
        certain = self.possible.sum(1, keepdim=True) == 1
        return self.possible[:, self.labels + 1] & certain

    @property
    def negative(self) -> torch.Tensor:
        """Whether the target, far enough away, surely lacks the label of the row, shape (n, R)."""
        outside = ~self.possible[:, self.labels + 1]
        return outside if self.far is None else outside & self.far


def pair_loss(
    network: PairNetwork,
    targets: torch.Tensor,
    references: torch.Tensor,
    known: PairTargets,
    config: ContrastiveConfig,
) -> torch.Tensor:
    """What the shared network and its head learn from a batch, as ``config.loss`` says.

    pair: the cross-entropy on the class of every pair, and of the averaged pairs of every pixel.
    both: :func:`similarity_loss` of the shared outputs besides. similarity: the shared network
    learns from the similarities alone; the head learns the cross-entropies from its outputs, as a
    linear probe does, without changing them. So all three predict in the same way.

    ``targets`` (n, C) and ``references`` (R, K, C) are standardised features; K references of each
    label in ``known.labels``. Positive and negative pairs of a label weigh the same. Pairs of which
    nothing is known (the label was not looked for at the target) do not count. The pixel loss is
    the cross-entropy of what a prediction would say, with these references.
    """
    shared, shared_references = network.shared(targets), network.shared(references)
    outputs, reference_outputs = shared, shared_references
    if config.loss == "similarity":
        outputs, reference_outputs = shared.detach(), shared_references.detach()
    prepared = network.prepared(reference_outputs, known.labels)
    logits = network.pair_logits(outputs, prepared)
    positive, negative = known.positive[..., None], known.negative[..., None]
    if network.bilinear:
        each = functional.binary_cross_entropy_with_logits(
            logits, positive.expand_as(logits).float(), reduction="none"
        )
    else:
        each = _softmax_cross_entropy(network, outputs, prepared, known)
    loss = config.pair_loss * _balanced(each, positive, negative)
    if config.pixel_loss:
        classes = torch.cat([torch.zeros_like(known.labels[:1]), known.labels + 1])
        odds = network.class_logits(outputs, prepared, logits)
        each_pixel = partial_cross_entropy(odds, known.possible[:, classes], config.background_pull)
        loss = loss + config.pixel_loss * each_pixel
    if config.compares_outputs:
        temperature = config.temperature * network.temperature.exp()
        loss = loss + config.similarity_loss * similarity_loss(
            shared, shared_references, known, temperature.clamp(min=_LOWEST_TEMPERATURE)
        )
    return loss


def _softmax_cross_entropy(
    network: PairNetwork, outputs: torch.Tensor, prepared: References, known: PairTargets
) -> torch.Tensor:
    """Cross-entropy over background and all labels of every pair, shape (n, R, K)."""
    own, offset = network.target(outputs), prepared.offset
    wanted = torch.where(known.positive, known.labels + 1, torch.zeros_like(known.labels))
    reference_logit = torch.where(known.positive[..., None], prepared.own_class(), offset[..., 0])
    chosen = own.gather(1, wanted)[..., None] + reference_logit
    result: torch.Tensor = log_denominators(own, offset) - chosen
    return result


def _balanced(each: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Mean over labels of half the mean of positive and half that of negative pairs."""
    total = each.new_zeros(each.shape[1])
    for members in (positive, negative):
        weight = members.expand_as(each).float()
        total = total + 0.5 * (each * weight).sum((0, 2)) / weight.sum((0, 2)).clamp(min=1)
    return total.mean()


def similarity_loss(
    outputs: torch.Tensor,
    references: torch.Tensor,
    known: PairTargets,
    temperature: torch.Tensor | float,
) -> torch.Tensor:
    """Small where the outputs of positive pairs are close and those of negative pairs far apart.

    The semantic matching loss of MedCLIP (Wang et al. 2022, arXiv 2210.10163), to whose Eq. 8
    "Data Adaptive Few-shot Multi Label Segmentation with Foundation Model" refers: cross-entropy
    between the softmax of the cosine similarities over ``temperature`` and the distribution that is
    even over the positive partners of a pixel; the mean of each reference among all targets and
    each target among all references. Pixels without a positive partner (background) are only what
    others are told from; unknown pairs are left out.

    ``outputs`` (n, d) and ``references`` (R, K, d) are shared outputs.
    """
    unit = functional.normalize(references.flatten(0, 1), dim=1)
    logits = functional.normalize(outputs, dim=1) @ unit.T / temperature
    positive, negative = (
        kind.repeat_interleave(references.shape[1], dim=1)
        for kind in (known.positive, known.negative)
    )
    logits = logits.masked_fill(~(positive | negative), float("-inf"))
    return (_matching(logits, positive) + _matching(logits.T, positive.T)) / 2


def _matching(logits: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the rows to the even distribution over their positive columns."""
    rows = positive.any(1)
    logits, positive = logits[rows], positive[rows]
    logs = logits.log_softmax(1).masked_fill(~positive, 0.0)
    return -(logs.sum(1) / positive.sum(1)).sum() / max(1, len(logs))
