"""Which array of an OME-Zarr group is meant, and what its metadata say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError, UnreadableFileError
from ...types import Array
from ..calibration import ome_calibration
from .arrays import holds_zarr, open_node
from .contents import (
    arrays_in,
    below,
    images_below,
    images_of_plate,
    images_of_series,
    images_of_well,
    label_groups,
    ome_attributes,
)

if TYPE_CHECKING:
    import zarr

__all__ = ["AFFINE_KEY", "RGBA", "Axis", "Level", "find_level", "require_ome_zarr"]

RGBA = tuple[int, int, int, int]

AFFINE_KEY = "napari-fewshot"
"""Attribute of our results that keeps what OME-Zarr has no words for: where a patient lies."""

_KINDS = {"x": "space", "y": "space", "z": "space", "c": "channel", "t": "time"}
_NAME_KEYS = ("name", "class", "label")
# How far above an array its group may lie: some programs write ``scale0/image``.
_LEVELS_UP = 3


@dataclass(frozen=True)
class Axis:
    """An axis of the file: ``kind`` is space, channel, time, or anything else."""

    name: str
    kind: str
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Level:
    """An array with what is known of it; ``group`` is the image that it was found in.

    ``scale`` and ``translation`` are in the units of the axes; ``version`` is empty for an array
    without metadata. ``names`` and ``colors`` are those of label values.
    """

    path: Path
    group: Path
    array: zarr.Array[Any]
    axes: tuple[Axis, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    version: str = ""
    names: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    colors: Mapping[int, RGBA] = field(default_factory=lambda: MappingProxyType({}))
    affine: Array | None = None
    is_labels: bool = False


def require_ome_zarr(path: Path, what: str) -> Any:
    """Return the module ome_zarr; if it is not installed, the error names the extra."""
    try:
        return import_module("ome_zarr")
    except ImportError as error:
        raise InputError(
            str(path),
            "be of a format that is read without ome-zarr (a plain Zarr array, NIfTI, TIFF)",
            f"{what}; ome-zarr is not installed",
            'Install it: pip install "napari-fewshot[ome-zarr]".',
        ) from error


def find_level(path: Path, *, labels: bool = False) -> Level:
    """Find the array that a Zarr folder stands for.

    An image stands for its full resolution; an array of it for itself. With ``labels``, an image
    stands for its only label group.

    Raises
    ------
    InputError
        If there are several images or label groups to choose from; the message says which.
    UnreadableFileError
        If the metadata are damaged or of an unknown version.
    """
    node = open_node(path)
    if not hasattr(node, "members"):
        return _level_of_array(path, node)
    attributes = ome_attributes(node)
    if "multiscales" in attributes:
        if labels and "image-label" not in attributes:
            groups = label_groups(path / "labels")
            if groups:
                return find_level(_only(path, groups, "label group"))
        return _level(path, node, attributes)
    if "labels" in attributes or path.name == "labels":
        groups = label_groups(path)
        if labels and groups:
            return find_level(_only(path, groups, "label group"))
        raise _several(path, "an image", "a group of label images", groups)
    if "plate" in attributes:
        images = images_of_plate(path, attributes["plate"])
        raise _several(path, "one image", "a plate", images, every="*/*/*")
    if "well" in attributes:
        raise _several(path, "one image", "a well", images_of_well(path), every="*")
    images = images_of_series(path, node) or images_below(path)
    if images:
        return find_level(_only(path, images, "image"), labels=labels)
    raise _several(path, "an image", "a group without OME metadata", arrays_in(path, node))


def _level_of_array(path: Path, array: Any) -> Level:
    """Array given by itself: of a group that names it as a level, or plain."""
    path = path.absolute()
    for parent in path.parents[:_LEVELS_UP]:
        if not holds_zarr(parent):
            continue
        group = open_node(parent)
        attributes = ome_attributes(group)
        if "multiscales" in attributes:
            return _level(parent, group, attributes, path.relative_to(parent).as_posix())
    named = getattr(array.metadata, "dimension_names", None) or ()
    if bool(named) and all(name in _KINDS for name in named):
        axes = tuple(Axis(name, _KINDS[name]) for name in named)
    else:
        axes = _guessed_axes(path, array)
    return Level(path, path, array, axes, (1.0,) * array.ndim, (0.0,) * array.ndim)


def _guessed_axes(path: Path, array: Any) -> tuple[Axis, ...]:
    """Axes of an array that does not name them: (Z, Y, X) or (Y, X), and colours behind."""
    colours = array.ndim > 2 and array.shape[-1] in (3, 4) and array.dtype == "uint8"
    spatial = array.ndim - int(colours)
    if spatial not in (2, 3):
        raise InputError(
            str(path),
            "have two or three axes, and at most one of colours behind them",
            f"a Zarr array of shape {array.shape} without names of axes",
            "Save it as OME-Zarr, which names them.",
        )
    names = "zyx"[3 - spatial :] + "c" * colours
    return tuple(Axis(name, _KINDS[name]) for name in names)


def _level(path: Path, group: Any, attributes: Mapping[str, Any], name: str | None = None) -> Level:
    """Level of a multiscale image: that called ``name``, or the first, which is the finest."""
    require_ome_zarr(path, "an OME-Zarr image")
    try:
        image = attributes["multiscales"][0]
        version = _version(path, attributes, image)
        names = [str(dataset["path"]) for dataset in image["datasets"]]
        if name is not None and name not in names:
            raise InputError(str(path), f"name its levels ({', '.join(names)})", name)
        number = 0 if name is None else names.index(name)
        axes = _axes(image, version)
        array = open_node(below(path, names[number]))
        if hasattr(array, "members") or array.ndim != len(axes):
            raise ValueError(f"{len(axes)} axes for {names[number]}, which has others")
        scale, translation = [1.0] * len(axes), [0.0] * len(axes)
        transforms = [
            *image["datasets"][number].get("coordinateTransformations", ()),
            *image.get("coordinateTransformations", ()),
        ]
        for transform in transforms:
            scale, translation = _transformed(transform, scale, translation)
        names_of, colors = _image_label(attributes.get("image-label", {}))
        affine = _affine(group)
        if not transforms:
            finest: Any = array if number == 0 else open_node(below(path, names[0]))
            axes, scale = _sizes_beside(path, axes, finest.shape, array.shape)
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UnreadableFileError(
            str(path), "have whole OME-Zarr metadata", str(error) or type(error).__name__
        ) from error
    place = below(path, names[number])
    return Level(
        place,
        path if name is None else place,
        array,
        axes,
        tuple(scale),
        tuple(translation),
        version,
        MappingProxyType(names_of),
        MappingProxyType(colors),
        affine if number == 0 else None,
        "image-label" in attributes,
    )


def _version(path: Path, attributes: Mapping[str, Any], image: Mapping[str, Any]) -> str:
    """Version of the format; programs that do not say it are told apart by what axes are."""
    from ome_zarr.format import format_from_version

    axes = image.get("axes")
    guess = "0.1" if axes is None else "0.4" if isinstance(axes[0], Mapping) else "0.3"
    version = str(attributes.get("version") or image.get("version") or guess)
    try:
        format_from_version(version)
    except ValueError:
        raise UnreadableFileError(
            str(path),
            "be OME-Zarr 0.1 to 0.5",
            f"version {version}",
            "Convert it, or install a newer ome-zarr and napari-fewshot.",
        ) from None
    return version


def _axes(image: Mapping[str, Any], version: str) -> tuple[Axis, ...]:
    from ome_zarr.axes import Axes
    from ome_zarr.format import format_from_version

    listed = Axes(image.get("axes"), fmt=format_from_version(version)).axes
    return tuple(
        Axis(
            str(axis["name"]),
            str(axis.get("type") or _KINDS.get(axis["name"], "")),
            str(axis.get("unit") or ""),
        )
        for axis in listed
    )


def _transformed(
    transform: Mapping[str, Any], scale: Sequence[float], translation: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Put one more transformation behind a scale and a translation."""
    kind = transform["type"]
    if kind == "identity":
        return list(scale), list(translation)
    values = [float(value) for value in transform[kind]]  # of a path to a file: not read
    if not all(isfinite(value) for value in values):
        raise ValueError(f"a {kind} of {values}")
    if kind == "translation":
        return list(scale), [old + new for old, new in zip(translation, values, strict=True)]
    if kind != "scale":
        raise ValueError(f"a transformation of type {kind}")
    pairs = zip(scale, translation, values, strict=True)
    scaled = [(size * new, place * new) for size, place, new in pairs]
    return [size for size, _ in scaled], [place for _, place in scaled]


