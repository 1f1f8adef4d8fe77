"""Where the voxels lie: storage order, affine, and the pose of a patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..types import Array

__all__ = ["Grid", "Pose", "storage_axes"]

_DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def storage_axes(storage: str) -> list[tuple[int, int]]:
    """World axis (0 R, 1 A, 2 S) and sign of each array axis, in array order (k, j, i).

    Parameters
    ----------
    storage : str
        Three letters, the directions in which i, j and k grow, as in ``"LPS"``.

    Raises
    ------
    InputError
        If the letters do not name the three axes of the body once each.
    """
    letters = str(storage).upper()
    axes = [_DIRECTIONS[letter] for letter in reversed(letters) if letter in _DIRECTIONS]
    if len(letters) != 3 or sorted(axis for axis, _ in axes) != [0, 1, 2]:
        raise InputError(
            "storage",
            "have one letter each of R/L, A/P and S/I",
            storage,
            "Example: LPS, for axial slices with anterior up.",
        )
    return axes


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of voxels in the patient.

    Parameters
    ----------
    shape : tuple of int
        (Z, Y, X).
    affine : array, shape (4, 4), float64
        Array index (z, y, x, 1) to (R, A, S, 1) in mm.
    """

    shape: tuple[int, int, int]
    affine: Array

    @classmethod
    def centred(
        cls, shape: tuple[int, int, int], spacing: tuple[float, float, float], storage: str
    ) -> Grid:
        """Grid whose middle is the origin of the world; ``spacing`` in mm, array order."""
        affine = np.eye(4)
        affine[:3, :3] = 0.0
        for column, (world, sign) in enumerate(storage_axes(storage)):
            affine[world, column] = sign * spacing[column]
        affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
        return cls(shape, affine)

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

    def reorient(self, storage_from: str, storage_to: str) -> tuple[Grid, tuple[int, ...], Array]:
        """Describe the same voxels in another storage order.

        Returns
        -------
        grid : Grid
        order : tuple of int
            ``numpy.transpose`` argument that brings an array into the new order of axes.
        flips : array of bool, shape (3,)
            Which of the new axes are then reversed.
        """
        old, new = storage_axes(storage_from), storage_axes(storage_to)
        order = tuple([world for world, _ in old].index(world) for world, _ in new)
        flips = np.array([old[axis][1] != new[n][1] for n, axis in enumerate(order)])
        shape = tuple(self.shape[axis] for axis in order)
        change = np.zeros((4, 4))
        change[3, 3] = 1.0
        for n, axis in enumerate(order):
            change[axis, n] = -1.0 if flips[n] else 1.0
            change[axis, 3] = shape[n] - 1 if flips[n] else 0.0
        return Grid((shape[0], shape[1], shape[2]), self.affine @ change), order, flips


@dataclass(frozen=True, eq=False)
class Pose:
    """Smooth map from the patient to the model anatomy: ``u = M (p - t) + Σ aₖ sin(wₖ·p + φₖ)``.

    Parameters
    ----------
    matrix : array, shape (3, 3)
        M: rotation and scale.
    shift : array, shape (3,)
        t, mm.
    amplitudes : array, shape (K, 3)
        aₖ, mm.
    waves : array, shape (K, 3)
        wₖ, radians per mm.
    phases : array, shape (K,)
        φₖ, radians.
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

        Parameters
        ----------
        rng : Generator
            Source of all draws.
        degrees : float
            Standard deviation of each of three angles.
        scale : float
            Standard deviation of the logarithm of the size, and a third of it for each axis.
        shift : float
            Standard deviation of the displacement in mm.
        bend : float
            Bound of the strain of the waves; below 0.5 the map can be inverted.
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
