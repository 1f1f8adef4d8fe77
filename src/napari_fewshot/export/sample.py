"""An image by formula, and what a model makes of it: what exports are checked with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..features.encode import context_slices
from ..predict.predictor import PredictionRequest, VolumePredictor
from ..slices.stack import SliceStack
from ..types import Array, Volume

__all__ = ["Sample", "make_sample", "seen"]

_SIDES = (160, 192)
_STRUCTURES = 24


@dataclass(frozen=True, eq=False)
class Sample:
    """Slices of an image as a network is given them, and the answer of the model.

    Parameters
    ----------
    raw : float32 array, shape (N, C, H, W)
        Grey values as in a file.
    image : float32 array, shape (N, C, H, W), or (N, C, S, H, W) with neighbours
        The same in 0..1.
    depth : float32 array, shape (N, 1)
        Where in the volume each slice lies, from -1 to 1.
    labels, confidence : array, shape (N, H, W)
        What the model says, before clean-up, of each slice alone.
    """

    raw: Array
    image: Array
    depth: Array
    labels: Array
    confidence: Array


def make_sample(predictor: VolumePredictor, count: int, reach: int = 0) -> Sample:
    """Make ``count`` slices of bright and dark disks on a slope with noise, and predict them.

    Each comes with ``reach`` neighbours on each side, where that is not 0.
    """
    model = predictor.model
    intensity, axis = model.config.intensity, model.axes[0]
    low, high = (intensity.low, intensity.high) if intensity.mode == "window" else (0.0, 1000.0)
    raw = (low + (high - low) * _disks(count, model.channels)).astype(np.float32)
    volume = _as_volume(raw, axis, intensity.channels)
    stack = SliceStack(volume, axis, intensity)
    slices = predictor.slices(volume, PredictionRequest(axis, landmarks=False))
    found = [slices.preview(index) for index in range(count)]
    corner = np.zeros(1, int)
    depth = [stack.position(index).columns(corner)[:, axis] for index in range(count)]
    return Sample(
        np.ascontiguousarray(np.moveaxis(raw, -1, 1)),
        np.stack([seen(stack, index, reach) for index in range(count)]),
        np.stack(depth),
        np.stack([one.labels for one in found]),
        np.stack([one.confidence for one in found]),
    )


def seen(stack: SliceStack, index: int, reach: int) -> Array:
    """What a network sees of a slice, (C, H, W), or with its neighbours (C, S, H, W)."""
    if not reach:
        return stack.slice(index)
    near = context_slices(index, len(stack), reach)
    return np.stack([stack.slice(k) for k in near], axis=1)


def _as_volume(raw: Array, axis: int, chosen: tuple[int, ...] | None) -> Volume:
    """Volume of slices (N, H, W, C) along an axis; where channels are chosen, with others too."""
    data = np.moveaxis(raw, 0, axis)
    if chosen is not None:
        whole = np.zeros((*data.shape[:-1], max(chosen) + 1), data.dtype)
        whole[..., list(chosen)] = data
        data = whole
    if data.shape[-1] == 1:
        return Volume(data[..., 0], (1.0,) * 3)
    return Volume(data, (1.0,) * 3, has_channels=True)


def _disks(count: int, channels: int) -> Array:
    """Slices (N, H, W, C), about 0..1."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices(_SIDES)
    image = np.empty((count, *_SIDES, channels))
    image[:] = 0.2 + 0.2 * (columns / _SIDES[1])[..., None]
    for _ in range(_STRUCTURES):
        row, column, radius = rng.uniform((0, 0, 4), (*_SIDES, 30))
        inside = np.hypot(rows - row, columns - column) < radius
        image[:, inside] += rng.uniform(-0.2, 0.4, channels)
    image += rng.normal(0, 0.03, image.shape)
    return image
