"""Features of a like spread, column by column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..types import Array

__all__ = ["Standardiser"]

_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Subtracts a mean and multiplies by a scale (C,), column by column.

    Columns that did not vary in the templates have scale 0: nothing can be learned from them, and a
    division by their spread would blow noise up.
    """

    mean: Array
    scale: Array

    @classmethod
    def of(cls, features: Array, position: int = 0, position_weight: float = 1.0) -> Standardiser:
        """Take the statistics of samples, shape (N, C), of which the last are position."""
        mean = features.mean(axis=0, dtype=np.float64)
        blocks = range(0, features.shape[1], 8)  # of columns: each makes a copy in float64
        spread = np.concatenate(
            [features[:, k : k + 8].std(axis=0, dtype=np.float64) for k in blocks]
        )
        flat = spread <= _FLAT * np.maximum(1.0, np.abs(mean))
        scale = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, spread))
        if position:
            scale[-position:] *= position_weight
        return cls(mean.astype(np.float32), scale.astype(np.float32))

    @classmethod
    def identity(cls, columns: int) -> Standardiser:
        """Leave vectors of so many columns as they are."""
        return cls(np.zeros(columns, np.float32), np.ones(columns, np.float32))

    def apply(self, features: Array, out: Array | None = None) -> Array:
        """Standardise vectors, shape (n, C), float32; ``out`` may be the same array."""
        result: Array = np.subtract(features, self.mean, out=out)
        result *= self.scale
        return result
