"""Layers of the viewer to volumes and landmarks of the core.

The core sees arrays in the order of the layer. Layers that our reader made are canonical
(S, A, R) and keep that orientation; all others have none. Leading axes (time, channels) are
chosen by index, multiscale layers by level; nothing is read before it is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError
from ..types import Array, Landmark, Volume
from .grid import mm_per_unit
from .landmarks import marks_of

__all__ = [
    "array_of",
    "check_axes",
    "image_volume",
    "landmarks_in",
    "level_like",
    "placed_in",
    "shape_of",
    "spacing_of",
]

_LARGEST_SIDE = 4096
"""Of a multiscale image, the finest level with slices up to this size is worked on."""
_MOST_AXES = 5


def shape_of(layer: Any, level: int = 0) -> tuple[int, ...]:
    """Shape of a layer's array without colour channels."""
    shape = tuple(int(n) for n in np.shape(array_of(layer, level)))
    return shape[:-1] if getattr(layer, "rgb", False) else shape


def array_of(layer: Any, level: int = 0) -> Any:
    """Array of a layer, that of one level for a multiscale layer."""
    return layer.data[level] if getattr(layer, "multiscale", False) else layer.data


def level_like(layer: Any, shape: tuple[int, ...] | None = None) -> int:
    """Level of a multiscale image that has a given shape, else the one to work on.

    Raises
    ------
    InputError
        If no level has the shape.
    """
    shapes = [shape_of(layer, k) for k in range(len(layer.data) if layer.multiscale else 1)]
    if shape is not None:
        for level, found in enumerate(shapes):
            if found == tuple(shape):
                return level
        raise InputError(
            "labels",
            f"have the shape of the image, {' or '.join(map(str, shapes))}",
            f"shape {tuple(shape)}",
            "Make a Labels layer for this image: select the image, then New labels layer.",
        )
    small = [k for k, found in enumerate(shapes) if max(found[-2:]) <= _LARGEST_SIDE]
    return small[0] if small else len(shapes) - 1


def spacing_of(layer: Any, level: int = 0) -> tuple[float, ...]:
    """Distance of voxels in mm along the spatial axes; units that are no length count as mm."""
    full, own = shape_of(layer), shape_of(layer, level)
    ndim = min(3, len(own))
    factors = mm_per_unit(layer.units, ndim)
    scale = np.abs(np.asarray(layer.scale, float)[-ndim:]) * factors
    finer = np.array([a / b for a, b in zip(full, own, strict=True)])[-ndim:]
    return tuple(float(value) for value in scale * finer)


def check_axes(image: Any) -> None:
    """Refuse an image with more axes than can be told apart.

    Raises
    ------
    InputError
        If it has.
    """
    shape = shape_of(image)
    if len(shape) < 2 or len(shape) > _MOST_AXES:
        raise InputError(
            f"image {image.name}",
            "have two or three axes of space, and at most two before them (time, channel)",
            f"shape {shape}",
            "Split the layer first (right click, Split Stack).",
        )


def image_volume(layer: Any, lead: tuple[int, ...] = (), level: int = 0) -> Volume:
    """Volume of an image layer in the order of the layer.

    Parameters
    ----------
    layer : napari.layers.Image
        Nothing of it is read here.
    lead : tuple of int
        Indices along the axes before the last three (or two) spatial ones.
    level : int
        Level of a multiscale layer.

    Raises
    ------
    InputError
        If the layer has too many axes, or an index is out of range.
    """
    rgb = bool(getattr(layer, "rgb", False))
    shape = shape_of(layer, level)
    ndim = min(3, len(shape))
    leading = shape[: len(shape) - ndim]
    check_axes(layer)
    if len(lead) != len(leading) or not all(0 <= k < n for k, n in zip(lead, leading, strict=True)):
        raise InputError(f"frame of {layer.name}", f"be an index into {leading}", lead)
    data = _sliceable(array_of(layer, level), 3 if rgb else 2)[tuple(lead)]
    if rgb:
        data = data[..., :3]  # alpha says nothing of the tissue
    if data.dtype.kind == "b":
        data = data.astype(np.uint8)
    spacing = spacing_of(layer, level)
    return Volume(data, spacing, _affine(layer, spacing), has_channels=rgb)


