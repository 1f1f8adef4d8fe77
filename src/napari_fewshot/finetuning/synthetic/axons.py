"""Bundles of axons in rings of myelin, cut across."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from .anatomy import Anatomy, Labels, Rng
from .noise import NoiseBank
from .stamps import pack_disks, stamp_ellipse

__all__ = ["Axons"]

ROLES = ("matrix", "axon", "myelin", "glial cell", "nucleus", "band", "bare axon")
_MATRIX, _AXON, _MYELIN, _GLIA, _NUCLEUS, _BAND, _BARE = range(7)


@dataclass(frozen=True, eq=False)
class Axons:
    """What the images of one kind of nerve have in common; each has axons of its own.

    Parameters
    ----------
    names : array, shape (R,)
        Region that each kind of place counts as.
    radius, spread : float
        Median outer radius in pixels, and standard deviation of its logarithm.
    ratio : float
        Usual radius of the axon as a share of that of its myelin.
    density, gap : float
        Disks tried in each area of a median one, and least distance as a share of the radii.
    stretch : float
        How far they are from round.
    cells, bands, bare : float
        Chance of glial cells, of bands of other tissue, and share of axons without myelin.
    """

    names: Labels
    radius: float
    spread: float
    ratio: float
    density: float
    gap: float
    stretch: float
    cells: float
    bands: float
    bare: float
    kind = "axons"
    roles = ROLES

    @classmethod
    def draw(cls, rng: Rng, size: int) -> Self:
        """Draw a kind of nerve, for images of ``size`` pixels a side."""
        names = np.arange(len(ROLES), dtype=np.int16)
        names[_BARE] = _AXON if rng.random() < 0.2 else _MATRIX
        names[_BAND] = _MATRIX if rng.random() < 0.6 else _BAND
        if rng.random() < 0.6:
            names[[_GLIA, _NUCLEUS]] = _MATRIX
        return cls(
            names,
            float(np.exp(rng.uniform(np.log(5), np.log(np.clip(0.2 * size, 6, 28))))),
            rng.uniform(0.25, 0.65),
            rng.uniform(0.5, 0.82),
            rng.uniform(0.8, 4.0),
            rng.uniform(-0.12, 0.12),
            rng.uniform(0.05, 0.3),
            rng.uniform(0, 1),
            rng.uniform(0, 1),
            rng.uniform(0, 0.2),
        )

    def lay(self, rng: Rng, bank: NoiseBank, size: int) -> Anatomy:
        """Fill a plane of ``size`` × ``size`` pixels with axons of this kind."""
        labels = np.zeros((size, size), dtype=np.int16)
        if rng.random() < self.bands:
            relief = bank.band(rng, rng.uniform(60, 130), size)
            labels[np.abs(relief) < rng.uniform(0.05, 0.25)] = _BAND
        if rng.random() < self.cells:
            cells = np.full((size, size), np.inf, dtype=np.float32)
            core = cells.copy()
            for _ in range(rng.poisson(2)):
                y, x = rng.uniform(0, size, 2)
                r = self.radius * rng.uniform(1, 2.5)
                stamp_ellipse(rng, cells, y, x, r, stretch=0.4, second=(core, 0.6))
            labels[cells < 0] = _GLIA
            labels[(core < 0) & (cells < 0)] = _NUCLEUS
        outer = np.full((size, size), np.inf, dtype=np.float32)
        inner, bare = outer.copy(), outer.copy()
        count = int(min(self.density * size**2 / (3 * self.radius**2), 900))
        for y, x, r in pack_disks(rng, size, self.radius, self.spread, count, self.gap):
            at = int(np.clip(y, 0, size - 1)), int(np.clip(x, 0, size - 1))
            if labels[at] == _BAND and rng.random() < 0.9:
                continue
            if r < 0.8 * self.radius and rng.random() < self.bare:
                stamp_ellipse(rng, bare, y, x, r, stretch=self.stretch)
                continue
            share = float(np.clip(self.ratio + rng.normal(0, 0.07), 0.3, 0.9))
            share = min(share, 1 - 1.2 / r)
            stamp_ellipse(rng, outer, y, x, r, stretch=self.stretch, second=(inner, share))
        rough = np.float32(rng.uniform(0, 0.8)) * bank.band(rng, 5, size)
        labels[bare < 0] = _BARE
        labels[outer + rough < 0] = _MYELIN
        labels[(inner + rough < 0) & (outer < 0)] = _AXON
        return Anatomy(labels, self.kind, regions=len(ROLES), names=self.names)
