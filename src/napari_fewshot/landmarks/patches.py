"""Correlation of small patches with an image, in two or three dimensions."""

from __future__ import annotations

import math

import numpy as np

from ..types import Array

__all__ = ["correlations", "even_contrast", "vertex"]

_NOISE = 1e-3
_BROAD = (0.02, 0.04)
"""Standard deviations, as shares of the longest side, of what is a mean and what is a contrast."""


def correlations(image: Array, patches: Array, noise: float = _NOISE) -> Array:
    """Correlation, (P, ...), of patches (P, ...) with each place of an image where they lie inside.

    -1..1; variances below ``noise`` count little.
    """
    from scipy import fft

    axes = tuple(range(-image.ndim, 0))
    side = patches.shape[1:]
    count = math.prod(side)
    inner = patches - patches.mean(axis=axes, keepdims=True)
    own = np.square(inner).sum(axis=axes)
    shape = [fft.next_fast_len(n, real=True) for n in image.shape]
    valid = tuple(slice(0, n - k + 1) for n, k in zip(image.shape, side, strict=True))
    box = fft.rfftn(np.ones(side, np.float32), shape).conj()

    def within(values: Array) -> Array:
        """Sums of the box round each place."""
        found: Array = fft.irfftn(fft.rfftn(values, shape) * box, shape)[valid]
        return found

    sums, squares = within(image), within(np.square(image))
    variance = np.maximum(squares - np.square(sums) / count, 0) + noise * count
    spectrum = fft.rfftn(image, shape)
    result = np.empty((len(patches), *variance.shape), np.float32)
    for number, patch in enumerate(inner):
        shared = fft.irfftn(spectrum * fft.rfftn(patch, shape).conj(), shape)[valid]
        result[number] = shared / np.sqrt(variance * (own[number] + noise * count))
    return result


def even_contrast(plane: Array) -> Array:
    """A grey plane of mean 0 and of equal contrast everywhere."""
    from scipy import ndimage

    mean, contrast = (share * max(plane.shape) for share in _BROAD)
    flat = plane - ndimage.gaussian_filter(plane, mean)
    width = np.sqrt(ndimage.gaussian_filter(np.square(flat), contrast))
    result: Array = flat / (width + 0.01)
    return result


def vertex(values: Array, top: Array) -> Array:
    """Where a parabola through a maximum and its neighbours along each axis has its top."""
    result = np.zeros(len(top))
    for axis, at in enumerate(top):
        if 0 < at < values.shape[axis] - 1:
            step = np.eye(len(top), dtype=int)[axis]
            low, mid, high = (float(values[tuple(top + k * step)]) for k in (-1, 0, 1))
            bend = low - 2 * mid + high
            if bend < 0:
                result[axis] = np.clip(0.5 * (low - high) / bend, -0.5, 0.5)
    return result
