"""Stained cells on a slide: nuclei with lobes in white cells, between red ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from .anatomy import Anatomy, Labels, Rng
from .noise import NoiseBank
from .stamps import pack_disks, stamp_ellipse

__all__ = ["Smear"]

ROLES = ("plate", "red cell", "pale centre", "plasma", "other plasma", "chromatin", "platelet")
_PLATE, _RED, _PALE, _PLASMA, _OTHER, _CHROMATIN, _PLATELET = range(7)


@dataclass(frozen=True, eq=False)
class Smear:
    """What the images of one slide have in common; each has cells of its own.

    Parameters
    ----------
    names : array, shape (R,)
        Region that each kind of place counts as.
    radius : float
        Usual radius of white cells in pixels.
    red, white : float
        Number of each in an area of 5 × 5 radii.
    share : float
        Radius of red cells as a share of ``radius``.
    pale : float
        Radius of their pale centre as a share of theirs.
    """

    names: Labels
    radius: float
    red: float
    white: float
    share: float
    pale: float
    kind = "smear"
    roles = ROLES

    @classmethod
    def draw(cls, rng: Rng, size: int) -> Self:
        """Draw a kind of slide, for images of ``size`` pixels a side."""
        names = np.arange(len(ROLES), dtype=np.int16)
        names[_PALE] = _RED
        names[_OTHER] = _PLASMA if rng.random() < 0.6 else _OTHER
        if rng.random() < 0.5:  # what is no white cell is background
            names[[_RED, _PALE, _PLATELET]] = _PLATE
        return cls(
            names,
            float(np.exp(rng.uniform(np.log(12), np.log(np.clip(0.35 * size, 15, 75))))),
            rng.uniform(0, 6) * (rng.random() < 0.8),
            rng.uniform(0.5, 3),
            rng.uniform(0.4, 0.8),
            rng.uniform(0, 0.6),
        )

    def lay(self, rng: Rng, bank: NoiseBank, size: int) -> Anatomy:
        """Fill a plane of ``size`` × ``size`` pixels with cells of this kind."""
        labels = np.zeros((size, size), dtype=np.int16)
        areas = max((size / (5 * self.radius)) ** 2, 0.3)
        self._add_red(rng, labels, rng.poisson(self.red * areas))
        specks = np.full((size, size), np.inf, dtype=np.float32)
        for _ in range(rng.poisson(areas)):
            y, x = rng.uniform(0, size, 2)
            stamp_ellipse(rng, specks, y, x, self.radius * rng.uniform(0.08, 0.2))
        labels[specks < 0] = _PLATELET
        count = 1 + rng.poisson(self.white * areas)
        for y, x, r in pack_disks(rng, size, self.radius, 0.2, count, -0.05):
            body = np.full((size, size), np.inf, dtype=np.float32)
            stamp_ellipse(rng, body, y, x, r, stretch=0.15, wobble=0.05)
            body += rng.uniform(0, 0.06) * r * bank.band(rng, r, size)
            labels[body < 0] = _PLASMA if rng.random() < 0.7 else _OTHER
            core = np.full((size, size), np.inf, dtype=np.float32)
            lobes = int(rng.choice([1, 2, 3, 4], p=[0.5, 0.2, 0.2, 0.1]))
            turn, step = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.6)
            for k in range(lobes):
                away = 0.1 * r if lobes == 1 else 0.42 * r
                own = r * (rng.uniform(0.55, 0.92) if lobes == 1 else rng.uniform(0.25, 0.45))
                at = y + away * np.sin(turn + k * step), x + away * np.cos(turn + k * step)
                stamp_ellipse(rng, core, *at, own, stretch=0.2, wobble=0.07)
            labels[(core < 0) & (body < -1)] = _CHROMATIN
        return Anatomy(labels, self.kind, regions=len(ROLES), names=self.names)

    def _add_red(self, rng: Rng, labels: Labels, count: int) -> None:
        whole = np.full(labels.shape, np.inf, dtype=np.float32)
        centre = whole.copy()
        for y, x, r in pack_disks(rng, len(labels), self.share * self.radius, 0.12, count, -0.1):
            stamp_ellipse(rng, whole, y, x, r, stretch=0.1, wobble=0.03, second=(centre, self.pale))
        labels[whole < 0] = _RED
        labels[(centre < 0) & (whole < 0)] = _PALE
