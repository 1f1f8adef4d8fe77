"""Nerve tissue as electron micrographs show it: cells of all sizes within thin membranes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, maximum
from scipy.spatial import cKDTree

from .anatomy import Anatomy, Labels, Rng
from .noise import Field, NoiseBank
from .stamps import stamp_ellipse

__all__ = ["Neuropil"]

Points = npt.NDArray[np.float64]

ROLES = (
    "cytoplasm",
    "dark cytoplasm",
    "glia",
    "membrane",
    "mitochondrion",
    "cristae wall",
    "synapse",
    "bouton",
    "nucleus",
    "nuclear wall",
)
_CYTOPLASM, _DARK, _GLIA, _MEMBRANE, _MITO, _WALL, _SYNAPSE, _BOUTON, _NUCLEUS, _RIM = range(10)


@dataclass(frozen=True, eq=False)
class Neuropil:
    """What the images of one kind of tissue have in common; each may have cells of its own.

    Parameters
    ----------
    names : array, shape (R,)
        Region that each kind of place counts as.
    pitch : float
        Usual distance between cells in pixels.
    spread : float
        Standard deviation of the logarithm of their sizes.
    membrane, wall : float
        Widths in pixels of membranes and of the outline of mitochondria.
    glia, wrapped, dark : float
        Share of cells that are glia, that glia wraps, and that have a darker inside.
    mitochondria, synapses : float
        Number in each 100 × 100 pixels.
    radius : float
        Usual radius of mitochondria in pixels.
    """

    names: Labels
    pitch: float
    spread: float
    membrane: float
    wall: float
    glia: float
    wrapped: float
    dark: float
    mitochondria: float
    synapses: float
    radius: float
    kind = "neuropil"
    roles = ROLES

    @classmethod
    def draw(cls, rng: Rng, size: int) -> Self:
        """Draw a kind of tissue, for images of ``size`` pixels a side."""
        names = np.arange(len(ROLES), dtype=np.int16)
        names[_WALL], names[_RIM] = _MITO, _MEMBRANE
        names[_BOUTON] = _CYTOPLASM if rng.random() < 0.7 else _BOUTON
        names[_DARK] = _CYTOPLASM if rng.random() < 0.6 else _DARK
        names[_NUCLEUS] = _CYTOPLASM if rng.random() < 0.4 else _NUCLEUS
        if rng.random() < 0.2:
            names[_SYNAPSE] = _MEMBRANE
        pitch = float(np.exp(rng.uniform(np.log(14), np.log(np.clip(0.35 * size, 15, 75)))))
        return cls(
            names,
            pitch,
            rng.uniform(0.2, 0.7),
            rng.uniform(1.5, min(7.0, 2.0 + 0.15 * pitch)),
            rng.uniform(1.0, 2.5),
            rng.uniform(0.0, 0.25),
            rng.uniform(0.0, 0.3),
            rng.uniform(0.0, 0.3),
            rng.uniform(0.3, 4.0),
            rng.uniform(0.2, 4.0),
            float(np.clip(pitch * rng.uniform(0.25, 0.8), 5, 34)),
        )

    def lay(self, rng: Rng, bank: NoiseBank, size: int) -> Anatomy:
        """Fill a plane of ``size`` × ``size`` pixels with cells of this kind."""
        cell, kinds = self._cells(rng, bank, size)
        border = np.zeros((size, size), dtype=bool)
        border[:-1] |= cell[:-1] != cell[1:]
        border[:, :-1] |= cell[:, :-1] != cell[:, 1:]
        depth = distance_transform_edt(~border).astype(np.float32)
        labels = kinds[cell]
        wrap = rng.uniform(2.0, 7.0) * (1 + 0.5 * bank.band(rng, 40, size))
        wrapped = (rng.random(len(kinds)) < self.wrapped)[cell]
        skin = np.float32(self.membrane / 2) * (1 + 0.25 * bank.band(rng, 27, size))
        self._add_nuclei(rng, bank, labels, cell, depth)
        labels[wrapped & (depth < wrap + 2 * skin)] = _MEMBRANE
        labels[wrapped & (depth < wrap)] = _GLIA
        labels[~wrapped & (depth < skin)] = _MEMBRANE
        inner = np.where(wrapped, depth - wrap, depth) - 2 * skin
        self._add_mitochondria(rng, bank, labels, inner)
        self._add_synapses(rng, labels, cell, depth)
        return Anatomy(labels, self.kind, regions=len(ROLES), names=self.names)

    def _cells(self, rng: Rng, bank: NoiseBank, size: int) -> tuple[npt.NDArray[np.int64], Labels]:
        """Cell of each pixel, and the region of each cell's inside."""
        count = int(np.ceil(size / self.pitch)) + 3
        grid = np.stack(np.meshgrid(np.arange(count), np.arange(count), indexing="ij"), -1)
        points = (grid.reshape(-1, 2) - 1.0) * self.pitch
        points = points + rng.normal(0, 0.35 * self.pitch, points.shape)
        weight = 0.5 * self.pitch * np.exp(rng.normal(0, self.spread, len(points)))
        weight = np.minimum(weight, 1.6 * self.pitch)
        axis = np.arange(size, dtype=np.float32)
        bend = np.float32(self.pitch * rng.uniform(0.1, 0.35))
        y = axis[:, None] + bend * bank.band(rng, 1.6 * self.pitch, size)
        x = axis[None, :] + bend * bank.band(rng, 1.6 * self.pitch, size)
        fine = np.float32(rng.uniform(0.0, 0.08) * self.pitch)
        y = y + fine * bank.band(rng, 0.5 * self.pitch, size)
        x = x + fine * bank.band(rng, 0.5 * self.pitch, size)
        if rng.random() < 0.3:  # cells along one direction
            x = x * np.float32(rng.uniform(0.35, 0.8))
        owner = np.arange(len(points))
        _, near = cKDTree(points).query(points, k=2)
        joined = rng.random(len(points)) < 0.3
        owner[joined] = owner[near[joined, 1]]
        kinds = np.full(len(points), _CYTOPLASM, dtype=np.int16)
        kinds[rng.random(len(points)) < self.dark] = _DARK
        kinds[rng.random(len(points)) < self.glia] = _GLIA
        return owner[_nearest(points, weight, y, x, self.pitch)], kinds

    def _add_nuclei(
        self, rng: Rng, bank: NoiseBank, labels: Labels, cell: npt.NDArray[np.int64], depth: Field
    ) -> None:
        """Give some of the large cells a nucleus."""
        widest = np.zeros(int(cell.max()) + 1, dtype=np.float32)
        present = np.unique(cell)
        widest[present] = maximum(depth, cell, present)
        chosen = (widest > 22) & (rng.random(len(widest)) < 0.35)
        if not chosen.any():
            return
        inside = depth - np.float32(rng.uniform(0.3, 0.5)) * widest[cell]
        inside = np.where(chosen[cell], inside + bank.band(rng, 27, len(depth)), -1)
        labels[inside > 0] = _RIM
        labels[inside > self.membrane * 0.6] = _NUCLEUS

    def _add_mitochondria(self, rng: Rng, bank: NoiseBank, labels: Labels, inner: Field) -> None:
        size = len(labels)
        outline = np.full((size, size), np.inf, dtype=np.float32)
        for _ in range(rng.poisson(self.mitochondria * (size / 100) ** 2)):
            y, x = rng.integers(0, size, 2)
            room = inner[y, x]
            if room > 3 and labels[y, x] in (_CYTOPLASM, _DARK, _GLIA):
                radius = min(self.radius * np.exp(rng.normal(0, 0.3)), max(0.9 * room, 4))
                stamp_ellipse(rng, outline, y, x, radius, stretch=0.35)
        outline += bank.band(rng, 18, size)
        inside = (outline < 0) & (inner > 0)
        labels[inside] = _WALL
        labels[inside & (outline < -self.wall) & (inner > self.wall)] = _MITO

    def _add_synapses(
        self, rng: Rng, labels: Labels, cell: npt.NDArray[np.int64], depth: Field
    ) -> None:
        rows, columns = np.nonzero(depth == 0)
        count = rng.poisson(self.synapses * (len(labels) / 100) ** 2)
        for at in rng.integers(0, max(len(rows), 1), count if len(rows) else 0):
            radius = rng.uniform(1.0, 2.5) * (self.membrane + 1)
            reach = int(3 * radius) + 1
            y, x = int(rows[at]), int(columns[at])
            window = (slice(max(y - reach, 0), y + reach), slice(max(x - reach, 0), x + reach))
            part, own = labels[window], cell[window] == cell[y, x]
            v, u = np.ogrid[window[0].start : window[0].start + part.shape[0], 0 : part.shape[1]]
            away = np.hypot(v - y, u + window[1].start - x)
            bouton = own & (away < reach) & (part == _CYTOPLASM)
            part[bouton] = _BOUTON
            thick = np.where(own, rng.uniform(0.6, 1.6), rng.uniform(0.4, 0.8)) * self.membrane
            part[(away < radius) & (depth[window] < thick)] = _SYNAPSE


def _nearest(
    points: Points, weight: Points, y: Field, x: Field, pitch: float
) -> npt.NDArray[np.int64]:
    """Cell of each place in a power diagram; each point is looked at only in its surroundings."""
    size = len(y)
    best = np.full((size, size), np.inf, dtype=np.float32)
    index = np.zeros((size, size), dtype=np.int64)
    wide = (x[:, -1] - x[:, 0]).mean() / max(size - 1, 1)
    for k, ((py, px), w) in enumerate(zip(points, weight, strict=True)):
        reach = 2.0 * pitch + w
        rows = slice(max(int(py - reach), 0), max(int(py + reach), 0))
        columns = slice(max(int((px - reach) / wide), 0), max(int((px + reach) / wide), 0))
        d = (y[rows, columns] - np.float32(py)) ** 2 + (x[rows, columns] - np.float32(px)) ** 2
        d -= np.float32(w * w)
        closer = d < best[rows, columns]
        best[rows, columns][closer] = d[closer]
        index[rows, columns][closer] = k
    return index
