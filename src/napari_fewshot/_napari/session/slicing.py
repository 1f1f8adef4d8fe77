"""Slices of a layer: leading axes (time, channel), spatial axes, and the one that is sliced."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from ...types import Array

__all__ = ["Key", "Slicing"]

Key = tuple[int, ...]
"""A slice of a layer: indices along the leading axes, then along the working axis."""


@dataclass(frozen=True)
class Slicing:
    """How the slices of a layer are counted.

    ``shape`` is that of the layer's array without colour channels, ``axis`` the working axis
    among the spatial ones: the last three, or two (0 then).
    """

    shape: tuple[int, ...]
    axis: int

    @property
    def spatial(self) -> int:
        """Number of spatial axes: the last three, or two."""
        return min(3, len(self.shape))

    @property
    def leading(self) -> int:
        """Number of axes before the spatial ones."""
        return len(self.shape) - self.spatial

    @property
    def count(self) -> int:
        """Number of slices along the working axis."""
        return self.shape[self.leading + self.axis] if self.spatial == 3 else 1

    @property
    def layer_axis(self) -> int | None:
        """Working axis among all axes of the layer; None for an image of two axes."""
        return self.leading + self.axis if self.spatial == 3 else None

    @property
    def plane_shape(self) -> tuple[int, ...]:
        """(rows, columns) of a slice."""
        shape = list(self.shape[self.leading :])
        if self.spatial == 3:
            shape.pop(self.axis)
        return tuple(shape)

    def leads(self) -> list[Key]:
        """All places of the leading axes."""
        return list(product(*(range(n) for n in self.shape[: self.leading])))

    def keys(self, lead: Key = ()) -> list[Key]:
        """Slices at one place of the leading axes."""
        return [(*lead, k) for k in range(self.count)]

    def order_from(self, first: int | None) -> list[int]:
        """All slices, from the one in view to the end, then back to the beginning.

        Neighbours follow each other, so smoothing across slices predicts each but once.
        """
        start = 0 if first is None else min(max(first, 0), self.count - 1)
        return [*range(start, self.count), *range(start - 1, -1, -1)]

    def own(self, key: Key) -> Key:
        """Slice here for one of an image, which may have leading axes that are not here."""
        return key if self.leading else key[-1:]

    def index(self, key: Key) -> tuple[Any, ...]:
        """Index of the plane of a slice in the array."""
        planes: list[Any] = [slice(None)] * self.spatial
        if self.spatial == 3:
            planes[self.axis] = key[-1]
        return (*key[:-1], *planes)

    def plane(self, array: Array, key: Key) -> Array:
        """The (rows, columns) of a slice, a view."""
        view: Array = array[self.index(key)]
        return view

    def box(self, key: Key, rows: slice, columns: slice) -> tuple[slice, ...]:
        """Index of a box within a slice, as slices alone."""
        places = [rows, columns]
        if self.spatial == 3:
            places.insert(self.axis, slice(key[-1], key[-1] + 1))
        return (*(slice(k, k + 1) for k in key[:-1]), *places)

    def keys_in(self, box: tuple[slice, ...]) -> list[Key]:
        """Slices that a box (an index of slices alone) reaches into."""
        ranges = [range(*part.indices(n)) for part, n in zip(box, self.shape, strict=True)]
        along = range(1) if self.layer_axis is None else ranges[self.layer_axis]
        return list(product(*ranges[: self.leading], along))

    def split(self, places: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array, Array]:
        """Index arrays of voxels as (arrays of the key, rows, columns)."""
        rest = list(places)
        key = [rest.pop(0) for _ in range(self.leading)]
        key.append(rest.pop(self.axis) if self.spatial == 3 else rest[0] * 0)
        return tuple(key), rest[0], rest[1]
