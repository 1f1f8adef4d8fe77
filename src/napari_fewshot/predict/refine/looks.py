"""What pixels look like, beside the pixels round them whose labels are known better."""

from __future__ import annotations

import numpy as np

from ...types import Array

__all__ = ["grey_scales", "joined_with_looks", "likeness", "noise_level"]

_WINDOW = 4 / 3
_SUPPORT = 0.5
_FLOOR = 1e-3


def grey_scales(image: Array, scales: tuple[float, ...]) -> Array:
    """Grey values, and their means round each pixel: what the pixel and its surroundings are.

    Parameters
    ----------
    image : float array, shape (C, H, W)
        A slice.
    scales : tuple of float
        Standard deviations of Gaussians in pixels; 0 for the slice itself.

    Returns
    -------
    float32 array, shape (C * len(scales), H, W)
    """
    from scipy.ndimage import gaussian_filter

    planes = [
        gaussian_filter(channel, scale) if scale else channel
        for channel in image
        for scale in scales
    ]
    return np.array(planes, dtype=np.float32)


def noise_level(image: Array) -> float:
    """Standard deviation of the noise of a slice, shape (C, H, W); the mean over channels.

    The mask of Immerkær (1996) sees neither flat parts nor straight edges; the median leaves out
    what else there is.
    """
    from scipy.ndimage import convolve

    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    spreads = [np.median(np.abs(convolve(channel, mask))) for channel in image]
    return float(np.mean(spreads)) * 1.4826 / 6


def joined_with_looks(
    odds: Array, looks: Array, wanted: Array, weight: float, reach: float, contrast: float
) -> Array:
    """Join the probabilities of pixels with what their looks say.

    The slice itself teaches where a label ends: a pixel on an edge is compared with other pixels
    on edges nearby, so that what a model has learned of edges (whether they belong to the organ)
    is kept. Two probabilities are joined with those given, as a product of powers: how probable
    the looks of the pixel are under each label nearby, and the mean of the labels of pixels
    nearby that look alike.

    Parameters
    ----------
    odds : float32 array, shape (L, H, W)
        Probabilities of the labels.
    looks, wanted, reach, contrast
        As for :func:`likeness`.
    weight : float
        Power of the two probabilities that are joined.

    Returns
    -------
    float32 array, shape (L, n)
        Of the n wanted pixels; they sum to 1.
    """
    mass, alike = likeness(looks, odds, wanted, reach, contrast)
    total = alike.sum(axis=0)
    typical = total / np.maximum(mass.sum(axis=0), 1e-6)
    # A label with few pixels in the window is taken to look like all of them together.
    likely = (alike + _SUPPORT * typical) / (mass + _SUPPORT)
    score = np.log(odds[:, wanted] + _FLOOR)
    score += weight * np.log(likely + 1e-6)
    score += weight * np.log(alike / np.maximum(total, 1e-6) + _FLOOR)
    joined: Array = np.exp(score - score.max(axis=0))
    joined /= joined.sum(axis=0)
    return joined


def likeness(
    looks: Array, odds: Array, wanted: Array, reach: float, contrast: float
) -> tuple[Array, Array]:
    """How much of each label lies round pixels, and how much of it looks like them.

    Parameters
    ----------
    looks : float32 array, shape (F, H, W)
        What is compared.
    odds : float32 array, shape (L, H, W)
        Probabilities of the labels.
    wanted : bool array, shape (H, W)
        The pixels, n of them.
    reach : float
        Standard deviation of a Gaussian over the distance, in pixels; cut off at 4/3 of it.
    contrast : float
        Standard deviation of a Gaussian over the difference of looks (its root mean square).

    Returns
    -------
    mass : float32 array, shape (L, n)
        Sum of the odds of the pixels round each, weighted by distance; without its own.
    alike : float32 array, shape (L, n)
        The same, weighted by the likeness of the looks as well.
    """
    far = int(np.ceil(reach * _WINDOW))
    padding = ((0, 0), (far, far), (far, far))
    looks = np.pad(looks, padding, mode="edge")
    odds = np.pad(odds, padding)
    width = looks.shape[2]
    rows, columns = np.nonzero(wanted)
    places = (rows + far) * width + columns + far
    looks, odds = looks.reshape(len(looks), -1), odds.reshape(len(odds), -1)
    own = looks[:, places]
    mass = np.zeros((len(odds), len(places)), np.float32)
    alike = np.zeros_like(mass)
    scale = -0.5 / (len(looks) * contrast**2)
    for down in range(-far, far + 1):
        for right in range(-far, far + 1):
            square = down * down + right * right
            if square > far * far or square == 0:
                continue
            there = places + (down * width + right)
            part = odds[:, there] * np.float32(np.exp(-0.5 * square / reach**2))
            gap = looks[:, there] - own
            mass += part
            alike += part * np.exp(scale * np.einsum("fn,fn->n", gap, gap))
    return mass, alike
