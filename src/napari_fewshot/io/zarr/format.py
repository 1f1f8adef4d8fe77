"""OME-Zarr 0.4 and 0.5 (older ones are read too), through ome-zarr, and plain Zarr arrays.

ome-zarr is an optional dependency (``pip install "napari-fewshot[ome-zarr]"``); plain arrays are
read without it. A group is read at full resolution, an array of it (``image.zarr/1``) as the level
that it is. Axes keep the order of the file, channels become the last one, time points need
``frame``; a depth of one is dropped. The spacing is that of the scales of the level and of the
image. There is no orientation, but in results that were written for an image that has one. As
labels, an image stands for its label group, if it has one; names and colours of labels are those of
``image-label``. What is larger than 256 MB is read block by block, when it is needed.

Results have the axes, scales, units and version of their input where that was OME-Zarr, else are
OME-Zarr 0.5; they have coarser levels, down to 256 voxels.
"""

from __future__ import annotations

import colorsys
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ... import arrays
from ...errors import InputError
from ...types import Volume
from ..calibration import is_known, mm_per_unit
from ..checks import as_image, frame_index, same_affine
from ..formats import Format, stem_of
from ..outputs import replacing
from .arrays import array_of, holds_zarr
from .groups import AFFINE_KEY, RGBA, Axis, find_level, require_ome_zarr
from .pyramid import mean_of_parts, most_frequent, write_levels

__all__ = ["ENTRIES", "OmeZarrHeader"]

_LOGGER = logging.getLogger(__name__)
_SECONDS_PER_UNIT = {
    "second": 1.0,
    "millisecond": 1e-3,
    "microsecond": 1e-6,
    "nanosecond": 1e-9,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}
# Below this, all spacings of an image are those of a microscope.
_SMALL_MM = 0.1


@dataclass(frozen=True, eq=False)
class OmeZarrHeader:
    """What is kept of a file to write results on its grid.

    Axes of space alone, in the order of the file, with the depth of one that the volume does not
    have: ``dropped`` is its number. ``scale`` and ``translation`` are in the units of the axes.
    ``spacing`` (mm) and ``affine`` show whether a volume was changed since.
    """

    version: str
    axes: tuple[Axis, ...]
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    dropped: int | None = None
    spacing: tuple[float, ...] = ()
    affine: Any = None
    colors: Mapping[int, RGBA] = field(default_factory=lambda: MappingProxyType({}))
    frame_step_s: float | None = None

    def belongs_to(self, like: Volume) -> bool:
        """Whether this is still the grid of a volume that others may have cut or moved."""
        shape = tuple(size for axis, size in enumerate(self.shape) if axis != self.dropped)
        same = shape == like.shape and self.spacing == like.spacing
        return same and same_affine(self.affine, like.affine)


def _label_color(value: int) -> RGBA:
    """Colour of a label value that has none yet: neighbouring values get unlike ones."""
    hue = value * 0.61803398875 % 1.0  # the golden section spreads them evenly
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255), 255


def _read(path: Path, frame: int | None, exact: bool) -> Volume:
    level = find_level(path, labels=exact)
    shape = tuple(level.array.shape)
    space, channel, time = _kinds(path, level.axes, shape)
    given = f"axes {', '.join(axis.name for axis in level.axes)} of shape {shape}"
    count = 1 if time is None else shape[time]
    chosen = frame_index(path, frame, count, given, what="time point")
    flat = [k for k, a in enumerate(space) if level.axes[a].name == "z" and shape[a] == 1]
    dropped = flat[0] if flat and len(space) == 3 else None
    kept = [axis for number, axis in enumerate(space) if number != dropped]
    has_channels = channel is not None and shape[channel] > 1
    wanted = [*kept, channel] if channel is not None and has_channels else kept
    index = tuple(
        slice(None) if axis in wanted else chosen if axis == time else 0
        for axis in range(len(shape))
    )
    left = sorted(wanted)
    data = array_of(level.array, level.path)[index].transpose([left.index(a) for a in wanted])
    if data.nbytes <= arrays.LARGE:
        data = arrays.read(data)
    sizes = [abs(level.scale[axis]) * mm_per_unit(level.axes[axis].unit) for axis in kept]
    spacing = tuple(size if size > 0 else 1.0 for size in sizes)
    unknown = [unit for unit in (level.axes[axis].unit for axis in kept) if not is_known(unit)]
    if unknown and not exact:
        _LOGGER.warning("%s counts in %r, which is no known length; taken as mm", path, unknown[0])
    header = OmeZarrHeader(
        level.version,
        tuple(level.axes[axis] for axis in space),
        tuple(shape[axis] for axis in space),
        tuple(level.scale[axis] for axis in space),
        tuple(level.translation[axis] for axis in space),
        dropped,
        spacing,
        level.affine if len(kept) == 3 else None,
        level.colors,
        None if time is None else _seconds(level.scale[time], level.axes[time].unit),
    )
    return Volume(
        data=data if exact else as_image(data, str(path)),
        spacing=spacing,
        affine=header.affine,
        has_channels=has_channels,
        names=level.names,
        source=path,
        header=header,
    )


