"""Painting of tissues into an image and its label map, organ by organ."""

from __future__ import annotations

import itertools

import numpy as np

from ..types import Array
from .geometry import Grid, Pose
from .shapes import Crop, Point, round_cone

__all__ = ["Canvas"]


class Canvas:
    """Image and labels under construction; what is painted later covers what is below.

    Parameters
    ----------
    grid : Grid
    pose : Pose
    background : float
        Grey value of empty space.
    rng : Generator
        Source of the tissue texture.

    Attributes
    ----------
    image : array, shape (Z, Y, X), float32
    labels : array, shape (Z, Y, X), uint8
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
        """Signed distance to a tube along a polyline, and the crop that holds it.

        Parameters
        ----------
        path : array, shape (N, 3)
            Points in mm.
        radii : array, shape (N,), or float
            Radius at each point in mm.
        squash : tuple of float
            See :func:`~napari_fewshot.phantoms.shapes.round_cone`.
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
            piece = round_cone(part, ends, (float(radii[n]), float(radii[n + 1])), squash)
            distance[inner] = np.minimum(distance[inner], piece)
        return whole, distance

    def paint(
        self,
        space: Crop,
        distance: Array,
        value: float | Array,
        label: int | None = 0,
        grain: float = 0.0,
    ) -> None:
        """Paint the inside of a shape.

        Parameters
        ----------
        space : Crop
            The voxels to paint on.
        distance : array
            Signed distance in mm on the crop.
        value : float or array
            Grey value.
        label : int or None
            Label of the inside; None keeps the labels that are there.
        grain : float
            Standard deviation of the tissue texture, in grey values.
        """
        cover = np.clip(0.5 - distance / self._softness, 0, 1)
        target = self.image[space.box]
        tone = value + np.float32(grain) * self._grain[space.box] if grain else value
        target += cover * (tone - target)
        if label is not None:
            self.labels[space.box][distance < 0] = label

    def world_index(self, model: Point) -> Point:
        """Array position (z, y, x) of a point of the model, exact through the pose."""
        z, y, x = self.grid.to_index(self.pose.to_world(np.asarray(model, dtype=np.float64)))
        return float(z), float(y), float(x)
