"""Random anatomies: structures that can move, grow and vanish from image to image.

A structure is a stack of level sets of one field, which is measured in pixels from its border
(negative inside). Growing it by some pixels, as when a slice cuts an organ elsewhere, is a
change of level; an organ that shrinks enough is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from .noise import Field, NoiseBank

__all__ = ["Anatomy", "Labels", "Rng", "Structure", "draw_anatomy"]

Labels = npt.NDArray[np.int16]
Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Structure:
    """One structure, painted over what lies below it.

    Parameters
    ----------
    distance : array, shape (M, M)
        About the distance from the border in pixels, negative inside.
    parts : tuple of (float, array or int)
        Levels in falling order with the region painted where ``distance`` is below: a region
        number, or an array of them.
    vigour : float
        Standard deviation in pixels of its growth and of its movement between images.
    fixed : bool
        Whether it never vanishes.
    inside : bool
        Whether it is painted only inside the body.
    """

    distance: Field
    parts: tuple[tuple[float, Labels | int], ...]
    vigour: float = 1.0
    fixed: bool = False
    inside: bool = True


@dataclass(eq=False)
class Anatomy:
    """What the images of one episode have in common.

    Parameters
    ----------
    ground : array, shape (M, M)
        Regions below all structures.
    body : array, shape (M, M), optional
        Distance from the border of the body; outside lies region 0.
    structures : list of Structure
        From the lowest to the highest.
    regions : int
        Number of regions; numbers run from 0.
    kind : str
        Family, which decides how much poses vary.
    names : array, shape (R,), optional
        Region that each region counts as: those that only look different have one name.
    """

    ground: Labels
    kind: str
    body: Field | None = None
    structures: list[Structure] = field(default_factory=list)
    regions: int = 1
    names: Labels | None = None

    def new_region(self) -> int:
        """Return a number not used so far."""
        self.regions += 1
        return self.regions - 1

    def paint(self, rng: Rng, change: float) -> Labels:
        """Paint one image's regions: each structure moved, grown or left out by chance.

        Parameters
        ----------
        rng : Generator
            Source of chance.
        change : float
            0 paints every structure as it is; 1 is the usual change between images.
        """
        labels = self.ground.copy()
        body = None
        if self.body is not None:
            body = self.body < change * rng.normal(0, 1.5)
        for s in self.structures:
            grow = change * s.vigour * rng.normal(0, 1.0)
            shift = np.rint(change * s.vigour * rng.normal(0, 1.0, 2)).astype(int)
            if not s.fixed and rng.random() < 0.12 * change:
                continue
            distance = np.roll(s.distance, (shift[0], shift[1]), (0, 1)) - np.float32(grow)
            for level, region in s.parts:
                mask = distance < level
                if s.inside and body is not None:
                    mask &= body
                if isinstance(region, int):
                    labels[mask] = region
                else:
                    labels[mask] = np.roll(region, (shift[0], shift[1]), (0, 1))[mask]
        if body is not None:
            labels[~body] = 0
        return labels


def _grid(size: int) -> tuple[Field, Field]:
    axis = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    return axis[:, None], axis[None, :]


def _ellipse(
    rng: Rng,
    bank: NoiseBank,
    size: int,
    centre: npt.NDArray[np.float64],
    radius: float,
    *,
    rough: float = 0.2,
    stretch: float = 0.35,
) -> Field:
    """Distance from a deformed ellipse."""
    y, x = _grid(size)
    angle, ratio = rng.uniform(0, np.pi), np.exp(rng.normal(0, stretch))
    dy, dx = y - np.float32(centre[0]), x - np.float32(centre[1])
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / ratio
    v = (-dx * np.sin(angle) + dy * np.cos(angle)) * ratio
    rough *= rng.uniform(0.2, 1.1)
    bumps = bank.band(rng, max(radius * rng.uniform(0.8, 2.5), 4), size)
    return np.asarray(np.hypot(u, v) - radius * (1 + rough * bumps), dtype=np.float32)


def _spot(rng: Rng, anatomy: Anatomy, size: int) -> npt.NDArray[np.float64]:
    """Choose a centre, within the body where there is one."""
    for _ in range(8):
        point = rng.uniform(-0.42, 0.42, 2) * size
        at = np.clip(np.rint(point + size / 2).astype(int), 0, size - 1)
        if anatomy.body is None or anatomy.body[at[0], at[1]] < -4:
            break
    return point


def _nest(rng: Rng, anatomy: Anatomy, radius: float) -> tuple[tuple[float, int], ...]:
    """Levels of a plain, a walled or a doubly nested structure."""
    parts = [(0.0, anatomy.new_region())]
    if rng.random() < 0.4:
        wall = rng.uniform(1.2, max(0.45 * radius, 1.5))
        parts.append((-wall, anatomy.new_region()))
        if rng.random() < 0.3:
            parts.append((-wall - rng.uniform(1.5, max(0.4 * radius, 2)), anatomy.new_region()))
    return tuple(parts)


def _add_blob(rng: Rng, bank: NoiseBank, a: Anatomy, size: int, radius: float) -> None:
    distance = _ellipse(rng, bank, size, _spot(rng, a, size), radius)
    vigour = rng.uniform(0.05, 0.25) * radius
    a.structures.append(Structure(distance, _nest(rng, a, radius), vigour))


def _add_pair(rng: Rng, bank: NoiseBank, a: Anatomy, size: int, radius: float) -> None:
    """A structure and its mirror image, mostly told apart by side alone."""
    distance = _ellipse(rng, bank, size, _spot(rng, a, size), radius)
    parts = _nest(rng, a, radius)
    twin = parts if rng.random() < 0.25 else tuple((v, a.new_region()) for v, _ in parts)
    other = distance[:, ::-1] + np.float32(0.08 * radius) * bank.band(rng, 27, size)
    vigour = rng.uniform(0.05, 0.2) * radius
    a.structures.append(Structure(distance, parts, vigour))
    a.structures.append(Structure(other, twin, vigour))


def _add_lobes(rng: Rng, bank: NoiseBank, a: Anatomy, size: int, radius: float) -> None:
    """One organ divided into touching parts, by planes or by wavy borders."""
    centre = _spot(rng, a, size)
    distance = _ellipse(rng, bank, size, centre, 1.3 * radius)
    y, x = _grid(size)
    angle, parts = rng.uniform(0, 2 * np.pi), int(rng.integers(2, 5))
    along = (y - centre[0]) * np.sin(angle) + (x - centre[1]) * np.cos(angle)
    along = along / (2 * radius) + rng.uniform(0, 0.15) * bank.band(rng, 2 * radius, size)
    index = np.clip(((along + 0.5) * parts).astype(int), 0, parts - 1)
    regions = np.array([a.new_region() for _ in range(parts)], dtype=np.int16)
    if rng.random() < 0.2:
        regions[2:] = regions[: max(parts - 2, 0)]
    a.structures.append(Structure(distance, ((0.0, regions[index]),), 0.15 * radius))


def _curve(
    rng: Rng, size: int, centre: npt.NDArray[np.float64], steps: int, pace: float, wiggle: float
) -> npt.NDArray[np.float64]:
    """A random smooth path, shape (steps, 2)."""
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, wiggle, steps))
    path = np.cumsum(np.stack([np.sin(heading), np.cos(heading)], 1) * pace, 0)
    return np.asarray(path - path.mean(0) + centre)


def _to_points(points: npt.NDArray[np.float64], size: int) -> tuple[Field, npt.NDArray[np.int16]]:
    """Distance from each pixel to the nearest point, and which one that is."""
    y, x = _grid(size)
    best = np.full((size, size), np.inf, dtype=np.float32)
    index = np.zeros((size, size), dtype=np.int16)
    for k, (py, px) in enumerate(points.astype(np.float32)):
        d = (y - py) ** 2 + (x - px) ** 2
        closer = d < best
        best[closer] = d[closer]
        index[closer] = k
    return np.sqrt(best), index


def _add_tube(rng: Rng, bank: NoiseBank, a: Anatomy, size: int, radius: float) -> None:
    thick = rng.uniform(1.2, 5.0)
    path = _curve(rng, size, _spot(rng, a, size), 24, max(thick * 0.9, 0.16 * radius), 0.25)
    distance, _ = _to_points(path, size)
    distance = distance - np.float32(thick) * (1 + 0.2 * bank.band(rng, 18, size))
    a.structures.append(Structure(distance, _nest(rng, a, thick), 0.5))


def _add_chain(rng: Rng, bank: NoiseBank, a: Anatomy, size: int, radius: float) -> None:
    """Repeated bodies along a line: numbered one by one, or of one or two kinds."""
    count, r = int(rng.integers(3, 9)), float(np.clip(radius * 0.5, 2.5, 12))
    path = _curve(rng, size, _spot(rng, a, size), count, 2 * r * rng.uniform(0.95, 1.3), 0.12)
    distance, index = _to_points(path, size)
    distance = distance - np.float32(r) * (1 + 0.12 * bank.band(rng, 2 * r, size))
    kinds = int(rng.choice([1, 2, count], p=[0.2, 0.25, 0.55]))
    names = np.array([a.new_region() for _ in range(kinds)], dtype=np.int16)
    regions = names[np.arange(count) % kinds][index]
    parts: list[tuple[float, Labels | int]] = [(0.0, regions)]
    if rng.random() < 0.3:
        parts.append((-rng.uniform(0.3, 0.6) * r, a.new_region()))
    a.structures.append(Structure(distance, tuple(parts), 0.1 * r))


def _add_sheet(rng: Rng, bank: NoiseBank, a: Anatomy, size: int, radius: float) -> None:
    """Thin membranes or folds, all over or within an organ."""
    relief = bank.band(rng, radius * rng.uniform(1.0, 4.0) + 4, size)
    slope = np.hypot(*np.gradient(relief)) + 0.02
    distance = np.abs(relief / slope) - np.float32(rng.uniform(0.7, 2.5))
    if rng.random() < 0.6:
        organ = _ellipse(rng, bank, size, _spot(rng, a, size), 2 * radius)
        distance = np.maximum(distance, organ)
    a.structures.append(Structure(distance.astype(np.float32), ((0.0, a.new_region()),), 0.3))


def _add_cells(rng: Rng, bank: NoiseBank, a: Anatomy, size: int, pitch: float) -> None:
    """A field of cells: touching or apart, with walls and nuclei, of one to three kinds."""
    n = int(np.ceil(size / pitch)) + 2
    lattice = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1).reshape(-1, 2)
    points = (lattice - n / 2) * pitch + rng.normal(0, 0.25 * pitch, lattice.shape)
    y, x = _grid(size)
    wobble = rng.uniform(0, 0.12) * pitch
    yy = y + wobble * bank.band(rng, pitch, size)
    xx = x + wobble * bank.band(rng, pitch, size)
    d, index = cKDTree(points).query(np.stack([yy, xx], -1).reshape(-1, 2), k=2)
    d, index = d.reshape(size, size, 2), index.reshape(size, size, 2)[..., 0]
    kinds = int(rng.integers(1, 4))
    kind = rng.choice(kinds, len(points), p=rng.dirichlet(np.full(kinds, 3.0)))
    scale = np.exp(rng.normal(0, 0.2, len(points)) + rng.normal(0, 0.35, kinds)[kind])
    gap, radius = 0.5 * (d[..., 1] - d[..., 0]), 0.5 * pitch * rng.uniform(0.6, 0.95)
    touching = rng.random() < 0.5
    distance = rng.uniform(0.5, 0.12 * pitch + 0.6) - gap
    if not touching:
        distance = np.maximum(distance, d[..., 0] - radius * np.minimum(scale, 1.3)[index])
    distance = distance.astype(np.float32)
    parts: list[tuple[float, Labels | int]] = []
    if rng.random() < 0.4 and not touching:
        wall = rng.uniform(1.0, 0.15 * pitch + 1)
        parts.append((wall, a.new_region()))
    bodies = np.array([a.new_region() for _ in range(kinds)], dtype=np.int16)
    parts.append((0.0, bodies[kind][index]))
    a.structures.append(Structure(distance, tuple(parts), 0.3, fixed=True))
    if rng.random() < 0.7:
        centre = d[..., 0] - radius * rng.uniform(0.35, 0.65) * scale[index]
        nucleus = np.maximum(centre + 0.1 * pitch * bank.band(rng, pitch / 2, size), distance + 1)
        cores = np.array([a.new_region() for _ in range(kinds)], dtype=np.int16)
        if rng.random() < 0.5:
            cores[:] = cores[0]
        region = cores[kind][index]
        a.structures.append(Structure(nucleus.astype(np.float32), ((0.0, region),), 0.3))


def _partition(rng: Rng, bank: NoiseBank, a: Anatomy, size: int, count: int) -> Labels:
    """Divide the plane by the largest of several random fields."""
    best = np.full((size, size), -np.inf, dtype=np.float32)
    labels = np.zeros((size, size), dtype=np.int16)
    wavelength = rng.uniform(18, 130)
    for _ in range(count):
        relief = bank.band(rng, wavelength * np.exp(rng.normal(0, 0.4)), size)
        relief = relief + np.float32(rng.normal(0, 0.5))
        higher = relief > best
        best[higher] = relief[higher]
        labels[higher] = a.new_region()
    return labels


_ADDERS: tuple[tuple[Callable[[Rng, NoiseBank, Anatomy, int, float], None], float], ...] = (
    (_add_blob, 0.36),
    (_add_pair, 0.24),
    (_add_lobes, 0.12),
    (_add_tube, 0.12),
    (_add_chain, 0.10),
    (_add_sheet, 0.06),
)


def draw_anatomy(rng: Rng, bank: NoiseBank, size: int) -> Anatomy:
    """Draw an anatomy on a plane of ``size`` × ``size`` pixels.

    Four families: a body with layers and organs (as in CT and MR), a crop within a body, a
    field of cells (smears, sections, axons), and tissue divided by membranes (EM).
    """
    kind = str(rng.choice(["body", "crop", "cells", "tissue"], p=[0.56, 0.22, 0.16, 0.06]))
    a = Anatomy(np.zeros((size, size), dtype=np.int16), kind)
    zoom = np.exp(rng.uniform(-0.5, 0.5))
    organs = {"body": (6, 16), "crop": (3, 10), "cells": (0, 4), "tissue": (2, 7)}[kind]
    if kind == "body":
        radius = size * rng.uniform(0.3, 0.46)
        a.body = _ellipse(rng, bank, size, rng.normal(0, 2, 2), radius, rough=0.04, stretch=0.2)
        a.ground = _partition(rng, bank, a, size, int(rng.integers(1, 5)))
        depth, shells = 0.0, int(rng.integers(0, 4))
        levels: list[tuple[float, Labels | int]] = []
        inner = a.ground
        for _ in range(shells):
            levels.append((-depth, a.new_region()))
            depth += rng.uniform(1.5, 7.0)
        if levels:
            levels.append((-depth, inner))
            a.structures.append(Structure(a.body, tuple(levels), 0.7, fixed=True))
    elif kind == "crop":
        a.ground = _partition(rng, bank, a, size, int(rng.integers(3, 9)))
    elif rng.random() < 0.4:
        a.ground = _partition(rng, bank, a, size, int(rng.integers(2, 4)))
    if kind == "tissue":
        for _ in range(int(rng.integers(1, 3))):
            _add_sheet(rng, bank, a, size, rng.uniform(4, 14))
    if kind == "cells" or rng.random() < 0.04:
        _add_cells(rng, bank, a, size, float(np.exp(rng.uniform(np.log(9), np.log(60)))))
    weights = np.array([w for _, w in _ADDERS])
    for _ in range(int(rng.integers(*organs))):
        add = _ADDERS[rng.choice(len(_ADDERS), p=weights / weights.sum())][0]
        add(rng, bank, a, size, float(np.clip(zoom * np.exp(rng.normal(2.1, 0.55)), 2.5, 40)))
    return a
