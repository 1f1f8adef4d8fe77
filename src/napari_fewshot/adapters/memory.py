"""Pixels that a model keeps of what it learned from, to learn on when the images are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from ..templates.pixels import Samples
from ..types import Array
from .base import AdapterState

__all__ = ["Remembered", "remembered_count"]

_PREFIX = "memory."
_MAX_MAGNITUDE = 6e4
"""Largest magnitude that float16 holds, nearly."""


@dataclass(frozen=True, eq=False)
class Remembered:
    """A sample of the pixels that an adapter learned from.

    Parameters
    ----------
    features : float32 array, shape (N, C)
        As the samples had them, position columns last; kept standardised, in float16.
    classes : int64 array, shape (N,)
        0 for background, else one more than the number of the label.
    possible : bool array, shape (N, L + 1)
        Classes that each pixel may have, as of :class:`~.templates.pixels.Samples`.
    frequency : float array, shape (L + 1,)
        Part of each class among all known pixels.
    known : int
        Number of these.
    """

    features: Array
    classes: Array
    possible: Array
    frequency: Array
    known: int

    @classmethod
    def of(cls, samples: Samples, most: int, seed: int) -> Self | None:
        """Draw at most so many pixels, half of them background; None of none.

        Labels have like parts of the other half, or all their pixels where these are fewer.
        """
        rng = np.random.default_rng([seed, 1])
        counts = np.bincount(samples.classes, minlength=samples.class_count)
        quota = np.zeros_like(counts)
        quota[1:] = _shared(counts[1:], most // 2)
        quota[0] = min(counts[0], most - quota[1:].sum())
        chosen = [
            rng.choice(np.flatnonzero(samples.classes == c), quota[c], replace=False)
            for c in range(len(counts))
            if quota[c]
        ]
        if not chosen:
            return None
        rows = np.sort(np.concatenate(chosen))
        own = samples.features[rows], samples.classes[rows], samples.possible[rows]
        return cls(*own, samples.frequency, samples.known)

    def joined(self, samples: Samples, before: Sequence[int]) -> Samples:
        """Samples with these behind them; ``before`` are the labels that these know.

        Nobody looked for the other labels of the samples here: what is background may be those.
        """
        values = np.array([0, *samples.label_values])
        columns = np.searchsorted(values, [0, *before])
        possible = np.zeros((len(self.classes), len(values)), dtype=bool)
        possible[:, columns] = self.possible
        new = np.setdiff1d(np.arange(len(values)), columns)
        possible[np.ix_(self.classes == 0, new)] = True
        known = samples.known + self.known
        frequency = samples.frequency * samples.known
        frequency[columns] += self.frequency * self.known
        nowhere = np.full((len(self.classes), 3), -1, samples.places.dtype)
        return replace(
            samples,
            features=np.concatenate([samples.features, self.features]),
            classes=np.concatenate([samples.classes, columns[self.classes]]),
            possible=np.concatenate([samples.possible, possible]),
            places=np.concatenate([samples.places, nowhere]),
            frequency=frequency / max(1, known),
            known=known,
        )

    def packed(self, mean: Array, scale: Array) -> tuple[dict[str, Array], dict[str, Any]]:
        """Tensors and JSON-ready values; features lose their ``mean`` (C,), times ``scale``."""
        vectors = np.clip((self.features - mean) * scale, -_MAX_MAGNITUDE, _MAX_MAGNITUDE)
        tensors = {
            "features": vectors.astype(np.float16),
            "classes": self.classes.astype(np.int32),
            "possible": self.possible,
        }
        values = {"frequency": self.frequency.tolist(), "known": self.known}
        return {_PREFIX + name: tensor for name, tensor in tensors.items()}, values

    @classmethod
    def unpacked(
        cls, tensors: dict[str, Array], values: dict[str, Any], mean: Array, scale: Array
    ) -> Self:
        """What :meth:`packed` gave; ValueError or KeyError if parts do not fit each other."""
        vectors, classes, possible = (
            tensors[_PREFIX + name] for name in ("features", "classes", "possible")
        )
        frequency = np.array(values["frequency"], dtype=float)
        if vectors.shape != (len(classes), len(mean)) or classes.ndim != 1:
            raise ValueError(f"remembered pixels of shape {vectors.shape}")
        if possible.shape != (len(classes), len(frequency)) or frequency.ndim != 1:
            raise ValueError(f"remembered classes of shape {possible.shape}")
        if len(classes) and not 0 <= classes.min() <= classes.max() < len(frequency):
            raise ValueError(f"remembered classes up to {classes.max()}")
        if not (np.isfinite(frequency).all() and (frequency >= 0).all()):
            raise ValueError("shares of classes that are none")
        spread = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
        features = vectors.astype(np.float32) * spread + mean
        known = int(values["known"])
        return cls(features, classes.astype(np.int64), possible.astype(bool), frequency, known)


def remembered_count(state: AdapterState | None) -> int:
    """How many pixels the state of an adapter has."""
    classes = None if state is None else state.tensors.get(f"{_PREFIX}classes")
    return 0 if classes is None else len(classes)


def _shared(counts: Array, most: int) -> Array:
    """Share so many pixels out: like parts, but no more than there are."""
    quota = np.zeros_like(counts)
    for rank, c in enumerate(np.argsort(counts, kind="stable").tolist()):
        quota[c] = min(counts[c], (most - quota.sum()) // (len(counts) - rank))
    return quota