def _sizes_beside(
    path: Path, axes: tuple[Axis, ...], finest: Sequence[int], shape: Sequence[int]
) -> tuple[tuple[Axis, ...], list[float]]:
    """Axes with units, and scales, that the OME-XML beside a series of older files tells."""
    beside = path.parent / "OME" / "METADATA.ome.xml"
    known = None
    if path.name.isdecimal() and beside.is_file():
        known = ome_calibration(beside.read_text("utf-8", "replace"), 3, int(path.name))
    if known is None:
        return axes, [1.0] * len(axes)
    sizes = dict(zip("zyx", known.spacing, strict=True))
    scaled, scales = [], []
    for axis, whole, length in zip(axes, finest, shape, strict=True):
        size = sizes.get(axis.name)
        scaled.append(axis if size is None else Axis(axis.name, axis.kind, "micrometer"))
        # Coarser levels are told by their shapes alone.
        scales.append(1.0 if size is None else size * 1e3 * max(1, round(whole / length)))
    return tuple(scaled), scales


def _image_label(content: Mapping[str, Any]) -> tuple[dict[int, str], dict[int, RGBA]]:
    """Names and colours of label values."""
    names: dict[int, str] = {}
    for entry in content.get("properties") or ():
        given = [entry[key] for key in _NAME_KEYS if isinstance(entry.get(key), str)]
        value = int(entry["label-value"])
        if value > 0 and given and given[0] != str(value):
            names[value] = given[0]
    colors: dict[int, RGBA] = {}
    for entry in content.get("colors") or ():
        rgba = entry.get("rgba")
        if rgba and len(rgba) == 4:
            r, g, b, a = (int(value) for value in rgba)
            colors[int(entry["label-value"])] = (r, g, b, a)
    return names, colors


def _affine(group: Any) -> Array | None:
    """Affine of a result of ours."""
    kept = dict(group.attrs).get(AFFINE_KEY)
    if not isinstance(kept, Mapping) or "affine" not in kept:
        return None
    affine = np.array(kept["affine"], np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise ValueError(f"an affine of shape {affine.shape}, or not finite")
    return affine


def _only(path: Path, found: list[Path], what: str) -> Path:
    if len(found) > 1:
        raise _several(path, f"hold one {what}", f"{len(found)}", found, verb="")
    return found[0]


def _several(
    path: Path,
    wanted: str,
    given: str,
    found: Sequence[Path],
    *,
    verb: str = "be ",
    every: str = "",
) -> InputError:
    """Make the error for a group that is not one image, with what to give instead."""
    shown = ", ".join(str(one) for one in found[:3]) + (", ..." if len(found) > 3 else "")
    remedy = f"Give one of it: {shown}." if found else "Give the folder of an image."
    if found and every:
        remedy += f" A pattern gives all: '{path / every}'."
    return InputError(str(path), f"{verb}{wanted}", given, remedy)
