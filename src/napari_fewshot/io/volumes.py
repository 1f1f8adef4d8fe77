"""Path to volume and back: the format is chosen by content on reading, by name on writing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..errors import InputError
from ..types import Array, Volume
from .formats import format_by_name, sniff_format
from .names import read_names, write_names
from .values import as_labels, fitting_dtype

__all__ = ["read_labels", "read_volume", "write_image", "write_labels"]

_LOGGER = logging.getLogger(__name__)


def read_volume(path: str | Path, *, frame: int | None = None) -> Volume:
    """Read an image.

    The content decides on the format, whatever the name ends in. NaN and infinite values are
    kept (intensity normalisation ignores them), and constant or empty images are read like
    others. See :mod:`~napari_fewshot.io.nifti`, :mod:`~napari_fewshot.io.tiff`,
    :mod:`~napari_fewshot.io.png`, :mod:`~napari_fewshot.io.jpeg`, :mod:`~napari_fewshot.io.itk`
    and :mod:`~napari_fewshot.io.dicom` for what each format means by axes, spacing and channels.

    Parameters
    ----------
    path : str or Path
        The file; for DICOM the folder of a series, or one of its files.
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
    return _read(Path(path), frame, exact=False)


def read_labels(path: str | Path, *, frame: int | None = None) -> Volume:
    """Read a label image.

    Whole numbers stored as floats and grey images stored as colours are accepted; palette
    images give their indices. Names come from ``<stem>_labels.json`` or ``labels.json`` in the
    same folder, where there is one (see :func:`~.names.read_names`); else from the file, where it
    has some (``.seg.nrrd``).

    Returns
    -------
    Volume
        Integer data of at most 32 bits, without channels.

    Raises
    ------
    InputError
        As :func:`read_volume`, and if the values are no labels: see
        :func:`~.values.as_labels`.
    """
    path = Path(path)
    volume = _read(path, frame, exact=True)
    data = as_labels(volume.data, str(path), volume.has_channels)
    return replace(volume, data=data, has_channels=False, names=read_names(path) or volume.names)


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
        Names of labels, written to a JSON file beside, where :func:`read_labels` finds them.

    Raises
    ------
    InputError
        If the shape differs, the values are no labels or too large for the format, or the path
        cannot be written.
    """
    path = Path(path)
    labels = _same_grid("labels", labels, like)
    labels = as_labels(labels, "labels")
    target = format_by_name(path)
    write = target.write_labels or target.write
    write(path, labels.astype(fitting_dtype(labels), copy=False), like)
    if names:
        write_names(path, names)


def write_image(path: str | Path, data: Array, like: Volume) -> None:
    """Write an image, such as the confidence, as ``float32`` on the grid of ``like``.

    Raises
    ------
    InputError
        If the shape differs, the format has no floats, or the path cannot be written.
    """
    path = Path(path)
    data = _same_grid("data", data, like).astype(np.float32, copy=False)
    format_by_name(path).write(path, data, like)


def _read(path: Path, frame: int | None, exact: bool) -> Volume:
    found = sniff_format(path)
    if not path.name.lower().endswith(found.suffixes):
        _LOGGER.info("%s is read as %s, which its content is", path, found.title)
    return found.read(path, frame, exact)


def _same_grid(parameter: str, data: Array, like: Volume) -> Array:
    data = np.asarray(data)
    if data.shape != like.shape:
        raise InputError(parameter, f"have shape {like.shape}", f"shape {data.shape}")
    return data
