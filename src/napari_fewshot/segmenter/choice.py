"""Weights of the experts, chosen on slices that took no part in the training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np

from ..config import Companion, hand_made_of
from ..predict.experts import fused_plane
from ..predict.learned import ExpertWeights
from ..templates.known import UNKNOWN, KnownSlice
from ..types import Array

__all__ = ["HeldOutSlice", "choose_weights"]

_HAND_MADE = (0.0, 0.2, 0.5, 0.8)
_ELSEWHERE = (0.0, 0.2, 0.35)
_GREY = (0.0, 1 / 3, 2 / 3)
_CARRIED = (0.0, 0.5, 2.0)
_REGISTERED = (0.0, 0.5, 2.0)
_PAINTED = ("hand_made", "carried")
_OTHERS = ("elsewhere", "registered")
"""Names of the weights that are chosen where slices, or whole images, are left out."""
_TEMPERATURES = (0.6, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2)
_PIXELS = 20_000
"""Of each slice, drawn at random: enough to tell weights apart."""
_MARGIN = 0.03
"""Share of the log loss that others must be better by than the usual weights ..."""
_ERRORS = 1.0
"""... and by so many standard errors over slices: a choice by noise is worse than none."""
_MIN_SLICES = 3
_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class HeldOutSlice:
    """What experts that did not learn from a slice say of it.

    Parameters
    ----------
    known : KnownSlice
    planes : tuple of array
        Probabilities, (L + 1, H, W), of the adapter on the features of the backbone, and of those
        beside it ...
    beside : tuple of str
        ... with their names.
    carried : array, optional
        Likelihoods of carried labels, or of registered ones in another image, (L + 1, H, W); None
        where no paint leads to the slice.
    carried_weight : float
        Share of the weight of these that they have here.
    learned : frozenset of int
        Labels, 0 for background, that the experts could learn without it.
    """

    known: KnownSlice
    planes: tuple[Array, ...]
    beside: tuple[Companion, ...]
    carried: Array | None
    carried_weight: float
    learned: frozenset[int]

    def fused(self, weights: ExpertWeights, painted: bool) -> Array:
        """Probabilities, (L + 1, H, W), of all experts; ``painted``: as in the painted image."""
        shares = weights.shares(self.beside, is_painted=painted)
        used = [(p, share) for p, share in zip(self.planes, shares, strict=True) if share > 0]
        weight = weights.carried if painted else weights.registered
        return fused_plane(
            [plane for plane, _ in used],
            [share for _, share in used],
            self.carried,
            weight * self.carried_weight,
        )


def choose_weights(
    slices: Sequence[HeldOutSlice],
    label_values: Sequence[int],
    usual: ExpertWeights,
    painted: bool,
) -> ExpertWeights:
    """Choose the weights by which held-out slices are predicted best, if that is clear.

    Candidates are compared by their log loss at the best temperature of each, since an expert that
    is only too sure of itself is no worse for it.

    Parameters
    ----------
    slices : sequence of HeldOutSlice
        All of them.
    label_values : sequence of int
        Of the classes of the planes behind background.
    usual : ExpertWeights
        Taken where no others are clearly better.
    painted : bool
        Whether slices were left out of painted images, else whole images were.
    """
    rng = np.random.default_rng(0)
    samples = [s for one in slices if (s := _Sample.of(one, label_values, rng)) is not None]
    is_carried = any(s.carried is not None for s in samples)
    beside = slices[0].beside if slices else ()
    if len(samples) < _MIN_SLICES or not (beside or is_carried):
        return usual
    pool = partial(_pooled, samples, beside, painted)
    tried = _candidates(usual, beside, painted, is_carried)
    found = {weights: _loss(pool(weights)) for weights in tried}
    best = _clearly_best(usual, _loss(pool(usual)), found)
    pooled = pool(best)
    tempered = {replace(best, temperature=t): _losses(pooled, t) for t in _TEMPERATURES}
    return _clearly_best(best, _losses(pooled, best.temperature), tempered)


def _candidates(
    usual: ExpertWeights, beside: Sequence[Companion], painted: bool, is_carried: bool
) -> list[ExpertWeights]:
    """Weights to try, of the adapters ``beside`` the first one and of carried labels."""
    share, weight = _PAINTED if painted else _OTHERS
    tried: dict[str, Iterable[float]] = {}
    if hand_made_of(beside) is not None:
        own = _HAND_MADE if painted else _ELSEWHERE
        tried[share] = sorted({*own, getattr(usual, share)})
    if "grey" in beside:
        tried["grey"] = _GREY
    if is_carried:
        tried[weight] = _CARRIED if painted else _REGISTERED
    return [
        replace(usual, **dict(zip(tried, own, strict=True))) for own in product(*tried.values())
    ]


def _clearly_best(
    usual: ExpertWeights, before: Array, candidates: dict[ExpertWeights, Array]
) -> ExpertWeights:
    """Of those that are clearly better than the usual ones the best, by the loss of each slice."""
    best, lowest = usual, float(before.mean())
    for weights, losses in candidates.items():
        gain = before - losses
        error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
        clear = gain.mean() > max(_MARGIN * before.mean(), _ERRORS * error)
        if clear and losses.mean() < lowest:
            best, lowest = weights, float(losses.mean())
    return best


@dataclass(frozen=True, eq=False)
class _Sample:
    """Logarithms at some pixels of a slice, (n, L + 1), and which classes are right there."""

    planes: list[Array]
    carried: Array | None
    right: Array

    @classmethod
    def of(
        cls, one: HeldOutSlice, label_values: Sequence[int], rng: np.random.Generator
    ) -> _Sample | None:
        values = np.array([0, *label_values])
        labels = one.known.labels.reshape(-1)
        known = np.flatnonzero((labels != UNKNOWN) & np.isin(labels, list(one.learned)))
        if not len(known):
            return None
        chosen = np.sort(rng.permutation(known)[:_PIXELS])
        right = labels[chosen, None] == values
        unknown = [v > 0 and int(v) not in one.known.known_labels for v in values]
        right |= (labels[chosen] == 0)[:, None] & np.array(unknown)

        def at(plane: Array, floor: float) -> Array:
            pixels = plane.reshape(len(plane), -1)[:, chosen].T.astype(np.float32)
            return np.log(np.maximum(pixels, floor))

        carried = None
        if one.carried is not None:
            carried = np.float32(one.carried_weight) * at(one.carried, 0.01)
        return cls([at(plane, 1e-4) for plane in one.planes], carried, right)


def _loss(pooled: Sequence[tuple[Array, Array]]) -> Array:
    """Log loss of each slice, at the temperature at which their mean is lowest."""
    tried = [_losses(pooled, temperature) for temperature in _TEMPERATURES]
    return min(tried, key=lambda losses: float(losses.mean()))


def _pooled(
    samples: Sequence[_Sample], beside: Sequence[Companion], painted: bool, weights: ExpertWeights
) -> list[tuple[Array, Array]]:
    """Weighted sums of logarithms, (n, L + 1), of each slice, and which classes are right."""
    shares = weights.shares(beside, is_painted=painted)
    carried = weights.carried if painted else weights.registered
    pooled = []
    for one in samples:
        weighted = [share * plane for share, plane in zip(shares, one.planes, strict=True)]
        logs: Array = np.sum(weighted, axis=0)
        if one.carried is not None and carried:
            logs = logs + carried * one.carried
        pooled.append((logs, one.right))
    return pooled


def _losses(pooled: Sequence[tuple[Array, Array]], temperature: float) -> Array:
    return np.array([_mean_loss(logs / temperature, right) for logs, right in pooled])


def _mean_loss(logs: Array, right: Array) -> float:
    logs = logs - logs.max(axis=1, keepdims=True)
    odds = np.exp(logs)
    share = (odds * right).sum(axis=1) / odds.sum(axis=1)
    return float(-np.log(np.maximum(share, _FLOOR)).mean())
