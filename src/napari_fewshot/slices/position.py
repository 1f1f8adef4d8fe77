"""Where a slice lies in its volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..types import Array

__all__ = ["SlicePosition", "slice_coordinates"]


@dataclass(frozen=True)
class SlicePosition:
    """Where a slice lies in its volume: what position features are made of.

    Parameters
    ----------
    index : int
        Working slice.
    stack_shape : tuple of int
        (N, H, W) of the working stack.
    axis : int
        Canonical axis of the stack.
    flat : bool
        Whether the volume is a single 2D image.
    """

    index: int
    stack_shape: tuple[int, int, int]
    axis: int
    flat: bool = False

    def columns(self, flat_pixels: Array) -> Array:
        """Normalised (s, a, r) coordinates of pixels, shape (n, 3), float32, in -1..1."""
        rows, columns, across = slice_coordinates(
            self.index, self.stack_shape, self.axis, self.flat
        )
        row, column = np.divmod(flat_pixels, self.stack_shape[2])
        in_plane = [rows[row], columns[column]]
        in_plane.insert(self.axis, np.full(len(flat_pixels), across, dtype=np.float32))
        return np.stack(in_plane, axis=1).astype(np.float32)


def slice_coordinates(
    index: int, stack_shape: tuple[int, int, int], axis: int, flat: bool = False
) -> tuple[Array, Array, float]:
    """Normalised coordinates of the rows, the columns and the slice itself.

    Each runs from -1 at one face of the volume to 1 at the other; voxel centres lie inside.

    Parameters
    ----------
    index : int
        Slice of the stack.
    stack_shape : tuple of int
        (N, H, W) of the stack.
    axis : int
        Canonical axis of the stack; it decides which of the three is which.
    flat : bool
        Whether the volume is a single 2D image.

    Returns
    -------
    rows : array, shape (H,)
    columns : array, shape (W,)
    depth : float
    """
    count, height, width = stack_shape
    rows = 2 * (np.arange(height) + 0.5) / height - 1
    columns = 2 * (np.arange(width) + 0.5) / width - 1
    depth = 0.0 if flat else 2 * (index + 0.5) / count - 1
    return rows.astype(np.float32), columns.astype(np.float32), float(depth)
