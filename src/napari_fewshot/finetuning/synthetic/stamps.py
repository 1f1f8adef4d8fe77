"""Many small shapes in one field of distances, each written only where it lies."""

from __future__ import annotations

import numpy as np

from .anatomy import Rng
from .noise import Field

__all__ = ["pack_disks", "stamp_ellipse"]


def stamp_ellipse(
    rng: Rng,
    field: Field,
    y: float,
    x: float,
    radius: float,
    *,
    stretch: float = 0.2,
    wobble: float = 0.06,
    second: tuple[Field, float] | None = None,
) -> None:
    """Lower a field of distances to that of one bent ellipse, where that is less.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    field : array, shape (M, M)
        Changed in place: about the distance in pixels from the nearest outline, negative inside.
    y, x, radius : float
        Centre and mean radius in pixels.
    stretch : float
        Standard deviation of the logarithm of its elongation.
    wobble : float
        Standard deviation of each harmonic of its outline, as a share of the radius.
    second : (array, share), optional
        Another field, which takes a smaller outline within, as a share of the radius.
    """
    ratio = float(np.exp(np.clip(rng.normal(0, stretch), -0.7, 0.7)))
    reach = int(1.5 * radius * max(ratio, 1 / ratio)) + 4
    top, left = max(int(y) - reach, 0), max(int(x) - reach, 0)
    window = (slice(top, int(y) + reach), slice(left, int(x) + reach))
    part = field[window]
    if not part.size:
        return
    dy = np.arange(top, top + part.shape[0], dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(left, left + part.shape[1], dtype=np.float32)[None, :] - np.float32(x)
    turn = rng.uniform(0, np.pi)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u, v = (dx * c + dy * s) / np.float32(ratio), (-dx * s + dy * c) * np.float32(ratio)
    away, angle = np.hypot(u, v), np.arctan2(v, u)

    def outline() -> Field:
        waves = rng.normal(0, wobble, 3)
        starts = rng.uniform(0, 2 * np.pi, 3)
        bumps = sum(
            w * np.cos(k * angle + a) for k, (w, a) in enumerate(zip(waves, starts, strict=True), 2)
        )
        return np.asarray(1 + bumps, dtype=np.float32)

    shape = outline()
    np.minimum(part, away - np.float32(radius) * shape, out=part)
    if second is not None:
        inner, share = second[0][window], np.float32(second[1] * radius)
        own = away < np.float32(radius) * shape
        nearer = away - share * (0.5 * shape + 0.5 * outline())
        inner[own] = nearer[own]


def pack_disks(
    rng: Rng, size: int, radius: float, spread: float, count: int, gap: float
) -> list[tuple[float, float, float]]:
    """Draw disks (y, x, radius) that do not overlap, the largest first, as many as find room.

    ``radius`` is the median, ``spread`` the standard deviation of its logarithm, ``gap`` the least
    distance as a share of the radii (negative: they may overlap). The largest lies near the middle.
    """
    radii = np.sort(np.clip(radius * np.exp(rng.normal(0, spread, count)), 2.0, 0.35 * size))[::-1]
    places = rng.uniform(-0.02 * size, 1.02 * size, (count, 2))
    places[:1] = rng.uniform(0.3 * size, 0.7 * size, 2)
    kept = np.zeros((0, 3))
    for r, (y, x) in zip(radii, places, strict=True):
        apart = np.hypot(kept[:, 0] - y, kept[:, 1] - x) - (1 + gap) * (kept[:, 2] + r)
        if not (apart < 0).any():
            kept = np.vstack([kept, (y, x, r)])
    return [(float(y), float(x), float(r)) for y, x, r in kept]
