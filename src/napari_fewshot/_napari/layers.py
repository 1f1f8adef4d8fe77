"""Volumes and landmarks of the core to layers of the viewer, and image layers back to volumes.

The viewer shows canonical arrays, (S, A, R): a permutation and flips of the file order, so that
scale and translation suffice. Permuted or oblique affines on a layer would lose the part of it
that lies out of the slice. Every layer carries the same scale, translation, units and axis
labels, because napari drops the units of all layers once they are mixed.

On the way back the core sees arrays in the order of the layer. Layers that our reader made keep
their canonical orientation; all others have none. Leading axes (time, channels) are chosen by
index (``lead``), multiscale layers by ``level``; nothing is read before it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import Frame
from ..types import Array, Landmark, Volume
from .contrast import contrast_limits

__all__ = [
    "LayerData",
    "array_of",
    "check_axes",
    "columns_of",
    "face_patient",
    "geometry_of",
    "image_layer",
    "image_volume",
    "is_missing",
    "label_features",
    "label_names",
    "labels_layer",
    "landmarks_layer",
    "level_like",
    "mm_per_unit",
    "no_features",
    "placed_in",
    "placement",
    "shape_of",
]

LayerData = tuple[Any, dict[str, Any], str]
"""Data, keyword arguments of the layer, and its type, as napari takes them from plugins."""

_LARGEST_SIDE = 4096
"""Of a multiscale image, the finest level with slices up to this size is worked on."""
_MAX_AXES = 5
_FILE_GEOMETRY = ("affine", "spacing", "shape", "source", "header")
_DEFAULT_VIEW = ("towards", "down", "right")
_RADIOLOGICAL_VIEW = ("up", "left")


def placement(volume: Volume) -> dict[str, Any]:
    """Keyword arguments that put a layer of this volume at its place in the patient, in mm.

    They are for the axes of the canonical array; ``metadata`` holds the geometry of the file order.
    """
    frame = Frame.of(volume.affine, volume.ndim)
    translate = np.zeros(volume.ndim)
    labels = ("Z", "Y", "X")[-volume.ndim :]
    if frame.oriented and volume.affine is not None:
        # The affine counts R, A, S; the canonical array S, A, R.
        translate = frame.canonical_affine(volume.affine, volume.shape)[:3, 3][::-1]
        labels = ("S", "A", "R")
    return {
        "scale": frame.canonical_spacing(volume.spacing),
        "translate": tuple(float(t) for t in translate),
        "units": ("mm",) * volume.ndim,
        "axis_labels": labels,
        "metadata": {
            "affine": volume.affine,
            "spacing": volume.spacing,
            "shape": volume.shape,
            "source": volume.source,
            "header": volume.header,
        },
    }


def geometry_of(image: Any, level: int = 0, ndim: int | None = None) -> dict[str, Any]:
    """Keyword arguments that put a layer exactly on an image (or on one of its levels).

    ``ndim`` keeps the last axes only, for layers without the leading ones.
    """
    from napari.utils.transforms import Affine

    full, own = shape_of(image), shape_of(image, level)
    ratio = np.array([a / b for a, b in zip(full, own, strict=True)])
    scale = np.asarray(image.scale, float)
    placed = Affine(scale=scale, translate=image.translate, rotate=image.rotate, shear=image.shear)
    found: dict[str, Any] = {
        "scale": scale * ratio,
        # The first voxel of a coarse level lies in the middle of those that it stands for.
        "translate": np.asarray(placed((ratio - 1) / 2)),
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": image.affine,
        "units": image.units,
        "axis_labels": image.axis_labels,
    }
    if ndim is not None and ndim < len(scale):
        last = ("scale", "translate", "units", "axis_labels")
        shear = np.asarray(image.shear)  # a matrix, or what stands above its diagonal
        pairs = ndim * (ndim - 1) // 2
        found = {
            **{key: tuple(found[key])[-ndim:] for key in last},
            "rotate": np.asarray(image.rotate)[-ndim:, -ndim:],
            "shear": shear[-ndim:, -ndim:] if shear.ndim == 2 else shear[-pairs:],
            "affine": image.affine.affine_matrix[-ndim - 1 :, -ndim - 1 :],
        }
    if level == 0:
        found["metadata"] = {k: image.metadata[k] for k in _FILE_GEOMETRY if k in image.metadata}
    return found


def image_layer(volume: Volume, name: str) -> LayerData:
    """Image layer of a volume, in canonical order."""
    frame = Frame.of(volume.affine, volume.ndim)
    data = frame.to_canonical(volume.data, channels=volume.has_channels)
    # napari shows three or four channels as colours; others would need a layer each.
    rgb = volume.has_channels and volume.data.shape[-1] in (3, 4)
    options = {**placement(volume), "name": name, "rgb": rgb}
    limits = None if volume.has_channels else contrast_limits(data)
    return data, options if limits is None else {**options, "contrast_limits": limits}, "image"


def labels_layer(volume: Volume, name: str, *, visible: bool = True) -> LayerData:
    """Labels layer of a label map, in canonical order; names go to ``features["name"]``.

    The array is a copy that can be painted on, whatever the volume is backed by.
    """
    frame = Frame.of(volume.affine, volume.ndim)
    data = np.array(frame.to_canonical(volume.data), order="C")
    options = {**placement(volume), "name": name, "visible": visible}
    return data, {**options, "features": label_features(volume.names)}, "labels"


def landmarks_layer(landmarks: Sequence[Landmark], volume: Volume, name: str) -> LayerData:
    """Points layer of landmarks that were found in, or belong to, a volume; label 0 is none."""
    frame = Frame.of(volume.affine, volume.ndim)
    positions = [mark.position[-volume.ndim :] for mark in landmarks]
    points = np.array(positions, dtype=float).reshape(-1, volume.ndim)
    features = {
        "name": [mark.name for mark in landmarks],
        "label": [mark.label or np.nan for mark in landmarks],
        "score": [np.nan if mark.score is None else mark.score for mark in landmarks],
    }
    options = {**placement(volume), "name": name, "features": features}
    if landmarks:
        options["feature_defaults"] = no_features(features)
    # Three pixels across, in units of the data.
    options |= {"size": 3, "face_color": "transparent", "border_color": "yellow"}
    return frame.points_to_canonical(points, volume.shape), options, "points"


def no_features(columns: Iterable[str]) -> dict[str, Any]:
    """Features of a point that is added by hand; of itself napari repeats those of the last one."""
    return {column: "" if column == "name" else np.nan for column in columns}


def label_features(names: Mapping[int, str]) -> dict[str, list[Any]]:
    """Features of a labels layer that name its values."""
    values = sorted({0, *names})
    return {"index": values, "name": [names.get(value, "background") for value in values]}


def label_names(features: Any) -> dict[int, str]:
    """Names of label values in the features of a labels layer; rows are values without index."""
    columns = columns_of(features)
    names = columns.get("name", [])
    values = columns.get("index", list(range(len(names))))
    pairs = zip(values, names, strict=True)
    return {int(v): str(n) for v, n in pairs if int(v) > 0 and not is_missing(n)}


def columns_of(features: Any) -> dict[str, list[Any]]:
    """Columns of a table of features (a DataFrame or a mapping)."""
    return {} if features is None else {str(key): list(features[key]) for key in features}


def is_missing(value: Any) -> bool:
    """None, NaN, or an empty text."""
    return value is None or value == "" or bool(value != value)


def face_patient() -> None:
    """Turn the view as radiologists look: anterior and head above, the patient's right on the left.

    napari draws the second axis of (S, A, R) downwards: patients would lie on their face. All
    layers share the camera: it stays if it was turned, or an image has no orientation.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is None or tuple(viewer.scene.camera.orientation) != _DEFAULT_VIEW:
        return
    images = [layer for layer in viewer.layers if layer._type_string == "image"]
    if all(layer.metadata.get("affine") is not None for layer in images):
        viewer.scene.camera.orientation2d = _RADIOLOGICAL_VIEW


