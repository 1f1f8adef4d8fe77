"""Episodes: several images of one random anatomy, with the region of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .anatomy import Anatomy, Labels, Rng, draw_anatomy
from .appearance import draw_look, normalise, render
from .axons import Axons
from .neuropil import Neuropil
from .noise import NoiseBank, bank_of
from .scanner import draw_zoom
from .smears import Smear
from .windows import Image, draw_twins, draw_window, resized

__all__ = ["Batch", "Episode", "draw_batch", "draw_episode"]

_MARGIN = 1.25
_POSE = {"body": 0.12, "crop": 0.15}
_TURNED = 3.0
"""Standard deviation of the turn, in radians, of what has no upright pose."""
_FAMILIES = ((Neuropil, 0.13), (Axons, 0.08), (Smear, 0.08))
"""Families that can be laid anew for each image, and how often each is drawn."""
_ANEW = 0.6
"""How often they are."""


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
    images : tuple of K arrays, shape (E, 3, H, W), float32 in 0..1
        The sides differ from image to image of an episode.
    index : array, shape (E, K, P), int64
        Pixels as positions in the flattened image.
    labels : array, shape (E, K, P), int64
        Their regions.
    again : array, shape (A, 3, H, W), float32
        Other parts of the first images of the first A episodes.
    twins : array, shape (2, A, Q), int64
        Pixels of the first images, and the same pixels in ``again``.
    """

    images: tuple[Image, ...]
    index: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    again: Image
    twins: npt.NDArray[np.int64]


def _deform(
    rng: Rng, bank: NoiseBank, labels: Labels, size: int, pose: float, bend: float
) -> Labels:
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
    # Mirrored beyond the plane, of which a turned image may ask for more than there is.
    rows, columns = (
        np.clip(last - np.abs(last - np.abs(np.rint(at + middle))), 0, last).astype(np.intp)
        for at in (yy, xx)
    )
    moved: Labels = labels[rows, columns]
    return moved


def _family(rng: Rng) -> type[Neuropil | Axons | Smear] | None:
    at = rng.random()
    for family, often in _FAMILIES:
        at -= often
        if at < 0:
            return family
    return None


def _lay(
    rng: Rng, bank: NoiseBank, size: int, images: int
) -> tuple[list[Anatomy], list[int], tuple[str, ...]]:
    """Draw the anatomy of each image, most often the same one, its side, and roles of regions."""
    family = _family(rng)
    zooms = draw_zoom(rng, images, 0.25 if family is None else 0.5)
    sides = [round(size / zoom) for zoom in zooms]
    if family is None:
        return [draw_anatomy(rng, bank, int(size * _MARGIN))] * images, sides, ()
    style = family.draw(rng, size)
    if rng.random() < _ANEW:
        anatomies = [style.lay(rng, bank, int(side * _MARGIN)) for side in sides]
    else:
        anatomies = [style.lay(rng, bank, int(max(sides) * _MARGIN))] * images
    return anatomies, sides, style.roles


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
    anatomies, sides, roles = _lay(rng, bank, size, images)
    first = anatomies[0]
    look = draw_look(rng, first.regions, first.kind, roles)
    change, bend = rng.uniform(0.3, 1.4), rng.uniform(0.5, 4.0)
    pose = _POSE.get(first.kind, _TURNED) * rng.uniform(0.2, 1.5)
    labels = [
        _deform(rng, bank, a.paint(rng, change), side, pose, bend)
        for a, side in zip(anatomies, sides, strict=True)
    ]
    pictures = normalise(rng, look, [render(rng, bank, look, m) for m in labels])
    pairs = [resized(p, m, size) for p, m in zip(pictures, labels, strict=True)]
    maps = np.stack([m for _, m in pairs])
    return Episode(
        np.stack([p for p, _ in pairs]), maps if first.names is None else first.names[maps]
    )


def _choose_pixels(rng: Rng, labels: Labels, count: int) -> npt.NDArray[np.int64]:
    """Choose pixels of a label map: a third anywhere, balanced over the regions, at borders."""
    across = labels[:-1] != labels[1:], labels[:, :-1] != labels[:, 1:]
    border = np.pad(across[0], ((0, 1), (0, 0))) | np.pad(across[0], ((1, 0), (0, 0)))
    border |= np.pad(across[1], ((0, 0), (0, 1))) | np.pad(across[1], ((0, 0), (1, 0)))
    edges = border.ravel() / max(np.count_nonzero(border), 1)
    flat = labels.ravel()
    share = 1.0 / np.maximum(np.bincount(flat), 1)[flat]
    cumulative = np.cumsum(share / share.sum() + 1.0 / flat.size + edges)
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
        One of them is chosen at random for each step. Images are of this side or parts of such.
    images : int
        Images K of each episode.
    pixels : int
        Pixels P of each image that take part in the loss.
    """
    rng = np.random.default_rng([seed, 11, step])
    size, count = sizes[rng.integers(len(sizes))]
    episodes = [draw_episode(rng, bank_of(seed), size, images) for _ in range(count)]
    windows = [draw_window(rng, size, count) for _ in range(images)]
    cut = [
        [w.cut(e, episode.images[k], episode.labels[k]) for e, episode in enumerate(episodes)]
        for k, w in enumerate(windows)
    ]
    index = np.zeros((count, images, pixels), dtype=np.int64)
    labels = np.zeros_like(index)
    for k, window in enumerate(windows):
        for e, (_, regions) in enumerate(cut[k]):
            chosen = _choose_pixels(rng, regions, pixels)
            labels[e, k] = regions.ravel()[chosen]
            index[e, k] = window.widened(chosen)
    other = draw_window(rng, size, -(-count // 4))
    again = [
        other.cut(e, episodes[e].images[0], episodes[e].labels[0])[0] for e in range(other.count)
    ]
    return Batch(
        tuple(np.stack([picture for picture, _ in row]) for row in cut),
        index,
        labels,
        np.stack(again),
        draw_twins(rng, windows[0], other, pixels),
    )
