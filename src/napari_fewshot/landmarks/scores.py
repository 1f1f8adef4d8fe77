"""How probable it is that a landmark lies within a tolerance, by templates that were left out."""

from __future__ import annotations

import numpy as np

from ..config import Tolerance
from ..types import Array

__all__ = ["LEAST_TEMPLATES", "probabilities", "tolerance_share"]

LEAST_TEMPLATES = 3
"""With fewer, scores are not calibrated."""
_STEPS = 30
_PRIOR = 0.25
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
    if len(trials) == 0:
        return np.clip(sure, 0, 1)
    x = _logit(trials[:, 0])
    hit = (trials[:, 1] <= share).astype(float)
    slope, offset = 1.0, 0.0
    for _ in range(_STEPS):  # Newton's method; the prior keeps the matrix regular
        p = 1 / (1 + np.exp(-(slope * x + offset)))
        weight = p * (1 - p)
        gradient = np.array([(x * (hit - p)).sum(), (hit - p).sum()])
        gradient -= _PRIOR * np.array([slope - 1, offset])
        matrix = np.array(
            [[(weight * x * x).sum(), (weight * x).sum()], [(weight * x).sum(), weight.sum()]]
        )
        step = np.linalg.solve(matrix + _PRIOR * np.eye(2), gradient)
        slope, offset = slope + step[0], offset + step[1]
    if slope < 0:
        return np.full(len(sure), (hit.sum() + 1) / (len(hit) + 2))
    found: Array = 1 / (1 + np.exp(-(slope * _logit(sure) + offset)))
    return found


def _logit(sure: Array) -> Array:
    p = np.clip(sure, _LEAST, 1 - _LEAST)
    found: Array = np.log(p / (1 - p))
    return found
