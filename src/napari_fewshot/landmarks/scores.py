"""How probable it is that a landmark lies within a tolerance, by templates that were left out."""

from __future__ import annotations

import numpy as np

from ..config import Tolerance
from ..types import Array
from .placed import REACHES

__all__ = ["LEAST_TEMPLATES", "logit", "probabilities", "sure_within", "tolerance_share"]

LEAST_TEMPLATES = 3
"""With fewer, scores are not calibrated."""
_STEPS = 30
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


def sure_within(sure: Array, share: float) -> Array:
    """How sure (L,) each place is to a share of the longest side, of (L, R) for ``REACHES``."""
    reaches, known = np.array([0.0, *REACHES]), np.pad(sure, ((0, 0), (1, 0)))
    k = min(int(np.searchsorted(reaches, share)), len(reaches) - 1)
    part = min((share - reaches[k - 1]) / (reaches[k] - reaches[k - 1]), 1.0)
    found: Array = known[:, k - 1] + part * (known[:, k] - known[:, k - 1])
    return found


def probabilities(sure: Array, trials: Array, share: float) -> Array:
    """Probability that each error is at most a share of the image's longest side.

    ``sure``, (L,), is what was found; ``trials``, (N, 2), is that of points in templates that were
    left out, with their errors in such shares: a logistic curve over the logarithm is fitted to
    them (Platt 1999), rising or flat. Without trials, what is sure is returned as it is, 1 at most.
    """
    from scipy.special import expit

    if len(trials) == 0:
        return np.clip(sure, 0, 1)
    x = logit(trials[:, 0])
    right = trials[:, 1] <= share
    low, high = 1 / (2 + (~right).sum()), 1 - 1 / (2 + right.sum())  # none is certain (Platt)
    hit = np.where(right, high, low)
    slope, offset = 1.0, 0.0
    for _ in range(_STEPS):  # Newton's method; the prior keeps the matrix regular
        p = expit(slope * x + offset)
        weight = p * (1 - p)
        gradient = np.array([(x * (hit - p)).sum(), (hit - p).sum()])
        gradient -= _PRIOR * np.array([slope - 1, offset])
        matrix = np.array(
            [[(weight * x * x).sum(), (weight * x).sum()], [(weight * x).sum(), weight.sum()]]
        )
        step = np.linalg.solve(matrix + _PRIOR * np.eye(2), gradient)
        slope, offset = slope + step[0], offset + step[1]
    if slope < 0:
        return np.full(len(sure), (right.sum() + 1) / (len(right) + 2))
    found: Array = expit(slope * logit(sure) + offset)
    return found


def logit(sure: Array) -> Array:
    """Log-odds of probabilities, none of which is taken for 0 or 1."""
    p = np.clip(sure, _LEAST, 1 - _LEAST)
    found: Array = np.log(p / (1 - p))
    return found
