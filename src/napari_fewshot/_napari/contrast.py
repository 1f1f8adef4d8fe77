"""What is black and what is white when an image is opened: napari takes the extremes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import Array

__all__ = ["contrast_limits"]

_SLICES, _SIDE = 24, 96
"""Slices that are looked at, and pixels along each of their sides."""
_AIR, _BODY = -900.0, -400.0
"""Hounsfield units: what is below the first is air, what is above the second is a body."""
_FEW = 0.001


def contrast_limits(data: Any) -> tuple[float, float] | None:
    """Limits for a grey image (..., rows, columns); None where napari's own are good.

    A CT is shown by the values of the body, not by air and metal. In any other image a few extreme
    values do not darken all the others.
    """
    values = _some(data)
    if values.dtype == np.uint8 or values.size < 2:
        return None
    low, high = (float(v) for v in (values.min(), values.max()))
    if low <= _AIR and np.mean(values <= _AIR) > _FEW:
        body = values[values > _BODY]
        if body.size > _FEW * values.size:
            return _distinct(*np.percentile(body, (2, 97)))
    bottom, top = np.percentile(values, (100 * _FEW, 100 - 100 * _FEW))
    return _distinct(bottom, top) if top - bottom < (high - low) / 2 else None


def _distinct(low: Any, high: Any) -> tuple[float, float] | None:
    return (float(low), float(high)) if low < high else None


def _some(data: Any) -> Array:
    """Finite values of some slices; of an array on disk no other is read."""
    *leading, rows, columns = data.shape
    steps = slice(None, None, max(1, rows // _SIDE)), slice(None, None, max(1, columns // _SIDE))
    count = int(np.prod(leading, dtype=int))
    places = np.unique(np.linspace(0, count - 1, min(count, _SLICES)).astype(int))
    planes = [np.asarray(data[(*np.unravel_index(k, leading), *steps)]) for k in places]
    values = np.stack(planes) if planes else np.zeros(0)
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values.reshape(-1)
