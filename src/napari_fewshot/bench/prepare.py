"""Cases as all methods see them: read, resampled, clipped, with the labels that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from ..config import IntensityConfig
from ..errors import InputError, UnknownNameError
from ..io import on_grid
from ..io.checks import as_labels, fitting_dtype
from ..slices.axis import file_axis
from ..slices.grid import resize_plane
from ..slices.intensity import IntensityScaler
from ..types import Array, Landmark, Volume
from .config import BenchmarkConfig, ImageConfig, LabelsConfig
from .datasets import Case

__all__ = ["PreparedCase", "intensity_of", "prepare_case", "resample_points", "resample_volume"]


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case in memory: the labels that count with their names, others being 0, or landmarks.

    The working axis is in file order (0 for 2D images). ``listed`` are labels that the
    configuration lists, whether or not the case has them.
    """

    name: str
    image: Volume
    truth: Volume | None
    landmarks: tuple[Landmark, ...] = ()
    axis: int = 0
    listed: tuple[int, ...] = ()

    @property
    def slices(self) -> int:
        """Number of slices along the working axis."""
        return 1 if self.image.ndim == 2 else self.image.shape[self.axis]

    @property
    def planes(self) -> Array:
        """True labels as a stack of slices, shape (N, H, W)."""
        if self.truth is None:
            raise InputError("dataset", "have labels", f"case {self.name} has none")
        data = self.truth.data
        return data[None] if data.ndim == 2 else np.moveaxis(data, self.axis, 0)

    @cached_property
    def areas(self) -> dict[int, dict[int, int]]:
        """Pixels of each label on the slices that have it; of landmarks, their number."""
        found: dict[int, dict[int, int]] = {}
        if self.truth is None:
            for point in self.landmarks:
                line, index = found.setdefault(point.label, {}), self.slice_of(point)
                line[index] = line.get(index, 0) + 1
            return found
        for index, plane in enumerate(self.planes):
            if plane.any():
                for value, pixels in zip(*np.unique(plane, return_counts=True), strict=True):
                    found.setdefault(int(value), {})[index] = int(pixels)
        return {value: found[value] for value in sorted(found) if value}

    def slice_of(self, point: Landmark) -> int:
        """Slice that a landmark lies on."""
        if self.image.ndim == 2:
            return 0
        return int(np.clip(np.floor(point.position[self.axis] + 0.5), 0, self.slices - 1))


def prepare_case(case: Case, config: BenchmarkConfig) -> PreparedCase:
    """Read a case and bring it to the form in which it is compared."""
    image = case.image()
    if config.image.grey and image.has_channels:
        image = image.with_data(image.data.mean(axis=-1, dtype=np.float32))
    axis = _file_axis(config.dataset.axis, image)
    wants_labels = config.landmarks is None or config.landmarks.templates == "labels"
    truth = case.truth() if case.truth is not None and wants_labels else None
    listed: tuple[int, ...] = ()
    if truth is not None:
        truth, listed = _labels(on_grid(image, truth), config.labels)
    points = tuple(case.landmarks()) if case.landmarks and config.landmarks else ()
    if config.landmarks is not None and config.landmarks.use is not None:
        points = tuple(point for point in points if point.name in config.landmarks.use)
    points = _joined_points(points, config.labels, {} if truth is None else truth.names)
    if config.image.spacing is not None:
        shape = _resampled_shape(image, axis, config.image.spacing, config.image.resample)
        points = resample_points(points, image.shape, shape)
        image = resample_volume(image, shape)
        truth = None if truth is None else resample_volume(truth, shape, labels=True)
    return PreparedCase(case.name, _clipped(image, config.image), truth, points, axis, listed)


def intensity_of(image: ImageConfig) -> IntensityConfig | None:
    """Grey values to 0..1 as the data set asks for; None: as each method does it by itself."""
    if image.window is not None:
        return IntensityConfig(mode="window", low=image.window[0], high=image.window[1])
    if image.percentiles is not None:
        # They are clipped already: what is left is the whole range.
        return IntensityConfig(mode="percentile", low=0, high=100)
    return None


def _file_axis(axis: int | str, image: Volume) -> int:
    try:
        return file_axis(image, None if axis == "auto" else axis)
    except InputError as error:
        raise InputError("dataset.axis", error.constraint, error.given, error.remedy) from None


def _clipped(image: Volume, config: ImageConfig) -> Volume:
    if config.window is not None:
        low, high = config.window
    elif config.percentiles is not None:
        bottom, top = config.percentiles
        wanted = IntensityConfig(mode="percentile", low=bottom, high=top)
        scaler = IntensityScaler.of(image.data, False, wanted)
        low, high = scaler.low[0], scaler.high[0]
    else:
        return image
    data = np.nan_to_num(image.data.astype(np.float32), nan=low, posinf=high, neginf=low)
    return replace(image, data=np.clip(data, low, high))