def placed_in(
    layer: Any, points: Any, image: Any, lead: tuple[int, ...] = (), level: int = 0
) -> tuple[Array, Array]:
    """Points of a layer in voxels of an image layer, where the viewer shows them.

    Parameters
    ----------
    layer : napari.layers.Layer
        What the points belong to, with any scale, rotation and number of axes.
    points : array, shape (N, axes of the layer)
        In data coordinates.
    image : napari.layers.Image
        Axes that the layer lacks are 0.
    lead, level : optional
        As for :func:`image_volume`.

    Returns
    -------
    float array, shape (N, 2 or 3)
        Places on the spatial axes of the level.
    bool array, shape (N,)
        Which are at the place ``lead`` of the axes before these.
    """
    shape, own = shape_of(image), shape_of(image, level)
    ndim = min(3, len(shape))
    points = np.asarray(points, float).reshape(-1, layer.ndim)
    placed = np.zeros((len(points), len(shape)))
    placed[:, : len(shape) - ndim] = lead  # where the points have no leading axes
    for row, point in enumerate(points):
        world = np.asarray(layer.data_to_world(point), float)[-len(shape) :]
        there = np.zeros(len(shape))
        there[-len(world) :] = world
        found = np.asarray(image.world_to_data(there), float)[-len(shape) :]
        placed[row, -min(layer.ndim, len(shape)) :] = found[-min(layer.ndim, len(shape)) :]
    here = (np.round(placed[:, : len(shape) - ndim]) == np.array(lead)).all(axis=1)
    finer = np.array([a / b for a, b in zip(shape, own, strict=True)])[-ndim:]
    return (placed[:, -ndim:] + 0.5) / finer - 0.5, here


def landmarks_in(
    layer: Any, image: Any, lead: tuple[int, ...] = (), level: int = 0
) -> list[Landmark]:
    """Landmarks of a points layer in voxels of an image layer (z is 0 in 2D).

    Names and labels are as the layer tells them: :func:`.landmarks.named` fills in the others.
    Points are taken where the viewer shows them, whatever the scale of their layer.

    Raises
    ------
    InputError
        If a label is no whole number of at least 1.
    """
    placed, here = placed_in(layer, layer.data, image, lead, level)
    ndim = placed.shape[1]
    positions = np.zeros((int(here.sum()), 3))
    positions[:, 3 - ndim :] = placed[here]
    features = {str(name): np.asarray(layer.features[name])[here] for name in layer.features}
    return marks_of(positions, features, layer.name)


def _affine(layer: Any, spacing: tuple[float, ...]) -> Array | None:
    """Canonical affine of a layer whose file had an orientation: (s, a, r) to (R, A, S) in mm."""
    if len(spacing) != 3 or layer.metadata.get("affine") is None:
        return None
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis in range(3):
        affine[2 - axis, axis] = spacing[axis]
        affine[2 - axis, 3] = float(np.asarray(layer.translate)[-3:][axis])
    return affine


def _sliceable(data: Any, plane: int) -> Any:
    """An array that can be transposed and indexed without being read.

    ``plane`` counts the last axes, which are read together where the array has no chunks.
    """
    if isinstance(data, np.ndarray):
        return data
    import dask.array

    if isinstance(data, dask.array.Array):
        return data
    # dask reads whole chunks; left to itself it would make them of up to 128 MB.
    chunks = getattr(data, "chunks", None) or (1,) * (data.ndim - plane) + data.shape[-plane:]
    # A name of its own: to make one of the content, dask would read all of it.
    return dask.array.from_array(data, chunks=chunks, name=False)  # type: ignore[no-untyped-call]
