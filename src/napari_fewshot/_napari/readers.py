"""Readers of npe2: NIfTI, NRRD, MetaImage and OME-Zarr as image or labels, CSV of points.

A file is a **labels** layer when it says so (NIfTI by the intent code ``LABEL``, which our writers
set, ``.seg.nrrd`` by its ending), or when its name does (a word such as *labels*, *seg* or *mask*)
and its values can be labels; else it is an **image**. The menu commands override that, and so does
``viewer.open(..., layer_type=...)`` (of integers: napari only relabels what the reader gave).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..arrays import is_lazy
from ..errors import InputError
from ..io import FORMATS, read_labels, read_points, read_volume, sniff_format, stem_of
from ..io.checks import as_labels
from ..io.image_jobs import count_frames
from ..io.nifti.format import NiftiHeader, read_nifti_frames
from ..io.volumes import read_names
from ..io.zarr.contents import label_groups
from ..io.zarr.format import OmeZarrHeader
from ..io.zarr.groups import find_level
from ..types import Volume
from .grid import empty_grid, grids_in_viewer
from .layers import LayerData, face_patient, image_layer, labels_layer, landmarks_layer
from .whole_view import show_next_whole

__all__ = [
    "medical_reader",
    "nifti_reader",
    "points_reader",
    "read_image",
    "read_label_map",
    "read_point_file",
    "read_zarr",
    "zarr_reader",
]

Reader = Callable[[str | list[str]], list[LayerData]]

_WORDS = re.compile(
    r"(?<![a-z])(labels?|labelmap|seg|dseg|segmentation|mask|parcellation)(?![a-z])"
)


def nifti_reader(path: str | list[str]) -> Reader | None:
    """Return the reader for NIfTI files, or None if the first one is of another format."""
    return _each_file(_read_nifti) if _is_of(path, "nifti") else None


def medical_reader(path: str | list[str]) -> Reader | None:
    """Return the reader for NRRD and MetaImage, or None if the first file is of another format."""
    return _each_file(_read_medical) if _is_of(path, "nrrd", "metaimage") else None


def zarr_reader(path: str | list[str]) -> Reader | None:
    """Return the reader for OME-Zarr and Zarr, or None if the first path is no such folder."""
    return _each_file(read_zarr) if _is_of(path, "zarr") else None


def points_reader(path: str | list[str]) -> Reader | None:
    """Return the reader for CSV files of points, or None if the columns are others."""
    paths = _paths(path)
    return _each_file(read_point_file) if paths and _has_point_columns(paths[0]) else None


def read_image(path: str | Path, frame: int | None = None) -> list[LayerData]:
    """Read an image file of any format as image layers, whatever it says that it is.

    Several time points become one layer with a first axis T, unless ``frame`` chooses one. Three
    or four channels of 8 bits are colours; other channels become a layer each.
    """
    path = Path(path)
    if frame is not None:
        return _image_layers([read_volume(path, frame=frame)], stem_of(path))
    return _image_layers(_frames(path), stem_of(path))


def read_label_map(path: str | Path) -> list[LayerData]:
    """Read a file of any format as a labels layer, with the names of a JSON file beside it."""
    path = Path(path)
    frames = _frames(path, labels=True)
    layers = [labels_layer(frame, stem_of(path)) for frame in frames]
    return [_in_time(layers, frames)]


def read_zarr(path: str | Path) -> list[LayerData]:
    """Read an OME-Zarr image with its label images, or a label image; large images stay on disk.

    It is a label image if its metadata, or its name, say so.
    """
    path = Path(path)
    name = stem_of(path)
    level = find_level(path)
    if level.is_labels or _named_as_labels(path):
        return [labels_layer(read_labels(path), name)]
    layers = _image_layers(_frames(path), name)
    for group in label_groups(level.group / "labels"):
        labels = _frames(group, labels=True)
        shown = [labels_layer(one, f"{name} {group.name}") for one in labels]
        layers.append(_in_time(shown, labels))
    return layers


def read_point_file(path: str | Path) -> list[LayerData]:
    """Read a CSV file of points onto the image that they belong to.

    That is, in this order: an image of the viewer whose name begins the name of the file, the
    only image of the viewer, an image file of that name beside it; else nothing, and the voxel
    coordinates are shown as they are. Labels that the file does not give are left open: counted
    file by file, a name would have another in each.
    """
    path = Path(path)
    like = _image_of_points(path)
    marks = read_points(path, like)
    if "label" not in _columns(path):
        marks = [replace(m, label=0) if m.name != str(m.label) else m for m in marks]
    return [landmarks_layer(marks, like, path.stem)]


def _read_nifti(path: Path) -> list[LayerData]:
    frames = read_nifti_frames(path)
    header = frames[0].header
    says_labels = isinstance(header, NiftiHeader) and header.says_labels
    if says_labels or _named_as_labels(path):
        try:
            return read_label_map(path)
        except InputError:
            if says_labels:
                raise
    return _image_layers(frames, stem_of(path))


def _read_medical(path: Path) -> list[LayerData]:
    image = read_volume(path)
    if path.name.lower().endswith(".seg.nrrd") or _named_as_labels(path):
        try:
            return [labels_layer(read_labels(path), stem_of(path))]
        except InputError:
            pass  # it has the name alone
    return _image_layers([image], stem_of(path))


def _named_as_labels(path: Path) -> bool:
    """Whether a word in the name of a file says that it holds labels."""
    return _WORDS.search(stem_of(path).lower()) is not None


def _frames(path: Path, *, labels: bool = False) -> list[Volume]:
    """All time points of a file."""
    if not _is_of(str(path), "nifti"):
        read = read_labels if labels else read_volume
        return [read(path, frame=frame) for frame in range(count_frames(path))]
    frames = read_nifti_frames(path, exact=labels)
    if not labels:
        return frames
    names = read_names(path)
    return [
        # A volume of labels has no channels, also where it was stored as grey colours.
        replace(
            one,
            data=as_labels(one.data, str(path), one.has_channels),
            has_channels=False,
            names=names,
        )
        for one in frames
    ]


def _image_layers(frames: list[Volume], name: str) -> list[LayerData]:
    """Image layers of the time points of a file; channels that are no colours get one each."""
    first = frames[0]
    show_next_whole()
    if first.affine is not None and first.ndim == 3:
        face_patient()
    coloured = first.data.dtype == np.uint8 and first.data.shape[-1] in (3, 4)
    if not first.has_channels or coloured:
        return [_in_time([image_layer(frame, name) for frame in frames], frames)]
    layers = []
    for channel in range(first.data.shape[-1]):
        parts = [frame.with_data(frame.data[..., channel]) for frame in frames]
        own = [image_layer(part, f"{name} {channel}") for part in parts]
        layers.append(_in_time(own, frames))
    return layers


def _in_time(layers: list[LayerData], frames: list[Volume]) -> LayerData:
    """Join the layers of several time points to one with a first axis T."""
    if len(layers) == 1:
        return layers[0]
    _, options, kind = layers[0]
    header = frames[0].header
    known = isinstance(header, (NiftiHeader, OmeZarrHeader))
    step = header.frame_step_s if known else None
    options = {
        **options,
        "scale": (step or 1.0, *options["scale"]),
        "translate": (0.0, *options["translate"]),
        "units": ("pixel" if step is None else "s", *options["units"]),
        "axis_labels": ("T", *options["axis_labels"]),
    }
    parts = [layer[0] for layer in layers]
    if any(is_lazy(part) for part in parts):
        from dask.array import stack

        return stack(parts), options, kind
    return np.stack(parts), options, kind


def _image_of_points(path: Path) -> Volume:
    images = grids_in_viewer("image")
    named = [(name, grid) for name, grid in images if path.stem.startswith(name)]
    named.sort(key=lambda pair: -len(pair[0]))
    if named or len(images) == 1:
        return (named or images)[0][1]
    stem = re.sub(r"[._-]?(landmarks|points|fiducials)$", "", path.stem)
    for _, known in FORMATS.items():
        for ending in known.suffixes:
            beside = path.with_name(f"{stem}{ending}")
            if beside.is_file():
                return read_volume(beside)
    ndim = 3 if "z" in _columns(path) else 2
    return Volume(empty_grid(ndim), (1.0,) * ndim)


def _has_point_columns(path: Path) -> bool:
    columns = _columns(path)
    return bool(columns & {"name", "label"}) and (columns >= {"y", "x"} or columns >= {*"ras"})


def _columns(path: Path) -> set[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return {name.strip().lower() for name in next(csv.reader(stream), [])}
    except (OSError, UnicodeDecodeError, csv.Error):
        return set()


def _is_of(path: str | list[str], *formats: str) -> bool:
    paths = _paths(path)
    try:
        return bool(paths) and sniff_format(paths[0]) in [FORMATS.get(name) for name in formats]
    except InputError:
        return False


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(one) for one in path]


def _each_file(read: Callable[[Path], list[LayerData]]) -> Reader:
    """Make a reader for one path or several of what reads one."""

    def reader(path: str | list[str]) -> list[LayerData]:
        return [layer for one in _paths(path) for layer in read(one)]

    return reader