def _labels(truth: Volume, config: LabelsConfig) -> tuple[Volume, tuple[int, ...]]:
    """Keep the labels that count, and their names; also those that are listed."""
    names = {**truth.names, **config.names}
    # Many cases may be in memory: labels take no more than they need.
    data = as_labels(truth.data, "labels")
    data = data.astype(fitting_dtype(data), copy=False)
    listed = set(config.names)
    if config.use is not None:
        listed = {one if isinstance(one, int) else _number(one, names) for one in config.use}
        data = np.where(np.isin(data, sorted(listed)), data, 0).astype(data.dtype, copy=False)
        names = {value: name for value, name in names.items() if value in listed}
    if config.merge is not None:
        data, names, listed = (data > 0).astype(np.uint8), {1: config.merge}, {1}
    elif config.join:
        data, names, listed = _joined(data, names, listed, config)
    return truth.with_data(data, names=names), tuple(sorted(listed - {0}))


def _joined(
    data: Array, names: dict[int, str], listed: set[int], config: LabelsConfig
) -> tuple[Array, dict[int, str], set[int]]:
    """Give labels that are joined the value of the first of them, and the name of the whole."""
    values = {_number(name, names, "labels.join"): whole for name, whole in config.joined.items()}
    first = {whole: value for value, whole in reversed(values.items())}
    others = {value: name for value, name in names.items() if value not in values}
    for whole in first:
        if whole in others.values():
            raise InputError("labels.join", "make names that no other label has", whole)
    places = np.arange(int(data.max(initial=0)) + 1)
    for value, whole in values.items():
        places[value : value + 1] = first[whole]
    data = places[data]
    data = data.astype(fitting_dtype(data), copy=False)
    names = others | {value: whole for whole, value in first.items()}
    return data, names, {first[values[one]] if one in values else one for one in listed}


def _joined_points(
    points: tuple[Landmark, ...], config: LabelsConfig, names: Mapping[int, str]
) -> tuple[Landmark, ...]:
    """Landmarks under the names, and with the labels, of what they are joined to."""
    numbers = {name: value for value, name in names.items()}
    wholes = [config.joined.get(point.name, point.name) for point in points]
    return tuple(
        replace(point, name=whole, label=numbers.get(whole, point.label))
        for point, whole in zip(points, wholes, strict=True)
    )


def _number(name: str, names: dict[int, str], parameter: str = "labels.use") -> int:
    numbers = {known: value for value, known in names.items()}
    if name in numbers:
        return numbers[name]
    if numbers:
        raise UnknownNameError(parameter, name, numbers)
    raise InputError(parameter, "be numbers, since the labels have no names", name)


def _resampled_shape(
    volume: Volume, axis: int, spacing: float, mode: Literal["inplane", "isotropic"]
) -> tuple[int, ...]:
    """Shape at a spacing in mm; ``inplane`` keeps the slices along the axis."""
    sizes = zip(volume.shape, volume.spacing, strict=True)
    shape = [max(1, round(n * size / spacing)) for n, size in sizes]
    if volume.ndim == 3 and mode == "inplane":
        shape[axis] = volume.shape[axis]
    return tuple(shape)


def resample_volume(volume: Volume, shape: Sequence[int], *, labels: bool = False) -> Volume:
    """Bring a volume to another shape that covers the same region.

    Images are interpolated linearly, averaged where they shrink; of labels the nearest is taken.
    """
    old = volume.shape
    if tuple(shape) == old:
        return volume
    data = volume.data if labels else volume.data.astype(np.float32)
    planes = np.moveaxis(data, -1, 0) if volume.has_channels else data
    planes = resize_plane(planes, (shape[-2], shape[-1]), nearest=labels)
    if volume.ndim == 3:
        # Along the first axis: the others lie flat behind it.
        moved = np.moveaxis(planes, -3, -2)
        moved = resize_plane(moved, (shape[0], shape[2]), nearest=labels)
        planes = np.moveaxis(moved, -2, -3)
    if volume.has_channels:
        planes = np.moveaxis(planes, 0, -1)
    ratio = [n / m for n, m in zip(old, shape, strict=True)]
    sizes = tuple(size * r for size, r in zip(volume.spacing, ratio, strict=True))
    affine = None if volume.affine is None else _scaled(volume.affine, ratio)
    return replace(
        volume, data=np.ascontiguousarray(planes), spacing=sizes, affine=affine, header=None
    )


def resample_points(
    points: Sequence[Landmark], old: Sequence[int], new: Sequence[int]
) -> tuple[Landmark, ...]:
    """Bring landmarks from a grid to another one of the same region; shapes in file order."""
    before, after = ((1,) * (3 - len(shape)) + tuple(shape) for shape in (old, new))
    moved = []
    for point in points:
        z, y, x = (
            (p + 0.5) * m / n - 0.5 for p, n, m in zip(point.position, before, after, strict=True)
        )
        moved.append(replace(point, position=(z, y, x)))
    return tuple(moved)


def _scaled(affine: Array, ratio: Sequence[float]) -> Array:
    """Affine of the new grid; ratio: new voxels in old ones."""
    scale = np.eye(4)
    axes = range(3 - len(ratio), 3)
    scale[axes, axes] = ratio
    # The middle of the first new voxel lies half a new voxel from the corner of the old one.
    scale[axes, 3] = 0.5 * np.array(ratio) - 0.5
    return np.asarray(affine, np.float64) @ scale
