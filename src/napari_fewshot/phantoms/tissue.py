"""What differs from patient to patient, and what the scanner adds."""

from __future__ import annotations

import numpy as np

from ..types import Array
from .geometry import Grid

__all__ = ["Habit", "computed_tomography", "magnetic_resonance"]


class Habit:
    """Draws of one patient's anatomy and contrast, in a fixed order.

    Parameters
    ----------
    rng : Generator

    Attributes
    ----------
    enhancement : float
        How much contrast agent is in blood and parenchyma, HU.
    bone : float
        Deviation of bone from the mean, HU.
    right_dome : tuple of float
        Middle of the ellipsoid of the right dome of the diaphragm, mm.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.enhancement = self.between(-15, 25)
        self.bone = self.between(-70, 60)
        self.right_dome = (0.0, 0.0, 0.0)

    def between(self, low: float, high: float) -> float:
        """Draw from a uniform distribution."""
        return float(self._rng.uniform(low, high))

    def near(self, value: float, deviation: float) -> float:
        """Draw from a normal distribution that is cut at two deviations."""
        return value + deviation * float(np.clip(self._rng.standard_normal(), -2, 2))

    def vector(self, deviation: float) -> Array:
        """Three normal draws."""
        return self._rng.normal(0, deviation, 3)


def computed_tomography(image: Array, grid: Grid, rng: np.random.Generator) -> Array:
    """Blur and Gaussian noise of a CT; int16 Hounsfield units.

    Parameters
    ----------
    image : array, shape (Z, Y, X), float32
        Hounsfield units without noise.
    grid : Grid
        Where the voxels lie.
    rng : Generator
        Source of the noise.
    """
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(image, (0.3, 0.5, 0.5))
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise = gaussian_filter(noise, (0, 0.55, 0.55))  # a reconstruction kernel ties neighbours
    blurred += noise * np.float32(rng.uniform(9, 15) / noise.std())
    result: Array = np.clip(np.rint(blurred), -1024, 3071).astype(np.int16)
    return result


def magnetic_resonance(image: Array, grid: Grid, rng: np.random.Generator) -> Array:
    """Blur, coil sensitivity, gain and Rician noise of an MR; uint16, arbitrary units.

    The noise is that of the magnitude of a complex signal: ``|I + n₁ + i n₂|``.

    Parameters
    ----------
    image : array, shape (Z, Y, X), float32
        Signal, about 0..1000.
    grid : Grid
        Where the voxels lie.
    rng : Generator
        Source of the noise and of the field of the coil.
    """
    from scipy.ndimage import gaussian_filter

    signal = gaussian_filter(image, (0.35, 0.5, 0.5))
    field = np.zeros(grid.shape, dtype=np.float32)
    for _ in range(4):
        wave = rng.normal(size=3)
        wave *= 2 * np.pi / rng.uniform(180, 380) / np.linalg.norm(wave)
        field += np.float32(rng.uniform(0.06, 0.16)) * np.cos(
            grid.linear(wave, rng.uniform(0, 2 * np.pi))
        )
    signal *= np.exp(field)
    sigma = np.float32(rng.uniform(16, 30))
    real = signal + sigma * rng.standard_normal(grid.shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(grid.shape, dtype=np.float32)
    gain = np.float32(rng.uniform(0.6, 1.8))
    result: Array = np.clip(np.rint(gain * np.hypot(real, imaginary)), 0, 65535).astype(np.uint16)
    return result
