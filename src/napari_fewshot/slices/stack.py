"""Slices of a volume along an axis of the patient."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from ..config import IntensityConfig, ResamplingConfig
from ..geometry import Frame
from ..types import Array, Landmark, Volume
from .grid import Grid, resize_plane
from .intensity import IntensityScaler
from .position import SlicePosition

__all__ = ["SliceStack", "from_stack", "landmark_from_stack", "stack_spacing", "to_stack"]

_LEAST_DISTANCE = 0.25
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
        self.volume = volume
        self.axis = axis
        self.frame = Frame.of(volume.affine, volume.ndim)
        self._slices = to_stack(volume.data, self.frame, axis, channels=volume.has_channels)
        # Of the canonical volume: storage order and axis must not change what is sampled.
        whole = to_stack(volume.data, self.frame, 0, channels=volume.has_channels)
        self._scaler = IntensityScaler.of(whole, volume.has_channels, intensity)
        shape = self._slices.shape
        self.spacing = stack_spacing(volume, self.frame, axis)
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
    def is_spacing_plausible(self) -> bool:
        """Whether slices lie at least a quarter of the smaller side of a pixel apart.

        Microscopes' files often have one spacing in another unit than the others.
        """
        return self.volume.ndim == 2 or self.spacing[0] >= _LEAST_DISTANCE * min(self.spacing[1:])

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

    def _scaled(self, index: int) -> Array:
        scaled = self._scaler.apply(np.asarray(self._slices[index]))
        return np.moveaxis(scaled, -1, 0) if self.volume.has_channels else scaled[None]

    def digest(self, index: int) -> str:
        """Return a hexadecimal digest of the content of a working slice."""
        plane = np.ascontiguousarray(self.slice(index))
        text = f"{plane.shape} {plane.dtype.str}".encode()
        return hashlib.sha256(text + plane.tobytes()).hexdigest()


def stack_spacing(volume: Volume, frame: Frame, axis: int) -> tuple[float, float, float]:
    """Spacing in mm (across slices, rows, columns) of the stack along a canonical axis."""
    if volume.ndim == 2:
        return (1.0, volume.spacing[0], volume.spacing[1])
    spacing = list(frame.canonical_spacing(volume.spacing))
    first = spacing.pop(axis)
    return (first, spacing[0], spacing[1])


def landmark_from_stack(point: Landmark, stack: SliceStack) -> Landmark:
    """Bring a landmark from the order of a stack, (slice, row, column), to that of the file."""
    if stack.volume.ndim == 2:
        return point
    depth, row, column = point.position
    place = [row, column]
    place.insert(stack.axis, depth)
    moved = stack.frame.points_from_canonical(np.array([place]), stack.volume.shape)[0]
    return replace(point, position=(float(moved[0]), float(moved[1]), float(moved[2])))
