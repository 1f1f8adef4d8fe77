"""How probable it is that a landmark lies within a tolerance, by templates that were left out."""

from __future__ import annotations

import numpy as np

from ..config import Tolerance
from ..types import Array

__all__ = ["LEAST_TEMPLATES", "probabilities", "tolerance_share"]

LEAST_TEMPLATES = 3
"""With fewer, scores are not calibrated."""
_STEPS = 60
_ENOUGH = 1e-6
_PRIOR = 1.0
"""Weight of the belief that slope and offset are 1 and 0: a few trials do not overrule it."""
_LEAST = 1e-3


def tolerance_share(tolerance: Tolerance, extent: Array, spacing: Array) -> float:
    """A tolerance as a share of the longest side of an image."""
    longest = float(np.max(extent))
    if tolerance.unit == "%":
        return tolerance.value / 100
    size = 1.0 if tolerance.unit == "mm" else float(np.min(spacing))
    return tolerance.value * size / longest


def probabilities(sure: Array, trials: Array, share: float) -> Array:
    """Probability that each error is at most a share of the image's longest side.

    ``sure``, (L,), is what was found; ``trials``, (N, 2), is that of points in templates that were
    left out, with their errors in such shares: a logistic curve over the logarithm is fitted to
    them (Platt 1999), rising or flat. Without trials, what is sure is returned as it is, 1 at most.
    """
    from scipy.special import expit

    if len(trials) == 0:
        return np.clip(sure, 0, 1)
    x = _logit(trials[:, 0])
    right = trials[:, 1] <= share
    low, high = 1 / (2 + (~right).sum()), 1 - 1 / (2 + right.sum())  # none is certain (Platt)
    hit = np.where(right, high, low)
    slope, offset = _fitted(x, hit)
    if slope < 0:
        return np.full(len(sure), (right.sum() + 1) / (len(right) + 2))
    found: Array = expit(slope * _logit(sure) + offset)
    return found


def _fitted(x: Array, hit: Array) -> tuple[float, float]:
    """Slope and offset of the logistic curve: Newton's method, each step as short as it has to be.

    The prior keeps the matrix regular. Where nearly all trials are taken for certain at first,
    whole steps would lead away from the best.
    """
    from scipy.special import expit

    usual = np.array([1.0, 0.0])

    def loss(found: Array) -> float:
        odds = found[0] * x + found[1]
        own = np.logaddexp(0, odds) - hit * odds
        return float(own.sum() + _PRIOR * np.square(found - usual).sum() / 2)

    found = usual
    for _ in range(_STEPS):
        p = expit(found[0] * x + found[1])
        weight = p * (1 - p)
        columns = np.stack([x, np.ones_like(x)])
        gradient = columns @ (hit - p) - _PRIOR * (found - usual)
        step = np.linalg.solve((weight * columns) @ columns.T + _PRIOR * np.eye(2), gradient)
        now = loss(found)
        while loss(found + step) > now and np.abs(step).max() > _ENOUGH:
            step = step / 2
        found = found + step
        if np.abs(step).max() <= _ENOUGH:
            break
    return float(found[0]), float(found[1])


def _logit(sure: Array) -> Array:
    """Log-odds of probabilities, none of which is taken for 0 or 1."""
    p = np.clip(sure, _LEAST, 1 - _LEAST)
    found: Array = np.log(p / (1 - p))
    return found
