"""Writers of npe2: layers to NIfTI, OME-Zarr and CSV, on the grid of the file they came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import Frame
from ..io import write_labels, write_points
from ..io.checks import as_image, as_labels, fitting_dtype
from ..io.formats import format_by_name
from ..io.nifti.format import write_nifti
from ..io.volumes import write_names
from ..types import Array, Volume
from .annotations import marks_of, named
from .grid import grid_of
from .layers import label_names
from .open_files import check_is_no_open_image

__all__ = ["write_image_layer", "write_labels_layer", "write_points_layer"]

_RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def write_image_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an image layer as NIfTI; a first axis of four becomes time points.

    Whole numbers keep their dtype, all else becomes ``float32``; colours are stored as RGB24
    without alpha. Of a multiscale layer the finest level is written.
    """
    rgb = bool(meta.get("rgb"))
    array, grid = _on_grid(data, meta, rgb)
    values = _colours(array) if rgb else _storable(as_image(array, _name(meta)))
    write_nifti(Path(path), values, grid)
    return [path]


def write_labels_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as NIfTI, with the names in ``features`` beside it, or as OME-Zarr.

    :class:`InputError` if the file is that of an open image.
    """
    check_is_no_open_image(Path(path), _open_layers())
    array, grid = _on_grid(data, meta)
    labels = as_labels(array, _name(meta))
    names = label_names(meta.get("features"))
    if labels.ndim == grid.ndim:
        write_labels(path, labels, grid, names)
    elif format_by_name(Path(path)).holds_names:
        remedy = "Save it as .nii.gz, or one time point alone."
        raise InputError(_name(meta), "have no axis of time", f"shape {labels.shape}", remedy)
    else:
        write_nifti(Path(path), labels.astype(fitting_dtype(labels)), grid, "label")
        if names:
            write_names(Path(path), names)
    return [path]


def write_points_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a points layer as CSV: voxels of the image's file, and mm in the patient.

    Name, label and score are those of the features of these names. Without a label, points of
    one name share one, counted from 1; without a name, the label is the name. Points with
    neither are a landmark each: *point 1*, *point 2* and so on. :class:`InputError` if the file is
    that of an open image.
    """
    check_is_no_open_image(Path(path), _open_layers())
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
    frame = Frame.of(grid.affine, ndim)
    positions[:, 3 - ndim :] = frame.points_from_canonical(points, grid.shape)
    marks = marks_of(positions, meta.get("features"), _name(meta))
    write_points(path, named([marks])[0], grid)
    return [path]


def _open_layers() -> list[Any]:
    import napari

    viewer = napari.current_viewer()
    return [] if viewer is None else list(viewer.layers)


def _on_grid(data: Any, meta: Mapping[str, Any], rgb: bool = False) -> tuple[Array, Volume]:
    """Values of a layer in file order, with a first axis of time points, and the grid."""
    array = np.asarray(data[0] if meta.get("multiscale") else data)
    shape = array.shape[:-1] if rgb else array.shape
    if len(shape) not in (2, 3, 4):
        raise InputError(
            _name(meta),
            "have two or three axes of space, and at most one of time",
            f"shape {array.shape}",
            "Split the layer first (right click, Split Stack).",
        )
    ndim = min(len(shape), 3)
    grid = grid_of(meta, shape[-ndim:], ndim)
    frame = Frame.of(grid.affine, ndim)
    if len(shape) == ndim:
        return frame.from_canonical(array, rgb), grid
    return np.stack([frame.from_canonical(part, rgb) for part in array]), grid


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
