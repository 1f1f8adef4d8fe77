"""Measurements of labels and of objects, a block of the arrays at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from ..arrays import read, release
from ..errors import InputError
from ..io import check_match
from ..io.checks import as_labels
from ..metrics.contingency import compact_labels, present_labels
from ..predict.components import Components, blocks_of
from ..types import Array, Box, Progress, Volume, no_progress
from .units import PER_MM, LengthUnit, resolve_unit, size_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["label_volume", "measure_labels"]


def measure_labels(
    labels: Volume | npt.ArrayLike,
    image: Volume | npt.ArrayLike | None = None,
    *,
    objects: bool = False,
    connectivity: int = 1,
    unit: str = "auto",
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """Measure each label of a label map, or each object.

    Sizes, centres and boxes are those of :func:`skimage.measure.regionprops_table`. Arrays are
    read in blocks of about four million voxels, so that neither need fit in memory.

    Parameters
    ----------
    labels : Volume or int array, shape (Z, Y, X) or (Y, X)
        Label values of at least 0; 0 is background and is not measured. In a map of instances each
        label is an object already.
    image : Volume or array, optional
        On the same grid, with a last axis of channels or none. NaN and infinite values count for
        nothing.
    objects : bool
        A row for each connected component of each label, in place of one for each label.
    connectivity : int
        Voxels of an object touch across faces (1), edges too (2) or corners too (3).
    unit : {"auto", "mm", "um", "pixels"}
        Unit of lengths. ``auto``: µm where the finest spacing is below 0.02 mm, else mm, and
        pixels where the spacing is 1 along all axes and there is no orientation.
    progress : callable
        ``progress(done, total, what)`` over blocks.

    Returns
    -------
    pandas.DataFrame
        A row for each label, in rising order, or for each object: its ``label``, its ``name``, the
        number of the ``object`` within its label, ``voxels`` (``pixels`` in 2D); ``volume_mm3``,
        ``volume_um3``, ``area_mm2`` or ``area_um2``; the centroid in voxels of the file order
        (``centroid_z``, …), in mm or µm from the centre of the first voxel (``centroid_z_mm``, …)
        and, where there is an affine, in mm in the patient (``R``, ``A``, ``S``); the bounding box
        by its first and last voxel (``first_z``, ``last_z``, …); ``mean_intensity`` and
        ``std_intensity``, with the number of the channel behind where there are several.

    Raises
    ------
    InputError
        If labels are no integers of at least 0, the image is on another grid, or a unit of length
        is asked for where there is none.
    """
    import pandas as pd

    grid = label_volume(labels)
    length = resolve_unit(unit, grid)
    if connectivity not in range(1, grid.ndim + 1):
        raise InputError("connectivity", f"be within 1..{grid.ndim}", connectivity)
    picture = None
    if image is not None:
        picture = image if isinstance(image, Volume) else _on_grid(image, grid)
        check_match(picture, grid)
    parts = _Objects(grid, connectivity) if objects else _Labels(grid)
    total, shift = _measured(parts, picture, progress)
    values = parts.labels(total.keys)
    order = np.argsort(values, kind="stable")
    columns = _geometry(total.rows(order), values[order], grid, length, objects)
    if shift is not None:
        columns |= _intensities(total.rows(order), shift)
    return pd.DataFrame(columns)


def label_volume(labels: Volume | npt.ArrayLike) -> Volume:
    """Take labels as they are, or wrap an array, and check their values.

    Raises
    ------
    InputError
        If they are no integers of at least 0 of two or three axes.
    """
    volume = Volume.of(labels, channels=None if isinstance(labels, Volume) else False)
    data = as_labels(volume.data, str(volume.source or "labels"), volume.has_channels)
    return replace(volume, data=data, has_channels=False)


def _on_grid(image: npt.ArrayLike, grid: Volume) -> Volume:
    """Wrap an array that belongs to a grid; a further axis holds channels."""
    array = Volume.of(image, channels=np.ndim(cast(Any, image)) == grid.ndim + 1)
    return Volume(array.data, grid.spacing, grid.affine, array.has_channels)


class _Labels:
    """Each label as one region."""

    def __init__(self, grid: Volume) -> None:
        self._data = grid.data
        self.count = len(blocks_of(grid.shape))

    def blocks(self) -> Iterator[tuple[Box, Array, Array]]:
        """Parts of the array, their regions numbered from 1, and the keys of these."""
        for where in blocks_of(self._data.shape):
            part = read(self._data[where])
            keys = present_labels(part)
            yield where, compact_labels(part, keys), keys
            release(self._data)

    def labels(self, keys: Array) -> Array:
        """Label of each key."""
        return keys


class _Objects:
    """Each connected component as one region."""

    def __init__(self, grid: Volume, connectivity: int) -> None:
        data = grid.data

        def part(where: Box) -> Array:
            values = read(data[where])
            release(data)
            return values

        self._parts = Components(part, grid.shape, connectivity)
        self.count = len(blocks_of(grid.shape))

    def blocks(self) -> Iterator[tuple[Box, Array, Array]]:
        """Parts of the array, their regions numbered from 1, and the keys of these."""
        for where, numbers, names in self._parts.blocks():
            yield where, numbers, names[1:]

    def labels(self, keys: Array) -> Array:
        """Label of each key."""
        found: Array = self._parts.values[keys]
        return found


@dataclass(frozen=True, eq=False)
class _Sums:
    """What regions of N keys add up to, over D axes and C channels.

    Intensities are summed as they differ from ``shift``, that of some voxel, since squares of large
    values leave no digits for a small deviation.
    """

    keys: Array
    voxels: Array
    places: Array
    first: Array
    last: Array
    values: Array
    squares: Array
    known: Array

    @classmethod
    def joined(cls, parts: list[_Sums]) -> _Sums:
        """Add what parts of the arrays have given, by keys."""
        keys, row = np.unique(np.concatenate([part.keys for part in parts]), return_inverse=True)

        def total(name: str) -> Array:
            add, start = _JOINED.get(name, (np.add, 0))
            every = np.concatenate([getattr(part, name) for part in parts])
            result = np.full((len(keys), *every.shape[1:]), start, every.dtype)
            add.at(result, row, every)
            return result

        return cls(keys, *(total(one.name) for one in fields(cls)[1:]))

    def rows(self, chosen: Array) -> _Sums:
        """Return some regions, in this order."""
        return _Sums(*(getattr(self, one.name)[chosen] for one in fields(self)))


_JOINED: dict[str, tuple[np.ufunc, int]] = {
    "first": (np.minimum, np.iinfo(np.int64).max),
    "last": (np.maximum, -1),
}


def _measured(
    parts: _Labels | _Objects, image: Volume | None, progress: Progress
) -> tuple[_Sums, Array | None]:
    """What all blocks add up to, and the intensities (C,) that values are relative to."""
    shift: Array | None = None
    found: list[_Sums] = []
    for done, (where, numbers, keys) in enumerate(parts.blocks()):
        progress(done, parts.count, "measure")
        pixels = None if image is None else _pixels(image, where)
        if shift is None and pixels is not None:
            first = pixels.reshape(-1, pixels.shape[-1])[0].astype(np.float64)
            shift = np.where(np.isfinite(first), first, 0.0)
        found.append(_block_sums(where, numbers, keys, pixels, shift))
        if image is not None:
            release(image.data)
    progress(parts.count, parts.count, "measure")
    return _Sums.joined(found), shift


def _pixels(image: Volume, where: Box) -> Array:
    """Intensities of a block, with an axis of channels."""
    part = read(image.data[where])
    return part if image.has_channels else part[..., None]


def _block_sums(
    where: Box, numbers: Array, keys: Array, pixels: Array | None, shift: Array | None
) -> _Sums:
    from skimage.measure import regionprops_table

    ndim, count = len(where), len(keys)
    corner = np.array([side.start for side in where])
    # A block of a component may hold it in the layer before alone.
    table = regionprops_table(numbers, properties=("label", "num_pixels", "centroid", "bbox"))
    row = table["label"] - 1
    voxels = table["num_pixels"].astype(np.int64)
    centre = np.stack([table[f"centroid-{axis}"] for axis in range(ndim)], axis=1)
    box = np.stack([table[f"bbox-{side}"] for side in range(2 * ndim)], axis=1).astype(np.int64)
    channels = 0 if pixels is None else pixels.shape[-1]
    sums = np.zeros((3, count, channels))
    for channel in range(channels):
        values = cast(Array, pixels)[..., channel].astype(np.float64) - cast(Array, shift)[channel]
        use = np.isfinite(values) & (numbers > 0)
        at, values = numbers[use], values[use]
        for place, weights in enumerate((values, values**2, None)):
            sums[place, :, channel] = np.bincount(at, weights, count + 1)[1:]
    return _Sums(
        keys[row],
        voxels,
        (centre + corner) * voxels[:, None],
        box[:, :ndim] + corner,
        box[:, ndim:] + corner - 1,
        *sums[:, row],
    )


def _geometry(
    total: _Sums, labels: Array, grid: Volume, length: LengthUnit | None, objects: bool
) -> dict[str, Any]:
    """Columns of what regions are and where they lie."""
    axes = "zyx"[3 - grid.ndim :]
    columns: dict[str, Any] = {
        "label": labels,
        "name": [grid.names.get(int(value), str(value)) for value in labels],
    }
    if objects:
        columns["object"] = np.arange(1, len(labels) + 1) - np.searchsorted(labels, labels)
    columns["voxels" if grid.ndim == 3 else "pixels"] = total.voxels
    centre = total.places / total.voxels[:, None]
    sizes = np.array(grid.spacing) * (1.0 if length is None else PER_MM[length])
    if length is not None:
        columns[size_name(length, grid.ndim)] = total.voxels * sizes.prod()
    columns |= {f"centroid_{letter}": centre[:, at] for at, letter in enumerate(axes)}
    if length is not None:
        for at, letter in enumerate(axes):
            columns[f"centroid_{letter}_{length}"] = centre[:, at] * sizes[at]
    if length is not None and grid.affine is not None:
        full = np.pad(centre, ((0, 0), (3 - grid.ndim, 0)))
        patient = full @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        columns |= {letter: patient[:, at] for at, letter in enumerate("RAS")}
    for at, letter in enumerate(axes):
        columns[f"first_{letter}"] = total.first[:, at]
        columns[f"last_{letter}"] = total.last[:, at]
    return columns


def _intensities(total: _Sums, shift: Array) -> dict[str, Array]:
    """Columns of mean and standard deviation of each channel; nan where no value is finite."""
    columns = {}
    with np.errstate(invalid="ignore"):
        means = total.values / total.known
        deviations = np.sqrt(np.maximum(total.squares / total.known - means**2, 0))
    for channel, base in enumerate(shift):
        behind = f"_{channel}" if len(shift) > 1 else ""
        columns[f"mean_intensity{behind}"] = means[:, channel] + base
        columns[f"std_intensity{behind}"] = deviations[:, channel]
    return columns
