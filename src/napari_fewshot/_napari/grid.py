"""The grid of a layer's file: from what napari hands to a writer back to a volume.

A layer that was made here carries the geometry of its file in ``metadata``. It is trusted only
while the layer still lies where it was put. A layer of another origin (such as a labels layer
made with napari's own button) takes the grid of a layer that lies exactly under it; if there is
none, its scale, rotation, translation and units are written as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import Frame
from ..io import stem_of
from ..types import Array, Volume
from .layers import placement

__all__ = ["LayerGrid", "grid_of", "grids_in_viewer", "mm_per_unit"]

_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class LayerGrid:
    """Where the spatial axes of a layer lie, and how its file stores them.

    Parameters
    ----------
    like : Volume
        Empty volume (all zero, no memory) of the geometry of the file.
    """

    like: Volume

    @property
    def frame(self) -> Frame:
        """Way from file order to the order of the layer."""
        return Frame.of(self.like.affine, self.like.ndim)

    @property
    def layer_shape(self) -> tuple[int, ...]:
        """Spatial shape of a layer on this grid."""
        return self.frame.canonical_shape(self.like.shape)

    def to_file(self, data: Array, channels: bool = False) -> Array:
        """Bring an array of a layer to the order of the file; leading axes are time points."""
        frames = data.ndim - self.like.ndim - int(channels)
        if frames == 0:
            return self.frame.from_canonical(data, channels)
        return np.stack([self.frame.from_canonical(part, channels) for part in data])

    def points_to_file(self, points: Array) -> Array:
        """Bring positions of a layer, shape (N, ndim), to voxels of the file."""
        return self.frame.points_from_canonical(points, self.like.shape)

    def lies_as(self, meta: Mapping[str, Any], shape: tuple[int, ...] | None) -> bool:
        """Whether a layer (spatial ``shape``; None for points) lies exactly on this grid."""
        if shape is not None and shape != self.layer_shape:
            return False
        own = placement(self.like)
        ndim = self.like.ndim
        size = np.asarray(own["scale"])
        same = all(
            len(meta[key]) >= ndim
            and np.allclose(np.asarray(meta[key], float)[-ndim:], own[key], atol=_TOLERANCE * size)
            for key in ("scale", "translate")
        )
        return bool(same and not _is_turned(meta))


def grid_of(meta: Mapping[str, Any], shape: tuple[int, ...] | None, ndim: int) -> LayerGrid:
    """Find the grid on which a layer is written.

    Parameters
    ----------
    meta : mapping
        Attributes of the layer, as napari hands them to a writer.
    shape : tuple of int, optional
        Spatial shape of its data; None for points, which have none.
    ndim : int
        Number of spatial axes, 2 or 3.
    """
    own = _stored(meta.get("metadata", {}))
    candidates = [] if own is None else [own]
    candidates += [grid for _, grid in grids_in_viewer()]
    for grid in candidates:
        if grid.like.ndim == ndim and grid.lies_as(meta, shape):
            return grid
    return LayerGrid(_like_of_transform(meta, shape, ndim))


def grids_in_viewer(kind: str | None = None) -> list[tuple[str, LayerGrid]]:
    """Layers of the current viewer that know their file: its stem (or the layer's name), grid.

    Images come first; ``kind`` keeps one type of layer, such as ``"image"``.
    """
    import napari

    viewer = napari.current_viewer()
    layers = [] if viewer is None else list(viewer.layers)
    layers.sort(key=lambda layer: layer._type_string != "image")
    found = []
    for layer in layers:
        grid = _stored(layer.metadata)
        if grid is not None and kind in (None, layer._type_string):
            source = layer.metadata.get("source")
            found.append((layer.name if source is None else stem_of(Path(source)), grid))
    return found


def _stored(metadata: Mapping[str, Any]) -> LayerGrid | None:
    """Grid that one of our layers carries, or None."""
    shape, spacing = metadata.get("shape"), metadata.get("spacing")
    if not isinstance(shape, tuple) or not isinstance(spacing, tuple) or len(shape) != len(spacing):
        return None
    affine, header = metadata.get("affine"), metadata.get("header")
    return LayerGrid(Volume(_nothing(shape), spacing, affine, header=header))


def _like_of_transform(meta: Mapping[str, Any], shape: tuple[int, ...] | None, ndim: int) -> Volume:
    """Geometry of a layer of unknown origin, from its transform and its units.

    The last three axes of the world are taken as S, A, R, which is what our reader makes of
    them again. A 2D layer keeps its pixel size alone.
    """
    matrix, offset = _world(meta, ndim)
    factors = mm_per_unit(meta.get("units"), ndim)
    matrix, offset = factors[:, None] * matrix, factors * offset
    spacing = tuple(float(length) for length in np.linalg.norm(matrix, axis=0))
    # Points have no shape; nothing that is written of them depends on it.
    data = _nothing(shape or (1 << 20,) * ndim)
    if ndim == 2:
        return Volume(data, spacing)
    affine = np.eye(4)
    affine[:3, :3] = matrix[::-1]
    affine[:3, 3] = offset[::-1]
    return Volume(data, spacing, affine)


def _world(meta: Mapping[str, Any], ndim: int) -> tuple[Array, Array]:
    """Linear part and offset of the spatial axes: data to world."""
    from napari.utils.transforms import Affine

    layer = Affine(
        scale=np.asarray(meta["scale"], float),
        translate=np.asarray(meta["translate"], float),
        rotate=meta.get("rotate"),
        shear=meta.get("shear"),
    )
    matrix = np.asarray(meta.get("affine", np.eye(layer.ndim + 1)), float) @ layer.affine_matrix
    if ndim < layer.ndim and (np.any(matrix[-ndim - 1 : -1, : -ndim - 1])):
        raise InputError(
            str(meta.get("name", "layer")),
            "not be rotated between time and space",
            matrix.tolist(),
            "Reset the transform of the layer.",
        )
    return matrix[-ndim - 1 : -1, -ndim - 1 : -1], matrix[-ndim - 1 : -1, -1]


def _is_turned(meta: Mapping[str, Any]) -> bool:
    """Whether anything but scale and translation places the layer."""
    for key in ("affine", "rotate"):
        matrix = meta.get(key)
        if matrix is not None and not np.allclose(matrix, np.eye(len(matrix))):
            return True
    return bool(np.any(np.asarray(meta.get("shear", 0.0), float) != 0))


def mm_per_unit(units: Any, ndim: int) -> Array:
    """Millimetres in the unit of each axis; 1 where it is no length (pixel)."""
    import pint

    registry: Any = pint.get_application_registry()  # type: ignore[no-untyped-call]
    factors = []
    for unit in (units or ("pixel",) * ndim)[-ndim:]:
        quantity = 1.0 * registry.Unit(str(unit))
        length = quantity.check("[length]")
        factors.append(float(quantity.to("mm").magnitude) if length else 1.0)
    return np.array(factors)


def _nothing(shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(np.uint8(0), shape)
