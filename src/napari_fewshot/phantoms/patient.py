"""A patient in the scanner: where voxels lie, how the patient lies and is built, what is added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..geometry import Frame
from ..types import Array

__all__ = ["Grid", "Habit", "Pose", "computed_tomography", "magnetic_resonance", "orientation"]


def orientation(storage: str) -> Array:
    """World axis (0 R, 1 A, 2 S) and sign of each array axis, shape (3, 2).

    ``storage`` are the directions in which i, j and k grow, as in ``"LPS"`` (InputError if they do
    not name the three axes of the body once each); array axes are in the order (k, j, i).
    """
    ways = ["RLAPSI".find(letter) for letter in reversed(str(storage).upper())]
    if sorted(way // 2 for way in ways) != [0, 1, 2]:
        raise InputError(
            "storage",
            "have one letter each of R/L, A/P and S/I",
            storage,
            "Example: LPS, for axial slices with anterior up.",
        )
    return np.array([(way // 2, -1 if way % 2 else 1) for way in ways])


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of voxels in the patient.

    The ``affine`` (4, 4) takes array indices (z, y, x, 1) to (R, A, S, 1) in mm.
    """

    shape: tuple[int, ...]
    affine: Array

    @classmethod
    def centred(cls, shape: tuple[int, ...], spacing: tuple[float, ...], storage: str) -> Grid:
        """Grid whose middle is the origin of the world; ``spacing`` in mm, array order."""
        affine = np.eye(4)
        affine[:3, :3] = 0.0
        for column, (world, sign) in enumerate(orientation(storage)):
            affine[int(world), column] = sign * spacing[column]
        affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
        return cls(shape, affine)

    def stored(self, storage: str) -> Grid:
        """Give the same voxels with array axes in other directions."""
        own = Frame.of(self.affine, 3)
        axes = Frame.of(Grid.centred(self.shape, self.spacing, storage).affine, 3)
        order = [own.file_axis(axes.canonical_axis(axis)) for axis in range(3)]
        shape = tuple(self.shape[axis] for axis in order)
        return Grid.centred(shape, tuple(self.spacing[axis] for axis in order), storage)

    def moved(self, array: Array, other: Grid) -> Array:
        """Bring an array on this grid to the order of another one of the same voxels."""
        canonical = Frame.of(self.affine, 3).to_canonical(array)
        return np.ascontiguousarray(Frame.of(other.affine, 3).from_canonical(canonical))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels in mm, in array order."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    def to_index(self, world: Array) -> Array:
        """(..., 3) world positions in mm to (..., 3) array positions."""
        back = np.linalg.inv(self.affine)
        return np.asarray(world @ back[:3, :3].T + back[:3, 3])

    def linear(self, weights: Array, offset: float = 0.0) -> Array:
        """``weights · world + offset`` on every voxel, float32 of the shape of the grid."""
        steps = weights @ self.affine[:3, :3]
        total = np.float32(offset + weights @ self.affine[:3, 3])
        z, y, x = (
            (np.arange(n) * step).astype(np.float32)
            for n, step in zip(self.shape, steps, strict=True)
        )
        result: Array = (z[:, None] + y + total)[:, :, None] + x
        return result


@dataclass(frozen=True, eq=False)
class Pose:
    """Smooth map from the patient to the model anatomy: ``u = M (p - t) + Σ aₖ sin(wₖ·p + φₖ)``.

    M (3, 3) rotates and scales, ``shift`` t (3,) and ``amplitudes`` aₖ (K, 3) are in mm,
    ``waves`` wₖ (K, 3) in radians per mm, ``phases`` φₖ (K,) in radians.
    """

    matrix: Array
    shift: Array
    amplitudes: Array
    waves: Array
    phases: Array

    @classmethod
    def draw(
        cls, rng: np.random.Generator, *, degrees: float, scale: float, shift: float, bend: float
    ) -> Pose:
        """Draw a pose.

        Standard deviations of three angles, of the logarithm of the size (and a third of it for
        each axis) and of the displacement in mm; ``bend`` bounds the strain of the waves: below
        0.5 the map can be inverted.
        """
        angles = np.radians(np.clip(rng.normal(0, degrees, 3), -2 * degrees, 2 * degrees))
        matrix = np.eye(3)
        for axis, angle in enumerate(angles):
            turn = np.eye(3)
            first, second = (axis + 1) % 3, (axis + 2) % 3
            turn[first, first] = turn[second, second] = np.cos(angle)
            turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
            matrix = turn @ matrix
        sizes = np.clip(rng.normal(0, scale), -2 * scale, 2 * scale) + rng.normal(0, scale / 3, 3)
        lengths = rng.uniform(70, 240, 7)
        waves = rng.normal(size=(7, 3))
        waves *= (2 * np.pi / lengths / np.linalg.norm(waves, axis=1))[:, None]
        amplitudes = rng.normal(size=(7, 3)) * lengths[:, None]
        strain = (np.linalg.norm(amplitudes, axis=1) * np.linalg.norm(waves, axis=1)).sum()
        return cls(
            matrix * np.exp(-sizes),
            np.clip(rng.normal(0, shift, 3), -2 * shift, 2 * shift),
            amplitudes * (bend / strain),
            waves,
            rng.uniform(0, 2 * np.pi, 7),
        )

    def coordinates(self, grid: Grid) -> tuple[Array, Array, Array]:
        """Model coordinates (r, a, s) in mm of every voxel, float32."""
        base = -self.matrix @ self.shift
        r, a, s = (grid.linear(self.matrix[n], base[n]) for n in range(3))
        for amplitude, wave, phase in zip(self.amplitudes, self.waves, self.phases, strict=True):
            ripple = np.sin(grid.linear(wave, phase))
            for target, height in zip((r, a, s), amplitude, strict=True):
                target += np.float32(height) * ripple
        return r, a, s

    @property
    def reach(self) -> float:
        """Largest displacement by the waves in mm."""
        return float(np.linalg.norm(self.amplitudes, axis=1).sum())

    def to_world(self, model: Array, *, bent: bool = True) -> Array:
        """Model positions (..., 3) to world positions (..., 3), both in mm.

        The waves are inverted by fixed-point iteration, which converges because their strain
        is bounded; ``bent=False`` leaves them out.
        """
        back = np.linalg.inv(self.matrix)
        world = np.asarray(model @ back.T + self.shift)
        if bent:
            for _ in range(80):
                wave = np.sin(world @ self.waves.T + self.phases) @ self.amplitudes
                world = (model - wave) @ back.T + self.shift
        return world


class Habit:
    """Draws of one patient's anatomy and contrast, in a fixed order.

    ``enhancement`` is how much contrast agent is in blood and parenchyma, ``bone`` the deviation
    of bone from the mean, both in HU; ``right_dome`` is the middle (mm) of the ellipsoid of the
    right dome of the diaphragm.
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
    """Blur and Gaussian noise of a CT: float32 Hounsfield units to int16."""
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(image, (0.3, 0.5, 0.5))
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise = gaussian_filter(noise, (0, 0.55, 0.55))  # a reconstruction kernel ties neighbours
    blurred += noise * np.float32(rng.uniform(9, 15) / noise.std())
    result: Array = np.clip(np.rint(blurred), -1024, 3071).astype(np.int16)
    return result


def magnetic_resonance(image: Array, grid: Grid, rng: np.random.Generator) -> Array:
    """Blur, coil sensitivity, gain and Rician noise of an MR: float32, about 0..1000, to uint16.

    The noise is that of the magnitude of a complex signal: ``|I + n₁ + i n₂|``.
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