def array_of(layer: Any, level: int = 0) -> Any:
    """Array of a layer, that of one level for a multiscale layer."""
    return layer.data[level] if getattr(layer, "multiscale", False) else layer.data


def shape_of(layer: Any, level: int = 0) -> tuple[int, ...]:
    """Shape of a layer's array without colour channels."""
    shape = tuple(int(n) for n in np.shape(array_of(layer, level)))
    return shape[:-1] if getattr(layer, "rgb", False) else shape


def level_like(layer: Any, shape: tuple[int, ...] | None = None) -> int:
    """Level of a multiscale image that has a given shape, by default the one to work on."""
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


def _spacing_of(layer: Any, level: int = 0) -> tuple[float, ...]:
    """Distance of voxels in mm along the spatial axes; units that are no length count as mm."""
    step = _step_of(layer, level)
    factors = mm_per_unit(layer.units, len(step))
    scale = np.abs(np.asarray(layer.scale, float)[-len(step) :]) * factors
    return tuple(float(value) for value in scale * step)


def mm_per_unit(units: Any, ndim: int) -> Array:
    """Millimetres in the unit of each axis; 1 where it is no length (pixel)."""
    import pint

    registry: Any = pint.get_application_registry()
    factors = []
    for unit in (units or ("pixel",) * ndim)[-ndim:]:
        quantity = 1.0 * registry.Unit(str(unit))
        length = quantity.check("[length]")
        factors.append(float(quantity.to("mm").magnitude) if length else 1.0)
    return np.array(factors)


