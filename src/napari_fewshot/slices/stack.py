"""Slices of a volume along an axis of the patient, and what leads back to the file."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..config import IntensityConfig, ResamplingConfig
from ..geometry import Frame
from ..scratch import bands
from ..types import Array, Box, Landmark, Volume
from .grid import Grid, resize_plane
from .intensity import IntensityScaler

__all__ = [
    "FARTHEST",
    "SlicePosition",
    "SliceSource",
    "SliceStack",
    "Window",
    "digest_plane",
    "from_stack",
    "slice_coordinates",
    "to_stack",
]

Window = tuple[slice, slice]
"""Rows and columns of a slice."""

WHOLE: Window = (slice(None), slice(None))

FARTHEST = 4.0
"""Slices further apart than this, in sides of a pixel, show little of what lies between them."""
_MIN_DISTANCE = 0.25
"""Sections thinner than this, in sides of a pixel, are not cut: such a spacing is a wrong tag."""


def to_stack(array: Array, frame: Frame, axis: int, *, channels: bool = False) -> Array:
    """View an array of file order as (N, H, W[, C]) slices of the canonical frame.

    A 2D array becomes a stack of one slice.
    """
    if array.ndim - int(channels) == 2:
        stack: Array = array[None]
        return stack
    stack = np.moveaxis(frame.to_canonical(array, channels=channels), axis, 0)
    return stack


def from_stack(stack: Array, frame: Frame, axis: int, ndim: int) -> Array:
    """Undo :func:`to_stack` for an array of shape (N, H, W)."""
    if ndim == 2:
        image: Array = stack[0]
        return image
    return frame.from_canonical(np.moveaxis(stack, 0, axis))


class SliceSource(Protocol):
    """A stack of normalised slices of one shape, in canonical in-plane orientation."""

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of every slice in pixels."""
        ...

    @property
    def channels(self) -> int:
        """Channels C of every slice: 1 for grey."""
        ...

    def __len__(self) -> int:
        """Return the number of slices."""
        ...

    def slice(self, index: int, /) -> Array:
        """Return a slice: float32, shape (C, H, W), finite, in 0..1."""
        ...

    def window(self, index: int, window: Window, /) -> Array:
        """Return the rows and columns of ``slice(index)``, without the rest where possible."""
        ...

    def digest(self, index: int, /) -> str:
        """Hexadecimal digest of the content, shape and dtype of ``slice(index)``."""
        ...


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
    """Normalised coordinates of the rows (H,), the columns (W,) and the slice itself.

    Each runs from -1 at one face of the volume, (N, H, W), to 1 at the other; voxel centres lie
    inside. ``axis`` is canonical. In a ``flat`` volume, a single 2D image, the slice is at 0.
    """
    count, height, width = stack_shape
    rows = 2 * (np.arange(height) + 0.5) / height - 1
    columns = 2 * (np.arange(width) + 0.5) / width - 1
    depth = 0.0 if flat else 2 * (index + 0.5) / count - 1
    return rows.astype(np.float32), columns.astype(np.float32), float(depth)


