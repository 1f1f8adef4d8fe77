"""Path to volume and back, with the names of labels.

The format is chosen by content on reading, by name on writing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import cast

import numpy as np
import numpy.typing as npt

from ..arrays import wrapped
from ..errors import InputError
from ..types import Array, Volume
from .blocks import Retyped
from .checks import FrameError, as_labels, fitting_dtype, warn_of_blur
from .formats import format_by_name, split_inside, stem_of
from .opening import read_file
from .outputs import in_run, is_ours, replacing
from .temporaries import remove

__all__ = [
    "name_files",
    "read_labels",
    "read_labels_at",
    "read_names",
    "read_volume",
    "read_volume_at",
    "write_image",
    "write_labels",
    "write_names",
    "write_telling_names",
]

_LOGGER = logging.getLogger(__name__)


def read_volume(path: str | Path, *, frame: int | None = None) -> Volume:
    """Read an image.

    The content decides on the format, whatever the name ends in. NaN and infinite values are
    kept (intensity normalisation ignores them), and constant or empty images are read like
    others. See :mod:`~napari_fewshot.io.nifti.format`, :mod:`~napari_fewshot.io.tiff.format`,
    :mod:`~napari_fewshot.io.png_jpeg`, :mod:`~napari_fewshot.io.itk.format`,
    :mod:`~napari_fewshot.io.dicom.format` and :mod:`~napari_fewshot.io.hdf5` for what each
    format means by axes, spacing and channels.

    Parameters
    ----------
    path : str or Path
        The file; for DICOM the folder of a series, or one of its files; for HDF5 the file, or
        ``FILE.h5/name`` of one of its data sets.
    frame : int, optional
        Time point of a file that holds several, counted from 0.

    Returns
    -------
    Volume
        Integers keep their dtype, all else is ``float32``; file order (k, j, i).

    Raises
    ------
    InputError
        If there is no such file, or it holds more than one image and ``frame`` does not say
        which.
    UnreadableFileError
        If the file is damaged, truncated, or of a format that is not read.
    """
    return read_file(Path(path), frame, exact=False)


def read_labels(path: str | Path, *, frame: int | None = None) -> Volume:
    """Read a label image.

    Whole numbers stored as floats and grey images stored as colours are accepted; palette
    images give their indices. Names come from ``<stem>_labels.json`` or ``labels.json`` in the
    same folder, where there is one (see :func:`~.volumes.read_names`); else from the file, where
    it has some (``.seg.nrrd``).

    Returns
    -------
    Volume
        Integer data of at most 32 bits, without channels.

    Raises
    ------
    InputError
        As :func:`read_volume`, and if the values are no labels: see
        :func:`~.checks.as_labels`.
    """
    path = Path(path)
    volume = read_file(path, frame, exact=True)
    data = as_labels(volume.data, str(path), volume.has_channels)
    warn_of_blur(data, str(path))
    within = volume.names if path.is_dir() else {}  # the names of a Zarr folder go with it
    names = within or read_names(path) or volume.names
    return replace(volume, data=data, has_channels=False, names=names)


def read_labels_at(path: str | Path, frame: int | None) -> Volume:
    """Read the labels of a time point; those of a single volume are of every time point.

    Raises
    ------
    InputError
        As :func:`read_labels`.
    """
    return _at(read_labels, path, frame)


def read_volume_at(path: str | Path, frame: int | None) -> Volume:
    """Read the image of a time point; a single volume is of every time point.

    Raises
    ------
    InputError
        As :func:`read_volume`.
    """
    return _at(read_volume, path, frame)


def _at(read: Callable[..., Volume], path: str | Path, frame: int | None) -> Volume:
    try:
        return read(path)
    except FrameError:
        if frame is None:
            raise
    return read(path, frame=frame)


def write_labels(
    path: str | Path,
    labels: Array,
    like: Volume,
    names: Mapping[int, str] = MappingProxyType({}),
) -> None:
    """Write a label map on the grid of ``like``.

    The format follows the ending of ``path``. Values are stored in the smallest of ``uint8``,
    ``uint16`` and ``int32`` that holds them.

    Parameters
    ----------
    path : str or Path
        The file to write; missing folders are made.
    labels : array of int, shape ``like.shape``
        Label values from 0, in the file order of ``like``.
    like : Volume
        The volume that the labels belong to; its geometry is written exactly.
    names : mapping of int to str
        Names of labels, written to a JSON file beside, where :func:`read_labels` finds them
        (into the file where that holds names: OME-Zarr, DICOM-SEG); there, those alone that say
        more than the value.

    Raises
    ------
    InputError
        If the shape differs, the values are no labels or too large for the format, or the path
        cannot be written.
    """
    path = Path(path)
    labels = as_labels(_same_grid("labels", labels, like), "labels")
    stored = _as_dtype(labels, fitting_dtype(labels))
    _write(path, stored, replace(like, names=names), are_labels=True)
    if not format_by_name(path).holds_names:
        write_telling_names(path, names)


def write_image(path: str | Path, data: Array, like: Volume) -> None:
    """Write an image, such as the confidence, as ``float32`` on the grid of ``like``.

    Raises
    ------
    InputError
        If the shape differs, the format has no floats, or the path cannot be written.
    """
    _write(Path(path), _as_dtype(_same_grid("data", data, like), np.float32), like)


def name_files(path: Path) -> tuple[Path, Path]:
    """Files that :func:`read_names` looks for beside a label image, the first one first."""
    stem = stem_of(path).removesuffix("_labels")
    path = split_inside(path)[0]
    return path.with_name(f"{stem}_labels.json"), path.with_name("labels.json")


def read_names(path: Path) -> Mapping[int, str]:
    """Find the names of the values of a label image (at least 1); empty where there are none.

    ``<stem>_labels.json`` is tried first (``<stem>.json`` where the stem itself ends in
    ``_labels``), then ``labels.json`` in the same folder. Either holds an object such as
    ``{"1": "spleen"}``. A file that does not is ignored with a warning.
    """
    for candidate in name_files(path):
        if candidate.is_file():
            names = _parse_names(candidate)
            if names is not None:
                return MappingProxyType(names)
    return MappingProxyType({})


def write_names(path: Path, names: Mapping[int, str]) -> None:
    """Write names beside the label image ``path``, where :func:`read_names` looks first.

    Outside of a run nobody has named that file: names of other values in it stay, and a file that
    is none of names stays as it is, with a warning. Without names nothing is written, and what an
    earlier run wrote there goes: its values meant something else.
    """
    target, found = name_files(path)[0], dict(names)
    if not names:
        if in_run() and target.is_file() and is_ours(target):
            remove(target)
        return
    if not in_run() and target.is_file():
        before = _parse_names(target)
        if before is None:
            return
        found = before | found
    text = json.dumps({str(value): name for value, name in sorted(found.items())}, indent=1)
    with replacing(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_telling_names(path: Path, names: Mapping[int, str]) -> None:
    """Write those names, as :func:`write_names` does, that are not the values themselves."""
    write_names(path, {value: name for value, name in names.items() if name != str(value)})


def _as_dtype(array: Array, dtype: npt.DTypeLike) -> Array:
    """Return an array of a dtype, itself if it is; another is converted as it is written."""
    return array if array.dtype == dtype else cast(Array, Retyped(array, dtype))


def _write(path: Path, data: Array, like: Volume, *, are_labels: bool = False) -> None:
    target = format_by_name(path)
    write = target.write_labels if are_labels and target.write_labels else target.write
    if write is None:
        raise InputError(str(path), f"be {target.not_written}", f"data of shape {data.shape}")
    write(path, data, like)


def _same_grid(parameter: str, data: Array, like: Volume) -> Array:
    data = wrapped(data)
    if data.shape != like.shape:
        raise InputError(parameter, f"have shape {like.shape}", f"shape {data.shape}")
    return data


def _parse_names(path: Path) -> dict[int, str] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {int(value): name for value, name in content.items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        names = None
    if names is None or not all(isinstance(name, str) for name in names.values()):
        _LOGGER.warning(
            '%s is ignored: names of labels must be an object such as {"1": "spleen"}', path
        )
        return None
    return {value: name for value, name in names.items() if value > 0}