def check_axes(image: Any) -> None:
    """Refuse an image with more axes than can be told apart."""
    shape = shape_of(image)
    if len(shape) < 2 or len(shape) > _MAX_AXES:
        raise InputError(
            f"image {image.name}",
            "have two or three axes of space, and at most two before them (time, channel)",
            f"shape {shape}",
            "Split the layer first (right click, Split Stack).",
        )


def image_volume(layer: Any, lead: tuple[int, ...] = (), level: int = 0) -> Volume:
    """Volume of an image layer in the order of the layer; nothing of it is read here.

    ``lead`` are indices along the axes before the last three (or two) spatial ones.
    """
    rgb = bool(getattr(layer, "rgb", False))
    shape = shape_of(layer, level)
    leading = shape[: len(shape) - min(3, len(shape))]
    check_axes(layer)
    if len(lead) != len(leading) or not all(0 <= k < n for k, n in zip(lead, leading, strict=True)):
        raise InputError(f"frame of {layer.name}", f"be an index into {leading}", lead)
    data = _sliceable(array_of(layer, level), 3 if rgb else 2)[tuple(lead)]
    if rgb:
        data = data[..., :3]  # alpha says nothing of the tissue
    if data.dtype.kind == "b":
        data = data.astype(np.uint8)
    spacing = _spacing_of(layer, level)
    return Volume(data, spacing, _affine(layer, spacing), has_channels=rgb)


def placed_in(
    layer: Any, points: Any, image: Any, lead: tuple[int, ...] = (), level: int = 0
) -> tuple[Array, Array]:
    """Points of a layer in voxels of an image layer, where the viewer shows them.

    ``points`` are data coordinates (N, axes of the layer); axes that it lacks are 0. Returned are
    places on the spatial axes of the level, (N, 2 or 3), and which of them are at ``lead``.
    """
    shape, step = shape_of(image), _step_of(image, level)
    ndim = len(step)
    points = np.asarray(points, float).reshape(-1, layer.ndim)
    placed = np.zeros((len(points), len(shape)))
    placed[:, : len(shape) - ndim] = lead  # where the points have no leading axes
    known = min(layer.ndim, len(shape))
    for row, point in enumerate(points):
        world = np.asarray(layer.data_to_world(point), float)[-len(shape) :]
        there = np.zeros(len(shape))
        there[-len(world) :] = world
        placed[row, -known:] = np.asarray(image.world_to_data(there), float)[-known:]
    here = (np.round(placed[:, : len(shape) - ndim]) == np.array(lead)).all(axis=1)
    return (placed[:, -ndim:] + 0.5) / step - 0.5, here


def _step_of(layer: Any, level: int) -> Array:
    """Pixels of the finest level in one of this level, along the spatial axes."""
    full, own = shape_of(layer), shape_of(layer, level)
    return np.array([a / b for a, b in zip(full, own, strict=True)])[-min(3, len(own)) :]


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
    return dask.array.from_array(data, chunks=chunks, name=False)
