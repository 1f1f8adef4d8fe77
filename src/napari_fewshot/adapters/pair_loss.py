"""The loss of the contrastive adapter, over all pairs of some targets and references."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from ..config import ContrastiveConfig
from .pairs import PairNetwork, References, log_denominators
from .training import partial_cross_entropy

__all__ = ["PairTargets", "near_pairs", "pair_loss", "similarity_term"]


@dataclass(frozen=True, eq=False)
class PairTargets:
    """What is known of the target pixels.

    Parameters
    ----------
    possible : bool tensor, shape (n, L + 1)
        Classes that each target may have; one for a painted pixel.
    labels : int tensor, shape (R,)
        Zero-based labels that have references.
    near : bool tensor, shape (n, R, K), optional
        Pairs whose pixels lie too close together to count as negative.
    """

    possible: torch.Tensor
    labels: torch.Tensor
    near: torch.Tensor | None = None

    @property
    def positive(self) -> torch.Tensor:
        """Whether target and reference row share their label, shape (n, R)."""
        certain = self.possible.sum(1, keepdim=True) == 1
        return self.possible[:, self.labels + 1] & certain

    @property
    def negative(self) -> torch.Tensor:
        """Whether the target is known not to have the label of the row, shape (n, R)."""
        return ~self.possible[:, self.labels + 1]


def pair_loss(
    network: PairNetwork,
    targets: torch.Tensor,
    references: torch.Tensor,
    known: PairTargets,
    config: ContrastiveConfig,
) -> torch.Tensor:
    """Cross-entropy on the class of every pair, and of the averaged pairs of every pixel.

    Parameters
    ----------
    network : PairNetwork
        Network and head, in training.
    targets : tensor, shape (n, C)
        Standardised features of target pixels.
    references : tensor, shape (R, K, C)
        Features of K reference pixels of each label in ``known.labels``.
    known : PairTargets
        What is known of the targets.
    config : ContrastiveConfig
        Weights of the terms.

    Notes
    -----
    Positive and negative pairs of a label weigh the same. Pairs of which nothing is known (the
    label was not looked for at the target) do not count. The pixel loss is the cross-entropy
    of what a prediction would say, with these references.
    """
    outputs = network.shared(targets)
    prepared = network.references(references, known.labels)
    logits = network.pair_logits(outputs, prepared)
    positive, negative = known.positive[..., None], known.negative[..., None]
    if network.bilinear:
        each = functional.binary_cross_entropy_with_logits(
            logits, positive.expand_as(logits).float(), reduction="none"
        )
    else:
        each = _softmax_cross_entropy(network, outputs, prepared, known)
    far = negative if known.near is None else negative & ~known.near
    loss = config.pair_loss * _balanced(each, positive, far)
    if config.pixel_loss:
        classes = torch.cat([torch.zeros_like(known.labels[:1]), known.labels + 1])
        odds = network.class_logits(outputs, prepared, logits)
        each_pixel = partial_cross_entropy(odds, known.possible[:, classes], config.background_pull)
        loss = loss + config.pixel_loss * each_pixel
    if config.similarity_loss:
        reference_outputs = network.shared(references)
        loss = loss + config.similarity_loss * similarity_term(
            outputs, reference_outputs, positive, negative
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


def near_pairs(targets: torch.Tensor, references: torch.Tensor, distance: float) -> torch.Tensor:
    """Pairs of one slice whose pixels are closer than a distance, shape (n, R, K).

    Parameters
    ----------
    targets : tensor, shape (n, 3)
        Example number, row and column of each target.
    references : tensor, shape (R, K, 3)
        The same of each reference.
    distance : float
        In pixels.
    """
    flat = references.reshape(-1, 3)
    same = targets[:, None, 0] == flat[None, :, 0]
    near = same & (torch.cdist(targets[:, 1:], flat[:, 1:]) < distance)
    return near.view(len(targets), *references.shape[:2])


def similarity_term(
    outputs: torch.Tensor, references: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor
) -> torch.Tensor:
    """Pull the outputs of positive pairs together, push those of negative pairs apart.

    One minus the cosine similarity of positive pairs plus the positive part of that of
    negative pairs, each kind averaged.

    Parameters
    ----------
    outputs : tensor, shape (n, d)
        Shared outputs of the targets.
    references : tensor, shape (R, K, d)
        Shared outputs of the references.
    positive, negative : bool tensor, shape (n, R, 1)
        Kind of the pairs of a target with a row of references.
    """
    left = functional.normalize(outputs, dim=1)
    right = functional.normalize(references, dim=2)
    cosine = torch.einsum("nd,rkd->nrk", left, right)
    pull = ((1 - cosine) * positive).sum() / (positive.sum() * cosine.shape[2]).clamp(min=1)
    push = (cosine.relu() * negative).sum() / (negative.sum() * cosine.shape[2]).clamp(min=1)
    return pull + push
