"""Episodes: several images of one random anatomy, with the region of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .anatomy import Anatomy, draw_anatomy
from .appearance import draw_look, normalise, render
from .noise import NoiseBank, bank_of

__all__ = ["Batch", "Episode", "draw_batch", "draw_episode"]

Rng = np.random.Generator

_MARGIN = 1.25
_POSE = {"body": 0.12, "crop": 0.15, "cells": 3.0, "tissue": 3.0}


@dataclass(frozen=True, eq=False)
class Episode:
    """Images of one anatomy.

    Parameters
    ----------
    images : array, shape (K, 3, H, W), float32 in 0..1
    labels : array, shape (K, H, W), int16
        Region of each pixel; numbers mean the same in all images of the episode.
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Batch:
    """Episodes of one training step, with the pixels that take part in the loss.

    Parameters
    ----------
    images : array, shape (E, K, 3, H, W), float32 in 0..1
    index : array, shape (E, K, P), int64
        Pixels as positions in the flattened image.
    labels : array, shape (E, K, P), int64
        Their regions.
    """

    images: npt.NDArray[np.float32]
    index: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


def _deform(
    rng: Rng, bank: NoiseBank, labels: npt.NDArray[np.int16], size: int, pose: float, bend: float
) -> npt.NDArray[np.int16]:
    """Take ``size`` × ``size`` pixels out of ``labels`` by a random affine and smooth map."""
    axis = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    y, x = np.broadcast_arrays(axis[:, None], axis[None, :])
    angle = rng.normal(0, pose)
    scale = np.exp(rng.normal(0, 0.06) + rng.normal(0, 0.04, 2))
    shift = rng.normal(0, 0.03 * size, 2)
    yy = scale[0] * (y * np.cos(angle) - x * np.sin(angle)) + shift[0]
    xx = scale[1] * (y * np.sin(angle) + x * np.cos(angle)) + shift[1]
    for wavelength, amplitude in ((60.0, bend), (18.0, 0.35 * bend), (8.0, 0.35)):
        yy = yy + amplitude * bank.band(rng, wavelength, size)
        xx = xx + amplitude * bank.band(rng, wavelength, size)
    middle, last = (labels.shape[0] - 1) / 2, labels.shape[0] - 1
    rows = np.clip(np.rint(yy + middle), 0, last).astype(np.intp)
    columns = np.clip(np.rint(xx + middle), 0, last).astype(np.intp)
    moved: npt.NDArray[np.int16] = labels[rows, columns]
    return moved


def draw_episode(rng: Rng, bank: NoiseBank, size: int, images: int) -> Episode:
    """Draw one episode.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    bank : NoiseBank
        Where noise is drawn from.
    size : int
        Side of the images in pixels.
    images : int
        Number of images K.
    """
    anatomy: Anatomy = draw_anatomy(rng, bank, int(size * _MARGIN))
    look = draw_look(rng, anatomy.regions, anatomy.kind)
    change, bend = rng.uniform(0.3, 1.4), rng.uniform(0.5, 4.0)
    pose = _POSE[anatomy.kind] * rng.uniform(0.2, 1.5)
    labels = [
        _deform(rng, bank, anatomy.paint(rng, change), size, pose, bend) for _ in range(images)
    ]
    pictures = normalise(rng, look, [render(rng, bank, look, m) for m in labels])
    return Episode(np.stack(pictures), np.stack(labels))


def _choose_pixels(rng: Rng, labels: npt.NDArray[np.int16], count: int) -> npt.NDArray[np.int64]:
    """Choose pixels of a label map: half of them anywhere, half balanced over the regions."""
    flat = labels.ravel()
    share = 1.0 / np.maximum(np.bincount(flat), 1)[flat]
    cumulative = np.cumsum(share / share.sum() + 1.0 / flat.size)
    at = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], count), side="right")
    return np.minimum(at, flat.size - 1).astype(np.int64)


def draw_batch(
    seed: int, step: int, sizes: tuple[tuple[int, int], ...], images: int, pixels: int
) -> Batch:
    """Draw the batch of one training step; a pure function of its arguments.

    Parameters
    ----------
    seed, step : int
        What the batch depends on.
    sizes : tuple of (side, episodes)
        One of them is chosen at random for each step.
    images : int
        Images K of each episode.
    pixels : int
        Pixels P of each image that take part in the loss.
    """
    rng = np.random.default_rng([seed, 11, step])
    size, count = sizes[rng.integers(len(sizes))]
    episodes = [draw_episode(rng, bank_of(seed), size, images) for _ in range(count)]
    index = [[_choose_pixels(rng, m, pixels) for m in e.labels] for e in episodes]
    labels = [
        [m.ravel()[i] for m, i in zip(e.labels, ii, strict=True)]
        for e, ii in zip(episodes, index, strict=True)
    ]
    return Batch(
        np.stack([e.images for e in episodes]),
        np.asarray(index, dtype=np.int64),
        np.asarray(labels, dtype=np.int64),
    )
