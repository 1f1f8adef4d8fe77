"""Implicit shapes, and their painting as tissues into an image and its label map.

A shape is an approximate signed distance in mm on a crop, negative inside.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..types import Array
from .patient import Grid, Pose

__all__ = [
    "Canvas",
    "Crop",
    "Point",
    "ellipsoid",
    "from_axes",
    "join",
    "minus",
    "overlap",
    "plane",
    "smooth_path",
]

Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Crop:
    """Model coordinates (right, anterior, superior in mm, float32) of a box of the volume."""

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


def _round_cone(
    space: Crop, ends: tuple[Array, Array], radii: tuple[float, float], squash: Point
) -> Array:
    """One piece of a tube: a capsule whose radius runs from one end to the other."""
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


class Canvas:
    """Image and labels under construction; what is painted later covers what is below.

    ``background`` is the grey value of empty space, ``rng`` the source of the tissue texture;
    ``image`` is float32, ``labels`` uint8.
    """

    def __init__(self, grid: Grid, pose: Pose, background: float, rng: np.random.Generator) -> None:
        from scipy.ndimage import gaussian_filter

        self.grid = grid
        self.pose = pose
        self._coordinates = pose.coordinates(grid)
        self.image: Array = np.full(grid.shape, background, dtype=np.float32)
        self.labels: Array = np.zeros(grid.shape, dtype=np.uint8)
        spacing = np.asarray(grid.spacing)
        # An edge is as soft as a voxel is wide: partial volume.
        self._softness = np.float32(np.prod(spacing) ** (1 / 3))
        grain = rng.standard_normal(grid.shape, dtype=np.float32)
        grain = gaussian_filter(grain, 2.2 / spacing, mode="wrap")
        self._grain: Array = grain / grain.std()

    def everything(self) -> Crop:
        """Give the whole volume as a crop."""
        return Crop((slice(None), slice(None), slice(None)), *self._coordinates)

    def crop(self, low: Point | Array, high: Point | Array, margin: float = 6.0) -> Crop:
        """Cut out the voxels that hold the given box of the model (mm), with a margin."""
        lower, upper = np.asarray(low, float) - margin, np.asarray(high, float) + margin
        corners = np.array(list(itertools.product(*zip(lower, upper, strict=True))))
        # The waves move the corners by `reach` at most, whatever the orientation.
        moved = self.pose.reach * np.linalg.norm(np.linalg.inv(self.pose.matrix), 2)
        world = self.pose.to_world(corners, bent=False)
        index = self.grid.to_index(world)
        slack = moved / np.asarray(self.grid.spacing)
        starts = np.floor(index.min(0) - slack).astype(int)
        stops = np.ceil(index.max(0) + slack).astype(int) + 1
        z, y, x = (
            slice(max(0, start), max(0, min(stop, size)))
            for start, stop, size in zip(starts, stops, self.grid.shape, strict=True)
        )
        r, a, s = (axis[z, y, x] for axis in self._coordinates)
        return Crop((z, y, x), r, a, s)

    def tube(
        self, path: Array, radii: Array | float, squash: Point = (1.0, 1.0, 1.0)
    ) -> tuple[Crop, Array]:
        """Signed distance to a tube along a polyline (N, 3), and the crop that holds it.

        ``radii`` are in mm, for each point or one; ``squash`` divides the coordinates, so that
        (3, 1, 1) is a band three times as wide along r.
        """
        path = np.asarray(path, dtype=np.float64)
        radii = np.broadcast_to(np.asarray(radii, dtype=np.float64), len(path))
        reach = radii.max() * np.asarray(squash)
        whole = self.crop(path.min(0) - reach, path.max(0) + reach)
        distance = np.full(whole.r.shape, 1e3, dtype=np.float32)
        for n in range(len(path) - 1):
            ends = path[n], path[n + 1]
            wide = radii[n : n + 2].max() * np.asarray(squash)
            part = self.crop(np.minimum(*ends) - wide, np.maximum(*ends) + wide)
            inner = tuple(
                slice(p.start - w.start, p.stop - w.start)
                for p, w in zip(part.box, whole.box, strict=True)
            )
            piece = _round_cone(part, ends, (float(radii[n]), float(radii[n + 1])), squash)
            distance[inner] = np.minimum(distance[inner], piece)
        return whole, distance

    def curve(
        self, nodes: Sequence[Any] | Array, pieces: int, squash: Point = (1.0, 1.0, 1.0)
    ) -> tuple[Crop, Array]:
        """As :meth:`tube`, along a cubic spline through nodes (r, a, s, radius)."""
        path = smooth_path(nodes, pieces)
        return self.tube(path[:, :3], path[:, 3], squash)

    def paint(
        self,
        space: Crop,
        distance: Array,
        value: float | Array,
        label: int | None = 0,
        grain: float = 0.0,
    ) -> None:
        """Paint the inside of a shape with a grey value and a label (None: keep what is there).

        ``grain`` is the standard deviation of the tissue texture, in grey values.
        """
        cover = np.clip(0.5 - distance / self._softness, 0, 1)
        target = self.image[space.box]
        tone = value + np.float32(grain) * self._grain[space.box] if grain else value
        target += cover * (tone - target)
        if label is not None:
            self.labels[space.box][distance < 0] = label
