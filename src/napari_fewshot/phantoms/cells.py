"""Touching cells, computed: ellipsoids pressed against each other, each of them known."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..types import Array, Volume

__all__ = ["touching_cells"]

_TRIES = 60


def touching_cells(
    seed: int = 0,
    shape: tuple[int, ...] = (40, 128, 128),
    spacing: tuple[float, ...] = (0.6, 0.25, 0.25),
    *,
    cells: int = 60,
    radius: float = 3.5,
    overlap: float = 0.25,
) -> tuple[Volume, Volume]:
    """Compute an image of stained cells in clumps, and their instances.

    Parameters
    ----------
    seed : int
        Equal arguments give equal images.
    shape, spacing : tuple
        Of two or three axes; spacing in µm.
    cells : int
        Cells to place; each but the first of a clump is pressed against one that is there.
    radius : float
        Mean radius in µm; radii of an ellipsoid are within 0.7 to 1.3 of it.
    overlap : float
        How far cells that touch are pressed into each other, as a share of their mean radius;
        0.25 gives necks of about 0.6 of their width.

    Returns
    -------
    image, instances : Volume
        uint16 with blur and noise, and int32 from 1.

    Raises
    ------
    InputError
        If ``overlap`` is not within 0 to 0.9, or there are not two or three axes.
    """
    if len(shape) not in (2, 3) or len(spacing) != len(shape):
        raise InputError("shape", "have two or three axes, as spacing has", (shape, spacing))
    if not 0 <= overlap < 0.9:
        raise InputError("overlap", "be at least 0 and below 0.9", overlap)
    random = np.random.default_rng(seed)
    size = np.array(shape) * spacing
    grid = np.stack(
        np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij")
    )
    nearest: Array = np.full(shape, np.inf)
    instances: Array = np.zeros(shape, np.int32)
    centres: list[Array] = []
    radii: list[float] = []
    for _ in range(cells):
        mean = radius * random.uniform(0.8, 1.2)
        place = _place(random, size, centres, radii, mean, overlap)
        if place is None:
            continue
        stretch = random.uniform(0.85, 1.15, len(shape))
        turn = np.linalg.qr(random.normal(size=(len(shape), len(shape))))[0]
        matrix = turn / (mean * stretch)[:, None]
        away = np.einsum("ij,j...->i...", matrix, grid - place.reshape(-1, *[1] * len(shape)))
        distance = np.linalg.norm(away, axis=0)
        mine = (distance < 1) & (distance < nearest)
        centres.append(place)
        radii.append(mean)
        nearest[mine], instances[mine] = distance[mine], len(centres)
    return _image(random, instances, nearest, spacing), _volume(instances, spacing)


def _place(
    random: np.random.Generator,
    size: Array,
    centres: list[Array],
    radii: list[float],
    mean: float,
    overlap: float,
) -> Array | None:
    """A place that presses against at most what is meant; None where none was found."""
    for _ in range(_TRIES):
        if centres and random.random() < 0.7:
            chosen = int(random.integers(len(centres)))
            way = random.normal(size=len(size))
            together = (radii[chosen] + mean) * (1 - overlap / 2)
            place = centres[chosen] + way / np.linalg.norm(way) * together
        else:
            place = random.uniform(0, size)
        if (place < 0).any() or (place > size).any():
            continue
        gaps = [
            np.linalg.norm(place - centre) - (other + mean) * (1 - overlap / 2)
            for centre, other in zip(centres, radii, strict=True)
        ]
        if all(gap > -1e-6 for gap in gaps):
            return np.asarray(place)
    return None


def _image(
    random: np.random.Generator, instances: Array, nearest: Array, spacing: tuple[float, ...]
) -> Volume:
    """Cells of their own brightness, darker at their border, with blur and noise."""
    from scipy import ndimage

    bright = np.concatenate([[0.0], random.uniform(0.6, 1.0, int(instances.max()))])
    inside = np.clip(1.2 - 0.5 * np.where(np.isfinite(nearest), nearest, 1.0) ** 3, 0, 1)
    clean = ndimage.gaussian_filter(bright[instances] * inside, [0.3 / s for s in spacing])
    counts = random.poisson(60 * clean + 8) * 20 + random.normal(100, 10, clean.shape)
    return _volume(np.clip(counts, 0, 65535).astype(np.uint16), spacing)


def _volume(data: Array, spacing: tuple[float, ...]) -> Volume:
    return Volume(data, tuple(size / 1000 for size in spacing))
