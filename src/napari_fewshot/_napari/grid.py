"""The grid of a layer's file: from what napari hands to a writer back to a volume.

A layer that was made here carries the geometry of its file in ``metadata``. It is trusted only
while the layer still lies where it was put. A layer of another origin (such as a labels layer
made with napari's own button) takes the grid of a layer that lies exactly under it; if there is
none, its scale, rotation, translation and units are written as they are.

A grid is a :class:`~napari_fewshot.types.Volume` of the geometry of the file, with no values: all
are zero, and take no memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import Frame
from ..io import stem_of
from ..types import Array, Volume
from .layers import mm_per_unit, placement

__all__ = ["empty_grid", "grid_of", "grids_in_viewer"]

_TOLERANCE = 1e-6


def grid_of(meta: Mapping[str, Any], shape: tuple[int, ...] | None, ndim: int) -> Volume:
    """Find the grid on which a layer is written; ``meta`` is what napari hands to a writer.

    ``shape`` is the spatial one of its data, 2 or 3 axes; None for points, which have none.
    """
    own = _stored(meta.get("metadata", {}))
    candidates = [] if own is None else [own]
    candidates += [grid for _, grid in grids_in_viewer()]
    for grid in candidates:
        if grid.ndim == ndim and _lies_on(grid, meta, shape):
            return grid
    return _grid_of_transform(meta, shape, ndim)


def grids_in_viewer(kind: str | None = None) -> list[tuple[str, Volume]]:
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


def empty_grid(ndim: int) -> Array:
    """Values of a grid whose shape is not known, which is larger than any image."""
    return _nothing((1 << 20,) * ndim)


def _stored(metadata: Mapping[str, Any]) -> Volume | None:
    """Grid that one of our layers carries, or None."""
    shape, spacing = metadata.get("shape"), metadata.get("spacing")
    if not isinstance(shape, tuple) or not isinstance(spacing, tuple) or len(shape) != len(spacing):
        return None
    return Volume(_nothing(shape), spacing, metadata.get("affine"), header=metadata.get("header"))


def _lies_on(grid: Volume, meta: Mapping[str, Any], shape: tuple[int, ...] | None) -> bool:
    """Whether a layer (spatial ``shape``; None for points) lies exactly on a grid."""
    frame = Frame.of(grid.affine, grid.ndim)
    if shape is not None and shape != frame.canonical_shape(grid.shape):
        return False
    own = placement(grid)
    size = np.asarray(own["scale"])
    for key in ("scale", "translate"):
        given = np.asarray(meta[key], float)[-grid.ndim :]
        if given.shape != size.shape or not np.allclose(given, own[key], atol=_TOLERANCE * size):
            return False
    turned = [meta[key] for key in ("affine", "rotate") if meta.get(key) is not None]
    return all(np.allclose(matrix, np.eye(len(matrix))) for matrix in turned) and not np.any(
        np.asarray(meta.get("shear", 0.0), float)
    )


def _grid_of_transform(meta: Mapping[str, Any], shape: tuple[int, ...] | None, ndim: int) -> Volume:
    """Grid of a layer of unknown origin, from its transform and its units.

    The last axes of the world are taken as S, A, R, as our reader has it; 2D has pixel sizes alone.
    """
    matrix, offset = _world(meta, ndim)
    factors = mm_per_unit(meta.get("units"), ndim)
    matrix, offset = factors[:, None] * matrix, factors * offset
    spacing = tuple(float(length) for length in np.linalg.norm(matrix, axis=0))
    # Points have no shape; nothing that is written of them depends on it.
    data = empty_grid(ndim) if shape is None else _nothing(shape)
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


def _nothing(shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(np.uint8(0), shape)
