"""Objects of a label map: each connected part, cut where touching objects join."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import read, release
from ..config import ObjectsConfig
from ..errors import InputError
from ..io import check_match
from ..io.checks import fitting_dtype
from ..predict.components import Components, blocks_of, widened
from ..scratch import scratch_array
from ..slices.axis import file_axis
from ..types import Array, Box, Progress, Volume, no_progress
from .linking import SliceLinks
from .measure import label_volume
from .splitting import split_part
from .units import parse_size

__all__ = ["separate_objects"]

Heights = Callable[[Box, Array], Array | None]
"""Gives how likely voxels of a box are inside of objects, 0..1; the second value is the mask."""


def separate_objects(
    labels: Volume | npt.ArrayLike,
    *,
    image: Volume | npt.ArrayLike | None = None,
    confidence: Volume | npt.ArrayLike | None = None,
    label: int | Sequence[int] | None = None,
    axis: int | str | None = None,
    config: ObjectsConfig | dict[str, Any] | None = None,
    progress: Progress = no_progress,
) -> Volume:
    """Number the objects of labels, with those that touch cut where they are narrow.

    The distance to the border, in units of length, has a peak in each object; every peak is the
    seed of a watershed, and what no neck divides is joined again. A connected part is worked on at
    a time; about 60 bytes for each voxel of its box are held. Equal input gives equal output.

    Parameters
    ----------
    labels : Volume or int array, shape (Z, Y, X) or (Y, X)
        Label values of at least 0; 0 is background. Objects never reach over two labels.
    image, confidence : Volume or array, optional
        On the same grid; one of both. Where it is low within a part (``config.borders``: or an
        image bright), objects are cut sooner. Confidence is 0..1, uint8 in 255ths.
    label : int or sequence of int, optional
        Labels whose objects are wanted; None: all.
    axis : int or str, optional
        Axis of the slices with ``by="slices"``: in file order, or axial, coronal or sagittal.
        None: axial where the file says how it lies, else 0.
    config : ObjectsConfig or dict, optional
        How parts are cut, and which sizes stay.
    progress : callable
        ``progress(done, total, what)`` over parts or slices.

    Returns
    -------
    Volume
        On the grid of ``labels``, in the smallest of uint8, uint16 and int32 that holds them:
        objects from 1 without gaps, in the order of the file. With
        several labels, ``names`` gives each object that of its label.

    Raises
    ------
    InputError
        If an argument breaks its limit, labels are missing, or grids differ.
    """
    settings = ObjectsConfig.of(config, "config")
    grid = label_volume(labels)
    low = parse_size("min_size", settings.min_size, grid) or 0.0
    high = parse_size("max_size", settings.max_size, grid)
    high = np.inf if high is None else high
    if low > high:
        raise InputError("max_size", "be at least min_size", settings.max_size)
    if settings.connectivity > grid.ndim:
        raise InputError("connectivity", f"be within 1..{grid.ndim}", settings.connectivity)
    wanted = None if label is None else np.unique(np.atleast_1d(np.asarray(label)))
    heights = _heights(grid, image, confidence, settings)
    read_box = _reader(grid.data, wanted)
    result = scratch_array(grid.shape, np.int32)
    if settings.by == "slices" and grid.ndim == 3:
        along = file_axis(grid, axis)
        kinds = _by_slices(grid, along, read_box, heights, settings, result, progress)
    else:
        parts = _parts(read_box, grid, heights, settings, low, progress)
        kinds = _painted(parts, result)
    if wanted is not None:
        missing = sorted(set(wanted.tolist()) - set(kinds.tolist()))
        if missing:
            raise InputError("label", "be labels that occur", ", ".join(map(str, missing)))
    kinds = _sized(result, kinds, low, high)
    names: dict[int, str] = {}
    if len(np.unique(kinds)) > 1:
        names = {k: grid.names.get(int(v), str(v)) for k, v in enumerate(kinds.tolist(), start=1)}
    return replace(grid, data=_fitting(result, len(kinds)), names=names)


def _reader(data: Array, wanted: Array | None) -> Callable[[Box], Array]:
    def read_box(where: Box) -> Array:
        part = read(data[where])
        release(data)
        return part if wanted is None else np.where(np.isin(part, wanted), part, 0)

    return read_box


def _heights(
    grid: Volume,
    image: Volume | npt.ArrayLike | None,
    confidence: Volume | npt.ArrayLike | None,
    config: ObjectsConfig,
) -> Heights:
    if image is not None and confidence is not None:
        raise InputError("confidence", "not stand beside an image", "both", "Give one of both.")
    given = confidence if image is None else image
    if given is None:
        return lambda where, mask: None
    volume = given
    if not isinstance(volume, Volume):
        volume = replace(Volume.of(given, channels=False), spacing=grid.spacing, affine=grid.affine)
    check_match(volume, grid)
    data = volume.data

    def of_confidence(where: Box, mask: Array) -> Array:
        part = read(data[where])
        scale = 255.0 if part.dtype == np.uint8 else 1.0
        found = np.nan_to_num(part.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
        likely: Array = np.clip(found / scale, 0, 1)
        return likely

    def of_image(where: Box, mask: Array) -> Array:
        part = read(data[where]).astype(np.float32)
        if volume.has_channels:
            part = part.mean(axis=-1)
        values = part[mask & np.isfinite(part)]
        low, high = np.percentile(values, (1, 99)) if values.size else (0.0, 0.0)
        if not low < high:
            return np.ones_like(part)
        scaled = np.clip((np.nan_to_num(part, nan=low) - low) / (high - low), 0, 1)
        return 1 - scaled if config.borders == "bright" else scaled

    if confidence is not None:
        if volume.has_channels:
            raise InputError("confidence", "have one channel", f"shape {data.shape}")
        return of_confidence
    return of_image


def _parts(
    read_box: Callable[[Box], Array],
    grid: Volume,
    heights: Heights,
    config: ObjectsConfig,
    min_size: float,
    progress: Progress,
) -> Iterator[tuple[Box, Array, int]]:
    """Boxes of connected parts, their objects from 1, and their labels."""
    parts = Components(read_box, grid.shape, config.connectivity)
    total = len(parts.sizes) - 1
    spacing = np.array(grid.spacing)
    for number, box in enumerate(parts.boxes(range(1, total + 1)), start=1):
        progress(number - 1, total, "separate")
        around = widened(box, [1] * grid.ndim, grid.shape)
        inner = tuple(
            slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, around, strict=True)
        )
        mask = np.zeros([side.stop - side.start for side in around], bool)
        mask[inner] = parts.mask(number, box)
        height = heights(around, mask)
        objects = split_part(mask, spacing, config, height, min_size)
        yield around, objects, int(parts.values[number])
    progress(total, total, "separate")


def _painted(parts: Iterator[tuple[Box, Array, int]], result: Array) -> Array:
    """Write objects into an array of zeros; label (N,) of each."""
    kinds: list[int] = []
    for where, objects, kind in parts:
        inside = objects > 0
        result[where][inside] = objects[inside] + len(kinds)
        release(result)
        kinds += [kind] * int(objects.max())
    return np.array(kinds, np.int64)


def _by_slices(
    grid: Volume,
    axis: int,
    read_box: Callable[[Box], Array],
    heights: Heights,
    config: ObjectsConfig,
    result: Array,
    progress: Progress,
) -> Array:
    """Objects of each slice, linked where they overlap; label (N,) of each."""
    links = SliceLinks(config.overlap)
    count = grid.shape[axis]
    flat = Volume(
        np.broadcast_to(np.uint8(0), _without(grid.shape, axis)), _without(grid.spacing, axis)
    )
    inner = config.model_copy(update={"connectivity": min(config.connectivity, 2)})
    for index in range(count):
        progress(index, count, "separate")

        def there(where: Box, index: int = index) -> Box:
            return (*where[:axis], slice(index, index + 1), *where[axis:])

        def of_slice(where: Box) -> Array:
            return read_box(there(where)).squeeze(axis)

        def height(where: Box, mask: Array) -> Array | None:
            found = heights(there(where), np.expand_dims(mask, axis))
            return None if found is None else found.squeeze(axis)

        plane = np.zeros(flat.shape, np.int32)
        kinds = _painted(_parts(of_slice, flat, height, inner, 0.0, no_progress), plane)
        numbered = links.take(plane, kinds)
        result[(slice(None),) * axis + (index,)] = numbered
        release(result)
    progress(count, count, "separate")
    names, kinds = links.finish()
    for where in blocks_of(result.shape):
        result[where] = names[result[where]]
        release(result)
    return kinds


def _without(values: Sequence[Any], axis: int) -> tuple[Any, ...]:
    return (*values[:axis], *values[axis + 1 :])


def _sized(result: Array, kinds: Array, low: float, high: float) -> Array:
    """Leave out objects of other sizes, and number the rest in array order; their labels."""
    count = len(kinds)
    sizes, first = np.zeros(count + 1, np.int64), np.full(count + 1, result.size, np.int64)
    for where in blocks_of(result.shape):
        part = result[where]
        sizes += np.bincount(part.ravel(), minlength=count + 1)
        values, places = np.unique(part, return_index=True)
        at = np.unravel_index(places, part.shape)
        corner = [k + side.start for k, side in zip(at, where, strict=True)]
        first[values] = np.minimum(first[values], np.ravel_multi_index(corner, result.shape))
        release(result)
    keep = (sizes >= max(low, 1)) & (sizes <= high)
    keep[0] = False
    order = np.flatnonzero(keep)
    order = order[np.argsort(first[order])]
    names = np.zeros(count + 1, np.int32)
    names[order] = np.arange(1, len(order) + 1)
    for where in blocks_of(result.shape):
        result[where] = names[result[where]]
        release(result)
    found: Array = kinds[order - 1]
    return found


def _fitting(result: Array, count: int) -> Array:
    kind = fitting_dtype(np.array([count]))
    if kind == result.dtype:
        return result
    found = scratch_array(result.shape, kind)
    for where in blocks_of(result.shape):
        found[where] = result[where]
        release(result)
        release(found)
    return found
