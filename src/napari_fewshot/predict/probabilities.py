"""The loop of every prediction: slices of a stack through a predictor, back on their own grid.

Whatever labels slices — a pixel adapter on a backbone, the decoder of SAM, a network trained
from scratch — gives class probabilities of working slices; order, neighbours, smoothing,
resampling to the grid of the file and progress are here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np

from ..adapters.base import Adapter
from ..arrays import release
from ..errors import InputError
from ..features.extract import FeatureExtractor
from ..parallel import ordered_map, used_up
from ..scratch import IN_MEMORY, bands, scratch_array
from ..slices.grid import resize_plane
from ..slices.stack import WHOLE, SlicePosition, SliceStack, Window
from ..types import Array, FeatureMap, Progress, SliceFeatures, no_progress
from .smoothing import Mixing, PlaneCache, missing_in_turn

__all__ = [
    "AdapterPredictor",
    "Predictor",
    "SliceWork",
    "Watch",
    "class_probabilities",
    "slice_probabilities",
]

_BAND = 2**16
"""Pixels that an adapter predicts at once."""
Part = TypeVar("Part")
Tick = Callable[[int, int], None]
Watch = Callable[[int, SliceFeatures, FeatureMap], None]


def no_tick(done: int, parts: int) -> None:
    """Take no notice of parts."""


class Predictor(Protocol):
    """Anything that gives class probabilities for the slices of a stack."""

    def planes(
        self, stack: SliceStack, indices: Sequence[int], tick: Tick = no_tick, /
    ) -> Iterator[Array]:
        """Class probabilities of working slices, each computed when it is asked for.

        Arrays of shape (L + 1, H, W), float32, in the order of ``indices``; class 0 is
        background. Where a slice is predicted part by part, ``tick(done, parts)`` is called after
        each; it may raise ``Cancelled``.
        """
        ...


class AdapterPredictor:
    """A fitted adapter on the features of a backbone.

    Slices, and bands of rows of large ones, are predicted side by side. Of features there are never
    more in memory than a few tiles, and of a plane that is large itself a few bands.

    ``watch(index, features, part)`` is called with the features of each slice that is predicted,
    for each of their parts. With a ``window``, planes are of these rows and columns alone.
    """

    def __init__(
        self,
        adapter: Adapter,
        extractor: FeatureExtractor,
        watch: Watch | None = None,
        window: Window | None = None,
    ) -> None:
        self._adapter = adapter
        self._extractor = extractor
        self._watch = watch
        self._window = window

    def planes(
        self, stack: SliceStack, indices: Sequence[int], tick: Tick = no_tick, /
    ) -> Iterator[Array]:
        """Class probabilities of working slices; see :class:`Predictor`."""
        height, width = (side.stop - side.start for side in self._sides(stack))
        bands = ordered_map(partial(self._predicted, stack), self._bands(stack, indices, tick))
        with used_up(bands):
            for _, found in groupby(bands, key=lambda band: band[0]):
                plane: Array | None = None
                for _, (row, column), band in found:
                    if band.shape[1:] == (height, width):
                        plane = band
                        break
                    if plane is None:
                        plane = scratch_array((len(band), height, width), np.float32)
                    plane[:, row : row + band.shape[1], column : column + band.shape[2]] = band
                    release(plane)
                if plane is not None:
                    yield plane

    def parts(self, stack: SliceStack) -> int:
        """Number of parts in which each slice is predicted."""
        return self._extractor.parts(stack, self._window)

    def _bands(
        self, stack: SliceStack, indices: Sequence[int], tick: Tick
    ) -> Iterator[tuple[int, FeatureMap, slice]]:
        """Rows of the parts of slices, so many as are predicted at once."""
        requirements, window = self._adapter.requirements, self._window
        maps = self._extractor.maps(stack, indices, padding=requirements.padding, window=window)
        count = self.parts(stack)
        sides = self._sides(stack)
        for index, features in maps:
            for number, part in enumerate(features.parts(), 1):
                if self._watch is not None:
                    self._watch(index, features, part)
                whole = [slice(0, part.shape[0])]
                for rows in whole if requirements.whole else bands(*part.shape, at_once=_BAND):
                    if _seen(part, rows, sides):
                        yield index, part, rows
                if count > 1:
                    tick(number, count)

    def _predicted(
        self, stack: SliceStack, band: tuple[int, FeatureMap, slice]
    ) -> tuple[int, tuple[int, int], Array]:
        index, part, rows = band
        sides = self._sides(stack)
        found = self._adapter.predict(part, stack.position(index), rows)
        corner = part.origin[0] + rows.start, part.origin[1]
        (top, bottom), (left, right) = (
            (max(0, side.start - at), side.stop - at)
            for side, at in zip(sides, corner, strict=True)
        )
        row, column = (max(0, at - side.start) for side, at in zip(sides, corner, strict=True))
        return index, (row, column), found[:, top:bottom, left:right]

    def _sides(self, stack: SliceStack) -> Window:
        """Rows and columns that are predicted."""
        height, width = stack.shape
        return self._window or (slice(0, height), slice(0, width))


def _seen(part: FeatureMap, rows: slice, sides: Window) -> bool:
    """Whether rows of a part have anything of these rows and columns of the slice."""
    top, left = part.origin
    here = slice(top + rows.start, top + rows.stop), slice(left, left + part.shape[1])
    pairs = zip(here, sides, strict=True)
    return all(own.start < side.stop and own.stop > side.start for own, side in pairs)


def class_probabilities(
    adapter: Adapter, features: SliceFeatures, position: SlicePosition
) -> Array:
    """Class probabilities of one slice, (L + 1, H, W), float32, from all parts of its features."""
    plane: Array | None = None
    for part in features.parts():
        (top, left), (height, width) = part.origin, part.shape
        found = adapter.predict(part, position)
        if found.shape[1:] == features.shape:
            return found
        if plane is None:
            plane = scratch_array((len(found), *features.shape), np.float32)
        plane[:, top : top + height, left : left + width] = found
    if plane is None:
        raise ValueError("features without a part")
    return plane


class SliceWork(ABC, Generic[Part]):
    """Work on the slices of a stack, in any order, as the file counts them along :attr:`axis`.

    Attributes
    ----------
    axis : int
        Axis of the slices in file order.
    """

    _parameter: ClassVar[str]
    """What a slice that is asked for is called."""

    def __init__(self, stack: SliceStack) -> None:
        self._stack = stack
        self.axis, self._numbers = stack.file_slices()

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self._numbers)

    def run(
        self, order: Sequence[int] | None = None, progress: Progress = no_progress
    ) -> Iterator[Part]:
        """Work on slices, all of them or some.

        Parameters
        ----------
        order : sequence of int, optional
            Slices in the order in which they are wanted; None: all.
        progress : callable
            Called after every slice; it may raise ``Cancelled``. What was done stays.

        Raises
        ------
        InputError
            If an index is not in the volume; before anything is done.
        """
        return self._run(self._checked(range(len(self)) if order is None else order), progress)

    @abstractmethod
    def _run(self, wanted: Sequence[int], progress: Progress) -> Iterator[Part]: ...

    def _checked(self, order: Sequence[int]) -> list[int]:
        wanted = []
        for index in order:
            if not 0 <= index < len(self):
                raise InputError(self._parameter, f"be within 0..{len(self) - 1}", index)
            wanted.append(int(index))
        return wanted

    def _plane(self, array: Array, index: int) -> Array:
        """View a slice of an array in file order."""
        return array if array.ndim == 2 else np.moveaxis(array, self.axis, 0)[index]


def slice_probabilities(
    stack: SliceStack,
    predictor: Predictor,
    smoothing: float = 0.0,
    progress: Progress = no_progress,
    order: Sequence[int] | None = None,
    across: bool = True,
    keep: Window = WHOLE,
) -> Iterator[tuple[int, Array]]:
    """Class probabilities of slices on the original grid of the stack.

    Memory holds the probabilities of a few neighbouring slices, whatever their number.

    Parameters
    ----------
    stack : SliceStack
        The slices.
    predictor : Predictor
        Gives the probabilities of working slices.
    smoothing : float
        Standard deviation of a Gaussian over the probabilities, in pixels of the working
        slices; across slices the same distance in mm, but one slice at most, and none where
        the spacing is not plausible (see :class:`~napari_fewshot.slices.stack.SliceStack`):
        tags may lie, and what is smoothed away over many slices is lost. 0: none.
    progress : callable
        Called after every slice that was predicted.
    order : sequence of int, optional
        Slices of the stack before resampling, in the order in which they are wanted; None: all.
        Neighbours that smoothing needs are predicted too, once for each run of neighbouring
        slices in the order.
    across : bool
        Whether to smooth across slices too; without, a slice needs no neighbours.
    keep : (slice, slice)
        What is wanted of planes; see :func:`~napari_fewshot.predict.smoothing.windows_of`.

    Yields
    ------
    index : int
        Slice of the stack before resampling.
    probabilities : array, shape (L + 1, H, W), float32
        They sum to 1 at every pixel.
    """
    ticks = 0

    def tick(part: int, parts: int) -> None:
        nonlocal ticks
        ticks += 1
        progress(ticks, len(missing) * parts, "tiles")

    mixing = Mixing(stack, smoothing, across)
    grid = stack.grid
    wanted = range(grid.shape[0]) if order is None else order
    parts = [mixing.parts(index) for index in wanted]
    missing = missing_in_turn(parts)
    done = 0
    predicted = ordered_map(mixing.blurred, predictor.planes(stack, missing, tick))
    cache = PlaneCache(parts)
    with used_up(predicted):
        for index, weights in zip(wanted, parts, strict=True):
            for number in weights:
                if not cache.touch(number):
                    cache.planes[number] = next(predicted)
                    done += 1
                    if not ticks:
                        progress(done, len(missing), "slices")
            planes = [(cache.planes[number], weight) for number, weight in weights.items()]
            cache.drop()
            mixed = planes[0][0] if len(planes) == 1 else _mixed(planes)
            if grid.changes_plane:
                mixed = _resized(mixed, (grid.shape[1], grid.shape[2]))
            yield index, mixed[:, *keep]


def _mixed(planes: Sequence[tuple[Array, float]]) -> Array:
    """Weighted sum of planes."""
    result = scratch_array(planes[0][0].shape, np.float32)
    for rows in bands(result.shape[1], result[:, 0].size):
        result[:, rows] = sum(weight * plane[:, rows] for plane, weight in planes)
    for array in (result, *(plane for plane, _ in planes)):
        release(array)
    return result


def _resized(plane: Array, shape: tuple[int, int]) -> Array:
    """Probabilities (L + 1, H, W) on the grid of the file; large ones class by class."""
    if plane.nbytes <= IN_MEMORY:
        return resize_plane(plane, shape)
    result = scratch_array((len(plane), *shape), np.float32)
    for number, one in enumerate(plane):
        result[number] = resize_plane(one, shape)
    release(result)
    return result
