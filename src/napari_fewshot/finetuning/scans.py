"""Images without labels: what can be learned from them, and slices out of those that are open."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import FinetuneConfig, IntensityConfig
from ..errors import Cancelled, InputError, concerns_all
from ..io.volumes import read_volume
from ..slices.axis import working_axis
from ..slices.stack import SliceStack
from ..types import Array, Progress, Volume, no_progress

__all__ = ["Drawn", "ImageLike", "ScanSummary", "Scans"]

ImageLike = str | os.PathLike[str] | Volume | npt.ArrayLike
"""A file, a volume, or an array: of numpy, dask, zarr or HDF5."""

_LEAST_SIDE = 16
_CHECKED = 64
"""Images, evenly spaced among all, of which voxels are looked at before the start."""
_RAW = IntensityConfig(mode="window", low=0, high=1)
_TRIES = 50
_FLAT = 1e-6


@dataclass(frozen=True)
class ScanSummary:
    """What was found, without names of files.

    Parameters
    ----------
    images, slices : int
        That can be drawn.
    left_out : int
        Images that cannot be read, are constant or too small.
    channels : int
    rows, columns : tuple of int
        Smallest and largest of the slices.
    spacing : tuple of tuple of float
        Smallest and largest spacing in mm, across slices, of rows and of columns.
    grey : tuple of float
        Medians, over the images that were looked at, of what becomes black and white.
    """

    images: int
    slices: int
    left_out: int
    channels: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    spacing: tuple[tuple[float, float], ...]
    grey: tuple[float, float]

    def describe(self) -> str:
        """One line for people."""
        sides = " × ".join(_range(*side) for side in (self.rows, self.columns))
        spacing = " × ".join(_range(*one) for one in self.spacing)
        kind = "grey" if self.channels == 1 else f"{self.channels} channels"
        return (
            f"{self.images} images, {self.slices} slices of {sides} pixels ({kind}), spacing "
            f"{spacing} mm, grey values {self.grey[0]:g} to {self.grey[1]:g}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Values that JSON can hold."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values


def _range(low: float, high: float) -> str:
    return f"{low:.3g}" if low == high else f"{low:.3g}–{high:.3g}"


@dataclass(frozen=True)
class Drawn:
    """A slice of a stack, with others of the same stack near it."""

    stack: SliceStack
    index: int


class Scans:
    """Images that slices are drawn from; few of them are open at a time.

    Which slices a step has is a function of the seed and the number of the step.

    Parameters
    ----------
    images : sequence
        Files, volumes or arrays that :meth:`of` has looked at.
    config : FinetuneConfig
    summary : ScanSummary
    left_out : tuple of (str, str)
        Images that are not among them, and why.
    keys : tuple of str
        What tells each image from others: for checkpoints.
    """

    def __init__(
        self,
        images: Sequence[ImageLike],
        config: FinetuneConfig,
        summary: ScanSummary,
        left_out: tuple[tuple[str, str], ...],
        keys: tuple[str, ...],
    ) -> None:
        self._images, self._config = images, config
        self.summary, self.left_out, self.keys = summary, left_out, keys
        self._open: OrderedDict[tuple[int, int], SliceStack] = OrderedDict()
        self._flat = summary.slices == summary.images

    @classmethod
    def of(
        cls,
        images: Iterable[ImageLike],
        config: FinetuneConfig,
        progress: Progress = no_progress,
    ) -> Scans:
        """Look at images: each is opened, and voxels of some are read.

        Raises
        ------
        InputError
            If none can be used, their channels differ in number, or the axis is none of theirs.
        """
        given = list(images)
        looked_at = set(np.linspace(0, len(given) - 1, min(len(given), _CHECKED)).astype(int))
        good: list[ImageLike] = []
        found: list[_Look] = []
        left_out: list[tuple[str, str]] = []
        for number, image in enumerate(given):
            name = _name(image, number)
            try:
                found.append(_look(image, config, number in looked_at))
                good.append(image)
            except _UnfitError as error:
                left_out.append((name, str(error)))
            except (InputError, OSError) as error:
                at_fault = isinstance(error, InputError) and error.parameter == "axis"
                if concerns_all(error) or isinstance(error, Cancelled) or at_fault:
                    raise
                left_out.append((name, " ".join(str(error).split())))
            progress(number + 1, len(given), "looking at images")
        if not good:
            first = f"{left_out[0][0]}: {left_out[0][1]}" if left_out else "none"
            more = f", and {len(left_out) - 1} more" if left_out[1:] else ""
            raise InputError("images", "have one that can be learned from", first + more)
        _check_channels(good, found)
        return cls(good, config, _summary(found, len(left_out)), tuple(left_out),
                   tuple(one.key for one in found))  # fmt: skip

    def __len__(self) -> int:
        return len(self._images)

    def draw(self, step: int, rng: np.random.Generator) -> Drawn:
        """Draw a slice that is not constant for a step.

        Raises
        ------
        InputError
            If none is found among the open images.
        """
        for _ in range(_TRIES):
            window = min(len(self), self._config.open_images)
            begin = step if self._flat else step // self._config.stay
            number = self._numbered(begin + int(rng.integers(window)))
            axis = int(rng.integers(3)) if self._config.axis == "all" else -1
            try:
                stack = self._stack(number, axis, window)
                index = int(rng.integers(len(stack)))
                plane = stack.slice(index)
            except (InputError, OSError) as error:  # damaged behind what was looked at
                if concerns_all(error):
                    raise
                continue
            if float(np.ptp(plane)) > _FLAT and min(plane.shape[1:]) >= _LEAST_SIDE:
                return Drawn(stack, index)
        raise InputError("images", "have slices that are not constant", f"{_TRIES} that are")

    def _numbered(self, place: int) -> int:
        """Image at a place of an endless list, in which every image comes once in each round."""
        turn, within = divmod(place, len(self))
        order = np.random.default_rng([self._config.seed, turn]).permutation(len(self))
        return int(order[within])

    def _stack(self, number: int, axis: int, window: int) -> SliceStack:
        key = number, axis
        if key not in self._open:
            most = (window + 1) * (3 if self._config.axis == "all" else 1)
            while len(self._open) >= most:
                self._open.popitem(last=False)
            self._open[key] = _stack_of(self._images[number], self._config, axis)
        self._open.move_to_end(key)
        return self._open[key]


class _UnfitError(Exception):
    """An image that nothing can be learned from."""


@dataclass(frozen=True)
class _Look:
    """What was seen of one image."""

    slices: int
    shape: tuple[int, int]
    channels: int
    spacing: tuple[float, float, float]
    grey: tuple[float, float] | None
    key: str


def _stack_of(image: ImageLike, config: FinetuneConfig, axis: int = -1) -> SliceStack:
    volume = read_volume(Path(image)) if isinstance(image, str | os.PathLike) else Volume.of(image)
    if axis < 0 or volume.ndim == 2:
        wanted = None if config.axis in ("auto", "all") else config.axis
        axis = working_axis(volume, wanted)
    return SliceStack(volume, axis, config.intensity, config.resampling)


def _look(image: ImageLike, config: FinetuneConfig, whole: bool) -> _Look:
    # Percentiles are of all voxels; of most images no voxel is read now.
    stack = _stack_of(image, config if whole else _unscaled(config))
    if min(stack.shape) < _LEAST_SIDE:
        sides = " × ".join(map(str, stack.shape))
        raise _UnfitError(f"slices of {sides} pixels are too small; {_LEAST_SIDE} at least")
    grey = None
    if whole:
        some = {len(stack) // 4, len(stack) // 2, 3 * len(stack) // 4}
        if not any(float(np.ptp(stack.slice(index))) > _FLAT for index in sorted(some)):
            raise _UnfitError("it is constant")
        grey = stack.black_and_white
    key = repr((stack.volume.shape, stack.volume.data.dtype.str, stack.spacing))
    return _Look(len(stack), stack.shape, stack.channels, stack.spacing, grey, key)


def _unscaled(config: FinetuneConfig) -> FinetuneConfig:
    """Settings with which no voxel is read to know what is black and white."""
    raw = _RAW.model_copy(update={"channels": config.intensity.channels})
    return config.model_copy(update={"intensity": raw})


def _name(image: ImageLike, number: int) -> str:
    if isinstance(image, Volume) and image.source is not None:
        return str(image.source)
    return str(Path(image)) if isinstance(image, str | os.PathLike) else f"image {number}"


def _check_channels(images: Sequence[ImageLike], found: Sequence[_Look]) -> None:
    kinds: dict[int, str] = {}
    for number, (image, one) in enumerate(zip(images, found, strict=True)):
        kinds.setdefault(one.channels, _name(image, number))
    if len(kinds) > 1:
        given = " and ".join(f"{count} ({name})" for count, name in sorted(kinds.items()))
        raise InputError(
            "images", "have one number of channels", given, "Choose channels, e.g. 0 of each."
        )


def _summary(found: Sequence[_Look], left_out: int) -> ScanSummary:
    def extent(values: Array) -> tuple[Any, Any]:
        return values.min().item(), values.max().item()

    rows, columns = (extent(np.array([one.shape[k] for one in found])) for k in (0, 1))
    spacing = np.array([one.spacing for one in found])
    grey = np.array([one.grey for one in found if one.grey is not None])
    black, white = np.median(grey, axis=0).tolist()
    return ScanSummary(
        images=len(found),
        slices=sum(one.slices for one in found),
        left_out=left_out,
        channels=found[0].channels,
        rows=rows,
        columns=columns,
        spacing=tuple(extent(spacing[:, k]) for k in range(3)),
        grey=(black, white),
    )