def _kinds(
    path: Path, axes: Sequence[Axis], shape: tuple[int, ...]
) -> tuple[list[int], int | None, int | None]:
    """Numbers of the axes of space, of that of channels and of that of time."""
    kinds: dict[str, list[int]] = {"space": [], "channel": [], "time": [], "": []}
    for number, axis in enumerate(axes):
        kinds[axis.kind if axis.kind in kinds else ""].append(number)
    space, channels, times = kinds["space"], kinds["channel"], kinds["time"]
    unknown = [number for number in kinds[""] if shape[number] > 1]
    if len(space) not in (2, 3) or len(channels) > 1 or len(times) > 1 or unknown or 0 in shape:
        raise InputError(
            str(path),
            "have two or three axes of space, and at most one of channels and of time",
            f"axes {', '.join(axis.name for axis in axes)} of shape {shape}",
            "Save one position, angle or channel set as an image of its own.",
        )
    return space, channels[0] if channels else None, times[0] if times else None


def _seconds(step: float, unit: str) -> float | None:
    factor = _SECONDS_PER_UNIT.get(unit)
    return step * factor if factor is not None and step > 0 else None


def _write(path: Path, data: Any, like: Volume, *, are_labels: bool = False) -> None:
    """Write a multiscale image; labels with the names of ``like`` and a colour for each."""
    require_ome_zarr(path, "a folder to write")
    import zarr
    from ome_zarr.format import format_from_version
    from ome_zarr.writer import write_multiscales_metadata

    grid = _grid_of(like)
    version = format_from_version(grid.version)
    spacing = [
        abs(size) * mm_per_unit(axis.unit) for size, axis in zip(grid.scale, grid.axes, strict=True)
    ]
    with replacing(path, folder=True) as temporary:
        group = zarr.open_group(
            store=str(temporary), mode="w", zarr_format=2 if version.zarr_format == 2 else 3
        )
        factors = write_levels(
            group,
            data,
            grid.shape,
            spacing,
            [axis.name for axis in grid.axes],
            most_frequent if are_labels else mean_of_parts,
            grid.dropped,
        )
        write_multiscales_metadata(
            group,
            [_dataset(grid, number, factor) for number, factor in enumerate(factors)],
            fmt=version,
            axes=[_axis_entry(axis) for axis in grid.axes],
            name=stem_of(path),
        )
        if are_labels:
            content = _image_label(grid, like.names)
            if grid.version == "0.4":
                group.attrs["image-label"] = content
            else:
                ome: Any = group.attrs["ome"]
                group.attrs["ome"] = {**ome, "image-label": content}
        if like.affine is not None:
            group.attrs[AFFINE_KEY] = {"affine": np.asarray(like.affine, np.float64).tolist()}


def _grid_of(like: Volume) -> OmeZarrHeader:
    """Grid to write on: that of the file, or one that the spacing makes."""
    kept = like.header
    if isinstance(kept, OmeZarrHeader) and kept.belongs_to(like):
        written = {"": "0.5", "0.5": "0.5"}
        return replace(kept, version=written.get(kept.version, "0.4"))
    known = like.affine is not None or any(size != 1 for size in like.spacing)
    small = known and max(like.spacing) < _SMALL_MM
    unit = "micrometer" if small else "millimeter" if known else ""
    scale = tuple(float(f"{size / mm_per_unit(unit):.12g}") for size in like.spacing)
    axes = tuple(Axis(name, "space", unit) for name in "zyx"[3 - like.ndim :])
    return OmeZarrHeader("0.5", axes, like.shape, scale, (0.0,) * like.ndim)


def _dataset(grid: OmeZarrHeader, number: int, factors: Sequence[int]) -> dict[str, Any]:
    """Path and place of a level: its first voxel is centred in the finest ones that it covers."""
    pairs = list(zip(grid.scale, factors, grid.translation, strict=True))
    scale = [size * factor for size, factor, _ in pairs]
    translation = [place + size * (factor - 1) / 2 for size, factor, place in pairs]
    transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if any(translation):
        transforms.append({"type": "translation", "translation": translation})
    return {"path": str(number), "coordinateTransformations": transforms}


def _axis_entry(axis: Axis) -> dict[str, str]:
    entry = {"name": axis.name, "type": axis.kind}
    return {**entry, "unit": axis.unit} if axis.unit else entry


def _image_label(grid: OmeZarrHeader, names: Mapping[int, str]) -> dict[str, Any]:
    """Names and colours, of the same values."""
    values = sorted({value for value in (*names, *grid.colors) if value > 0})
    content: dict[str, Any] = {"version": grid.version}
    if values:
        content["colors"] = [
            {"label-value": value, "rgba": list(grid.colors.get(value) or _label_color(value))}
            for value in values
        ]
        content["properties"] = [
            {"label-value": value, "name": names.get(value, str(value))} for value in values
        ]
    return content


ENTRIES = {
    "zarr": Format(
        "OME-Zarr or Zarr",
        (".ome.zarr", ".zarr"),
        lambda head: False,
        _read,
        _write,
        labels_suffix=".ome.zarr",
        write_labels=partial(_write, are_labels=True),
        holds=holds_zarr,
        is_folder=True,
        holds_names=True,
        choice="ome-zarr",
        require=require_ome_zarr,
    )
}
