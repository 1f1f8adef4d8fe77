"""Frames: how the axes of a file lie in the patient.

The canonical order of a volume is (S, A, R): axis 0 runs from inferior to superior, axis 1 from
posterior to anterior, axis 2 from left to right. Axial slices are cut along axis 0, coronal
along axis 1, sagittal along axis 2. A frame holds the permutation and the flips that lead from
file order to canonical order, so the way there and back moves voxels and never interpolates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .types import Array

__all__ = ["PLANES", "Frame"]

PLANES: dict[str, int] = {"axial": 0, "coronal": 1, "sagittal": 2}
"""Canonical axis along which the slices of a plane are stacked."""


@dataclass(frozen=True)
class Frame:
    """Permutation and flips from file order to canonical order.

    Parameters
    ----------
    permutation : tuple of int
        ``permutation[c]`` is the file axis that becomes canonical axis ``c``.
    flips : tuple of bool
        Whether canonical axis ``c`` runs against its file axis.
    oriented : bool
        Whether the file says how it lies in the patient; if not, the frame is the identity.
    """

    permutation: tuple[int, ...]
    flips: tuple[bool, ...]
    oriented: bool = False

    @classmethod
    def of(cls, affine: Array | None, ndim: int) -> Frame:
        """Find the frame of a file.

        Parameters
        ----------
        affine : array, shape (4, 4), optional
            Maps the array index (z, y, x, 1) to (R, A, S, 1) in mm. Oblique axes go to the
            nearest patient axis.
        ndim : int
            Number of spatial axes. Two-dimensional images are taken as they are stored.

        Raises
        ------
        InputError
            If the affine is singular or not finite.
        """
        if affine is None or ndim != 3:
            return cls(tuple(range(ndim)), (False,) * ndim)
        to_patient, signs = _nearest_axes(affine)
        # Patient axes count R, A, S; canonical arrays count S, A, R.
        permutation = tuple(to_patient.index(2 - canonical) for canonical in range(3))
        flips = tuple(signs[file_axis] < 0 for file_axis in permutation)
        return cls(permutation, flips, oriented=True)

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.permutation)

    def to_canonical(self, array: Array, channels: bool = False) -> Array:
        """Bring an array from file order to canonical order (a view).

        ``channels`` says that a last axis of channels follows the spatial axes.
        """
        rest = self._rest(array, channels)
        moved = array.transpose(*self.permutation, *rest)
        return moved[self._slices]

    def from_canonical(self, array: Array, channels: bool = False) -> Array:
        """Undo :meth:`to_canonical` exactly (a view)."""
        rest = self._rest(array, channels)
        inverse = tuple(self.canonical_axis(axis) for axis in range(self.ndim))
        return array[self._slices].transpose(*inverse, *rest)

    def canonical_axis(self, file_axis: int) -> int:
        """Canonical axis that a file axis becomes."""
        return self.permutation.index(file_axis)

    def file_axis(self, canonical: int) -> int:
        """File axis that becomes a canonical axis."""
        return self.permutation[canonical]

    def plane_name(self, canonical: int) -> str:
        """What to call slices along a canonical axis: ``"axial"``, or ``"axis 0"`` of the file."""
        if self.oriented:
            return next(name for name, axis in PLANES.items() if axis == canonical)
        return f"axis {self.file_axis(canonical)}"

    def canonical_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Spatial shape in canonical order, of a spatial shape in file order."""
        return tuple(shape[axis] for axis in self.permutation)

    def canonical_spacing(self, spacing: tuple[float, ...]) -> tuple[float, ...]:
        """Spacing in canonical order, of spacing in file order (mm)."""
        return tuple(spacing[axis] for axis in self.permutation)

    def canonical_affine(self, affine: Array, shape: tuple[int, ...]) -> Array:
        """Affine that maps the canonical index (s, a, r, 1) to (R, A, S, 1) in mm.

        ``affine`` and ``shape`` are those of the file order. A frame of two axes leaves the
        affine as it is.
        """
        result = np.array(affine, dtype=np.float64)
        if self.ndim != 3:
            return result
        for canonical, axis in enumerate(self.permutation):
            sign = -1.0 if self.flips[canonical] else 1.0
            result[:, canonical] = sign * affine[:, axis]
            if self.flips[canonical]:
                result[:, 3] += affine[:, axis] * (shape[axis] - 1)
        return result

    def points_to_canonical(self, points: Array, shape: tuple[int, ...]) -> Array:
        """Map voxel positions, shape (N, ndim), from file order to canonical order.

        ``shape`` is the spatial shape in file order, here and in the inverse.
        """
        moved = np.array(points, dtype=np.float64)[:, list(self.permutation)]
        return self._mirror(moved, shape)

    def points_from_canonical(self, points: Array, shape: tuple[int, ...]) -> Array:
        """Undo :meth:`points_to_canonical`."""
        moved = self._mirror(np.array(points, dtype=np.float64), shape)
        return moved[:, [self.canonical_axis(axis) for axis in range(self.ndim)]]

    @property
    def _slices(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else None) for flip in self.flips)

    def _mirror(self, points: Array, shape: tuple[int, ...]) -> Array:
        last = np.array(self.canonical_shape(shape)) - 1
        return np.where(np.array(self.flips), last - points, points)

    def _rest(self, array: Array, channels: bool) -> tuple[int, ...]:
        if array.ndim != self.ndim + int(channels):
            raise InputError(
                "array", f"have {self.ndim + int(channels)} axes", f"shape {array.shape}"
            )
        return (self.ndim,) if channels else ()


def _nearest_axes(affine: Array) -> tuple[list[int], list[int]]:
    """Nearest patient axis (0 R, 1 A, 2 S) and sign for each file axis."""
    from nibabel.orientations import io_orientation

    columns = np.asarray(affine, dtype=np.float64)[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    directions = columns / np.where(lengths > 0, lengths, 1)
    if not np.isfinite(columns).all() or abs(np.linalg.det(directions)) < 1e-6:
        raise InputError("affine", "be finite and invertible", str(columns.tolist()))
    # Which of two axes at 45 degrees is "nearer" would depend on the storage order. Rounded,
    # with a fixed sign and sorted, the same lines in the patient always give the same answer.
    directions = np.round(directions, 6)
    first = (np.abs(directions) > 0).argmax(axis=0)
    senses = np.sign(directions[first, range(3)])
    lines = directions * senses
    order = np.lexsort(lines)
    sorted_affine = np.eye(4)
    sorted_affine[:3, :3] = lines[:, order]
    orientation: Array = io_orientation(sorted_affine)
    targets, signs = [0, 0, 0], [0, 0, 0]
    for (target, sign), axis in zip(orientation, order, strict=True):
        targets[axis], signs[axis] = int(target), int(sign * senses[axis])
    return targets, signs