class SliceStack:
    """The slices of one volume along one canonical axis, scaled to 0..1.

    Parameters
    ----------
    volume : Volume
        Image in file order.
    axis : int
        Canonical axis: 0 axial, 1 coronal, 2 sagittal (the array axis where the file has no
        orientation); 0 for a 2D image.
    intensity : IntensityConfig
        Channels to read, and what becomes black and white.
    resampling : ResamplingConfig, optional

    Attributes
    ----------
    grid : Grid
        Original and working numbers of slices, rows and columns. Indices given to ``slice``
        and ``digest`` count working slices.
    """

    def __init__(
        self,
        volume: Volume,
        axis: int,
        intensity: IntensityConfig,
        resampling: ResamplingConfig | None = None,
    ) -> None:
        volume = volume.with_channels(intensity.channels)
        self.volume = volume
        self.axis = axis
        self.frame = Frame.of(volume.affine, volume.ndim)
        self._slices = to_stack(volume.data, self.frame, axis, channels=volume.has_channels)
        # Of the canonical volume: storage order and axis must not change what is sampled.
        whole = to_stack(volume.data, self.frame, 0, channels=volume.has_channels)
        self._scaler = IntensityScaler.of(whole, volume.has_channels, intensity)
        shape = self._slices.shape
        self.spacing = _spacing(volume, self.frame, axis)
        self.grid = Grid.of(
            (shape[0], shape[1], shape[2]), self.spacing, resampling or ResamplingConfig()
        )

    def __len__(self) -> int:
        return self.grid.working[0]

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the working slices."""
        return self.grid.working[1], self.grid.working[2]

    @property
    def channels(self) -> int:
        """Number of channels of each slice."""
        return int(self._slices.shape[-1]) if self.volume.has_channels else 1

    @property
    def black_and_white(self) -> tuple[float, float]:
        """Grey values that become 0 and 1; over the channels, the lowest and the highest."""
        return min(self._scaler.low), max(self._scaler.high)

    @property
    def is_spacing_plausible(self) -> bool:
        """Whether slices lie at least a quarter of the smaller side of a pixel apart.

        Microscopes' files often have one spacing in another unit than the others.
        """
        return self.volume.ndim == 2 or self.spacing[0] >= _MIN_DISTANCE * min(self.spacing[1:])

    @property
    def slices_are_close(self) -> bool:
        """Whether neighbouring working slices lie no more than four sides of a pixel apart."""
        return self.slice_distance <= FARTHEST

    @property
    def slice_distance(self) -> float:
        """Distance of neighbouring working slices, in the smaller side of a working pixel.

        1 where the spacing is not plausible: what is measured with it then counts slices.
        """
        if not self.is_spacing_plausible:
            return 1.0
        across, *sides = (
            size * old / new
            for size, old, new in zip(self.spacing, self.grid.shape, self.grid.working, strict=True)
        )
        return across / min(sides)

    def file_slices(self) -> tuple[int, list[int]]:
        """Axis of the slices in file order, and the number here of each slice along it.

        Numbers are those before resampling; an axis that is flipped counts from the other end.
        """
        count = self.grid.shape[0]
        if self.volume.ndim == 2:
            return 0, [0]
        step = -1 if self.frame.flips[self.axis] else 1
        return self.frame.file_axis(self.axis), list(range(count))[::step]

    def position(self, index: int) -> SlicePosition:
        """Where a working slice lies."""
        return SlicePosition(index, self.grid.working, self.axis, flat=self.volume.ndim == 2)

    def slice(self, index: int) -> Array:
        """Return a working slice, shape (C, H, W), float32 in 0..1."""
        if self.grid.changes_slices:
            parts = self.grid.sources(index)
            plane = sum(w * self._scaled(k) for k, w in parts)
        else:
            plane = self._scaled(index)
        return resize_plane(np.asarray(plane, dtype=np.float32), self.shape)

    def window(self, index: int, window: Window) -> Array:
        """Return a part of a working slice; the rest is not read unless it is resampled."""
        if self.grid.working != self.grid.shape:
            return self.slice(index)[:, *window]
        return self._scaled(index, window)

    def _scaled(self, index: int, window: Window = WHOLE) -> Array:
        scaled = self._scaler.apply(np.asarray(self._slices[index, *window]))
        return np.moveaxis(scaled, -1, 0) if self.volume.has_channels else scaled[None]

    def digest(self, index: int) -> str:
        """Return a hexadecimal digest of the content of a working slice."""
        return digest_plane(self.slice(index))

    def raw_digest(self, index: int) -> str:
        """Return a hexadecimal digest of the voxels of an original slice.

        As numbers of single precision: files and programs differ in the type of the same voxels.
        """
        plane = np.asarray(self._slices[index])
        digest = hashlib.sha256(f"{plane.shape}".encode())
        for rows in bands(len(plane), math.prod(plane.shape[1:])):
            with np.errstate(over="ignore", invalid="ignore"):
                digest.update(plane[rows].astype("<f4", order="C").data)
        return digest.hexdigest()

    def from_file(self, array: Array) -> Array:
        """View an array on the volume's grid, in file order, as (N, H, W) slices of the stack."""
        return to_stack(array, self.frame, self.axis)

    def to_file(self, stacked: Array) -> Array:
        """Undo :meth:`from_file`."""
        return from_stack(stacked, self.frame, self.axis, self.volume.ndim)

    def box_from_file(self, box: Box) -> Box:
        """Bring a box of the volume, in file order, to (slices, rows, columns), not resampled."""
        if self.volume.ndim == 2:
            return (slice(0, 1), *box)
        sides = []
        for axis, is_flipped in zip(self.frame.permutation, self.frame.flips, strict=True):
            side, length = box[axis], self.volume.shape[axis]
            flipped = slice(length - side.stop, length - side.start)
            sides.append(flipped if is_flipped else side)
        slices = sides.pop(self.axis)
        return (slices, *sides)

    def landmark_to_file(self, point: Landmark) -> Landmark:
        """Bring a landmark from the order of the stack, (slice, row, column), to file order."""
        if self.volume.ndim == 2:
            return point
        number, row, column = point.position
        place = [row, column]
        place.insert(self.axis, number)
        moved = self.frame.points_from_canonical(np.array([place]), self.volume.shape)[0]
        return replace(point, position=(float(moved[0]), float(moved[1]), float(moved[2])))


def digest_plane(plane: Array) -> str:
    """Hexadecimal digest of the content, shape and dtype of a slice."""
    digest = hashlib.sha256(f"{plane.shape} {plane.dtype.str}".encode())
    digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


def _spacing(volume: Volume, frame: Frame, axis: int) -> tuple[float, float, float]:
    """Spacing in mm, across slices, of rows and of columns."""
    if volume.ndim == 2:
        return (1.0, volume.spacing[0], volume.spacing[1])
    spacing = list(frame.canonical_spacing(volume.spacing))
    first = spacing.pop(axis)
    return (first, spacing[0], spacing[1])
