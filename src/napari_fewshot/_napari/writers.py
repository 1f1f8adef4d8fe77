"""Writers of npe2: layers to NIfTI and CSV, on the grid of the file that they came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..io import write_labels, write_points
from ..io.checks import as_image, as_labels, fitting_dtype
from ..io.nifti import write_nifti
from ..io.volumes import write_names
from ..types import Array
from .grid import grid_of
from .landmarks import columns_of, is_missing, marks_of, named

__all__ = [
    "label_names",
    "write_image_layer",
    "write_labels_layer",
    "write_points_layer",
]

_RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def write_image_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an image layer as NIfTI; a first axis of four becomes time points.

    Whole numbers keep their dtype, all else becomes ``float32``; colours are stored as RGB24
    without alpha. Of a multiscale layer the finest level is written.

    Raises
    ------
    InputError
        If the layer has more than four axes, or the file cannot be written.
    """
    rgb = bool(meta.get("rgb"))
    array = _loaded(data, meta)
    ndim = _spatial_axes(array, meta, channels=rgb)
    grid = grid_of(meta, _spatial_shape(array, ndim, rgb), ndim)
    array = grid.to_file(array, channels=rgb)
    values = _colours(array) if rgb else _storable(as_image(array, _name(meta)))
    write_nifti(Path(path), values, grid.like)
    return [path]


def write_labels_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as NIfTI, with the names in ``features`` to a JSON file beside it.

    Raises
    ------
    InputError
        If the layer has more than four axes or values that are no labels, or the file cannot be
        written.
    """
    array = _loaded(data, meta)
    ndim = _spatial_axes(array, meta)
    grid = grid_of(meta, _spatial_shape(array, ndim), ndim)
    labels = as_labels(grid.to_file(array), _name(meta))
    names = label_names(meta.get("features"))
    if labels.ndim == ndim:
        write_labels(path, labels, grid.like, names)
    else:
        write_nifti(Path(path), labels.astype(fitting_dtype(labels)), grid.like, "label")
        if names:
            write_names(Path(path), names)
    return [path]


def write_points_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a points layer as CSV: voxels of the image's file, and mm in the patient.

    Name, label and score are those of the features of these names. Without a label, points of
    one name share one, counted from 1; without a name, the label is the name. Points with
    neither are a landmark each: *point 1*, *point 2* and so on.

    Raises
    ------
    InputError
        If the points have not two or three coordinates, or a label is no whole number.
    """
    points = np.asarray(data, float)
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise InputError(
            _name(meta),
            "have points of two or three coordinates",
            f"shape {points.shape}",
            "Points of a time series are written for each time point alone.",
        )
    ndim = points.shape[1]
    grid = grid_of(meta, None, ndim)
    positions = np.zeros((len(points), 3))
    positions[:, 3 - ndim :] = grid.points_to_file(points)
    marks = marks_of(positions, meta.get("features"), _name(meta))
    write_points(path, named([marks])[0], grid.like)
    return [path]


def label_names(features: Any) -> dict[int, str]:
    """Names of label values in the features of a labels layer; rows are values without index."""
    columns = columns_of(features)
    names = columns.get("name", [])
    values = columns.get("index", list(range(len(names))))
    pairs = zip(values, names, strict=True)
    return {int(v): str(n) for v, n in pairs if int(v) > 0 and not is_missing(n)}


def _loaded(data: Any, meta: Mapping[str, Any]) -> Array:
    finest = data[0] if meta.get("multiscale") else data
    return np.asarray(finest)


def _spatial_axes(array: Array, meta: Mapping[str, Any], channels: bool = False) -> int:
    axes = array.ndim - int(channels)
    if axes not in (2, 3, 4):
        raise InputError(
            _name(meta),
            "have two or three axes of space, and at most one of time",
            f"shape {array.shape}",
            "Split the layer first (right click, Split Stack).",
        )
    return min(axes, 3)


def _spatial_shape(array: Array, ndim: int, channels: bool = False) -> tuple[int, ...]:
    shape = array.shape[:-1] if channels else array.shape
    return shape[-ndim:]


def _colours(array: Array) -> Array:
    """RGB24 of NIfTI: floats are taken as 0..1, as the viewer does."""
    if array.dtype.kind == "f":
        array = np.rint(np.clip(np.nan_to_num(array), 0, 1) * 255)
    elif array.dtype == np.uint16:
        array = array >> 8
    packed = np.ascontiguousarray(array[..., :3].astype(np.uint8))
    return packed.view(_RGB)[..., 0]


def _storable(array: Array) -> Array:
    """Narrow 64-bit integers, which many programs do not read, where that loses nothing."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8:
        return array
    limits = np.iinfo(np.int32)
    fits = limits.min <= int(array.min()) and int(array.max()) <= limits.max
    return array.astype(np.int32) if fits else array


def _name(meta: Mapping[str, Any]) -> str:
    return str(meta.get("name", "layer"))
