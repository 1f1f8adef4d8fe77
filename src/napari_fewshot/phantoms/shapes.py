"""Implicit shapes: approximate signed distances in mm, negative inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..types import Array

__all__ = [
    "Crop",
    "Point",
    "ellipsoid",
    "from_axes",
    "join",
    "minus",
    "overlap",
    "plane",
    "round_cone",
    "smooth_path",
]

Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Crop:
    """Model coordinates of the voxels of a box of the volume.

    Parameters
    ----------
    box : tuple of slice
        The box in the array.
    r, a, s : array, float32, of the shape of the box
        Right, anterior, superior in mm.
    """

    box: tuple[slice, slice, slice]
    r: Array
    a: Array
    s: Array


def ellipsoid(space: Crop, centre: Point, radii: Point, tilt: Point = (0.0, 0.0, 0.0)) -> Array:
    """Ellipsoid; ``tilt`` are angles in degrees about the r, a and s axes, in that order."""
    r, a, s = space.r - centre[0], space.a - centre[1], space.s - centre[2]
    for axis, degrees in enumerate(tilt):
        if degrees:
            cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
            if axis == 0:
                a, s = cos * a + sin * s, cos * s - sin * a
            elif axis == 1:
                s, r = cos * s + sin * r, cos * r - sin * s
            else:
                r, a = cos * r + sin * a, cos * a - sin * r
    r, a, s = r / radii[0], a / radii[1], s / radii[2]
    inner = np.sqrt(r * r + a * a + s * s)
    slope = np.sqrt((r / radii[0]) ** 2 + (a / radii[1]) ** 2 + (s / radii[2]) ** 2)
    # First-order distance; the small number guards the centre, where both norms are zero.
    result: Array = inner * (inner - 1) / (slope + 1e-6)
    return result


def from_axes(centre: Point, along: Point, tilt: Point) -> Point:
    """Position of a point that is given along the axes of a tilted :func:`ellipsoid`."""
    r, a, s = along
    for axis in (2, 1, 0):
        cos, sin = np.cos(np.radians(tilt[axis])), np.sin(np.radians(tilt[axis]))
        if axis == 0:
            a, s = cos * a - sin * s, cos * s + sin * a
        elif axis == 1:
            s, r = cos * s - sin * r, cos * r + sin * s
        else:
            r, a = cos * r - sin * a, cos * a + sin * r
    return float(centre[0] + r), float(centre[1] + a), float(centre[2] + s)


def plane(space: Crop, point: Point, normal: Point) -> Array:
    """Half space; the outside is where ``normal`` points."""
    n = np.asarray(normal, dtype=np.float64) / np.linalg.norm(normal)
    result: Array = (
        (space.r - point[0]) * np.float32(n[0])
        + (space.a - point[1]) * np.float32(n[1])
        + (space.s - point[2]) * np.float32(n[2])
    )
    return result


def round_cone(
    space: Crop, ends: tuple[Array, Array], radii: tuple[float, float], squash: Point
) -> Array:
    """One piece of a tube: a capsule whose radius runs from one end to the other.

    ``squash`` divides the coordinates, so that (3, 1, 1) is a band three times as wide along r.
    """
    wide = np.asarray(squash, dtype=np.float64)
    start, way = ends[0] / wide, (ends[1] - ends[0]) / wide
    r = space.r / np.float32(wide[0]) - np.float32(start[0])
    a = space.a / np.float32(wide[1]) - np.float32(start[1])
    s = space.s / np.float32(wide[2]) - np.float32(start[2])
    x, y, z = (np.float32(value) for value in way)
    part = np.clip((r * x + a * y + s * z) / np.float32(max(float(way @ way), 1e-9)), 0, 1)
    distance = np.sqrt((r - part * x) ** 2 + (a - part * y) ** 2 + (s - part * z) ** 2)
    result: Array = distance - (radii[0] + part * np.float32(radii[1] - radii[0]))
    return result


def join(first: Array, second: Array, blend: float = 0.0) -> Array:
    """Union; ``blend`` (mm) rounds the seam."""
    result: Array = np.minimum(first, second)
    if blend:
        gap = np.maximum(blend - np.abs(first - second), 0) / blend
        result = result - gap * gap * np.float32(blend / 4)
    return result


def overlap(*parts: Array) -> Array:
    """Intersection."""
    result = parts[0]
    for part in parts[1:]:
        result = np.maximum(result, part)
    return result


def minus(first: Array, second: Array, blend: float = 0.0) -> Array:
    """First without second; ``blend`` (mm) rounds the edge."""
    result: Array = -join(-first, second, blend)
    return result


def smooth_path(points: Sequence[Any] | Array, pieces: int) -> Array:
    """Cubic spline through points: array (pieces + 1, columns); columns may include a radius."""
    from scipy.interpolate import CubicSpline

    nodes = np.asarray(points, dtype=np.float64)
    spline = CubicSpline(np.arange(len(nodes)), nodes)
    return np.asarray(spline(np.linspace(0, len(nodes) - 1, pieces + 1)))
