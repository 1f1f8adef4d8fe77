"""What a template knows of each of its slices, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..slices.grid import resize_plane
from ..slices.stack import SlicePosition, SliceStack
from ..types import Array
from .template import Template

__all__ = ["UNKNOWN", "KnownSlice", "class_plane", "known_slices", "labels_looked_for"]

UNKNOWN = -1
"""Marks pixels of which nothing is known in the labels of a :class:`KnownSlice`."""
_Marks = dict[int, list[tuple[float, float, int]]]


@dataclass(frozen=True, eq=False)
class KnownSlice:
    """One slice of a stack, with what is known of it: what all that learns is given.

    Parameters
    ----------
    labels : array, shape (H, W), int32
        Label values on the working grid, 0 for background, ``UNKNOWN`` where nothing is known.
    position : SlicePosition
        Where it lies in its stack.
    known_labels : frozenset of int
        Labels that were looked for; others are unknown here, not background.
    volume : int
        Number of the image it belongs to, of all images that are learned from.
    original : int
        Slice of the stack before resampling (canonical order along the axis).
    points_only : bool
        Whether it is known through landmarks alone: nobody painted it or listed it, so only
        the labels of landmarks were looked for.
    scribbled : bool
        Whether its template is one of scribbles: what is not painted is unknown.
    origin : KnownSlice, optional
        The slice of which this is an augmented copy; None for a slice of a template.
    """

    labels: Array
    position: SlicePosition
    known_labels: frozenset[int] = frozenset()
    volume: int = 0
    original: int = 0
    points_only: bool = False
    scribbled: bool = False
    origin: KnownSlice | None = None

    @property
    def index(self) -> int:
        """Working slice of the stack."""
        return self.position.index


def known_slices(template: Template, stack: SliceStack, point_radius: float) -> list[KnownSlice]:
    """List the known slices of a template, in the order of the stack.

    ``point_radius`` is that of the disk round each landmark, in pixels of the working slices. What
    lies within two radii of a landmark, also on neighbouring slices, and is not on its disk stays
    unknown: the edge of a landmark is a convention, not an observation. :class:`InputError` if a
    listed slice does not exist, or no slice is known.
    """
    given = template.label_volume
    labels = None if given is None else stack.from_file(given.data)
    points = _points_by_slice(template, stack)
    distance = stack.slice_distance * stack.grid.working[0] / stack.grid.shape[0]
    file_axis, numbers = stack.file_slices()
    painted = {numbers[k] for k in template.painted_planes(file_axis)}
    marked = {*painted, *points}
    one_by_one = not isinstance(template.slices, str | None)
    listed = _listed(template, numbers)
    wanted = sorted({*listed, *points} if one_by_one else listed or marked)
    if not wanted:
        raise InputError(
            "labels",
            "have at least one painted slice",
            "no paint",
            "Paint a slice, or list reviewed slices with slices=[...].",
        )
    found = []
    for original in wanted:
        is_empty = one_by_one and original not in marked  # reviewed: there is nothing
        plane = _plane(template, None if labels is None or is_empty else labels[original], stack)
        if template.kind == "scribble" and labels is None and not is_empty:
            plane[:] = UNKNOWN
        _mark_points(plane, original, points, point_radius, distance)
        if (plane != UNKNOWN).any():
            found.append(
                KnownSlice(
                    plane,
                    stack.position(stack.grid.to_working(original)),
                    original=original,
                    points_only=original in points and original not in {*listed, *painted},
                    scribbled=template.kind == "scribble",
                )
            )
    return found


def _listed(template: Template, numbers: Sequence[int]) -> set[int]:
    """Slices of the stack that are known whatever is on them; ``numbers`` are those in the file."""
    if template.slices is None:
        return set()
    if isinstance(template.slices, str):
        if template.slices not in ("painted", "all"):
            raise InputError("slices", "be a list, 'painted' or 'all'", template.slices)
        return set(numbers) if template.slices == "all" else set()
    return {_canonical_slice(numbers, k) for k in template.slices}


def _mark_points(
    plane: Array, original: int, points: _Marks, radius: float, distance: float
) -> None:
    """Draw disks of landmarks on a slice, and hide what lies round them and others nearby.

    ``radius`` and the ``distance`` of slices are in pixels of the plane.
    """
    for owner, marks in points.items():
        away = abs(owner - original) * distance
        for row, column, value in marks:
            if away <= 2 * radius:
                _hide_ball(plane, (row, column), 2 * radius, away)
            if owner == original:
                _draw_disk(plane, (row, column), radius, value)


def _canonical_slice(numbers: Sequence[int], index: int) -> int:
    """Number in the stack of a slice in file order."""
    if int(index) != index or not 0 <= index < len(numbers):
        raise InputError("slices", f"be whole numbers in 0..{len(numbers) - 1}", index)
    return numbers[int(index)]


def _points_by_slice(template: Template, stack: SliceStack) -> _Marks:
    """Landmarks as (row, column, label) in working pixels, by original slice."""
    grouped: _Marks = {}
    grid = stack.grid
    for point in template.points:
        place = list(point.position)
        if template.volume.ndim == 3:
            moved = stack.frame.points_to_canonical(np.array([place]), template.volume.shape)
            place = moved[0].tolist()
            depth = place.pop(stack.axis)
        else:
            depth = place.pop(0)
        index = int(np.floor(depth + 0.5)) if np.isfinite(depth) else -1
        row, column = (
            (p + 0.5) * new / old - 0.5
            for p, old, new in zip(place, grid.shape[1:], grid.working[1:], strict=True)
        )
        inside = 0 <= index < grid.shape[0]
        inside &= -0.5 <= row < grid.working[1] and -0.5 <= column < grid.working[2]
        if not inside:
            raise InputError(
                "points",
                f"lie inside the image of shape {template.volume.shape}",
                f"{point.name} at {point.position}",
                "Move it, or take it away. Positions count voxels from 0 in the order (Z, Y, X).",
            )
        grouped.setdefault(index, []).append((row, column, point.label))
    return grouped


def _plane(template: Template, labels: Array | None, stack: SliceStack) -> Array:
    """Labels of one slice on the working grid, with unknown pixels marked."""
    if labels is None:
        return np.zeros(stack.shape, dtype=np.int32)
    plane = labels.astype(np.int32)
    if template.kind == "scribble":
        plane = np.where(plane == 0, UNKNOWN, plane)
        plane = np.where(labels == template.background, 0, plane)
    return resize_plane(plane, stack.shape, nearest=True).copy()


def _draw_disk(plane: Array, centre: tuple[float, float], radius: float, value: int) -> None:
    rows, columns = np.ogrid[: plane.shape[0], : plane.shape[1]]
    distance = np.hypot(rows - centre[0], columns - centre[1])
    plane[distance <= max(radius, 0.75)] = value


def _hide_ball(plane: Array, centre: tuple[float, float], radius: float, away: float) -> None:
    """Background within a radius of a landmark that lies ``away`` pixels off this slice."""
    rows, columns = np.ogrid[: plane.shape[0], : plane.shape[1]]
    distance = np.hypot(rows - centre[0], columns - centre[1])
    plane[(distance**2 + away**2 <= radius**2) & (plane == 0)] = UNKNOWN


def labels_of(slices: Sequence[KnownSlice]) -> set[int]:
    """Label values above 0 that occur in known slices."""
    return {int(v) for s in slices for v in np.unique(s.labels) if v > 0}


def class_plane(known: KnownSlice, label_values: Sequence[int]) -> Array:
    """Class of each pixel, shape (H, W), int64; 0 is background, -1 is not known."""
    classes = np.searchsorted(label_values, known.labels) + 1
    return np.where(known.labels > 0, classes, np.where(known.labels == 0, 0, UNKNOWN))


def labels_looked_for(known: KnownSlice, label_values: Sequence[int]) -> Array:
    """Of each label, whether the slice was searched for it, shape (L,), bool."""
    return np.array([value in known.known_labels for value in label_values])
