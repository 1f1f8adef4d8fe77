"""The loop of every prediction: slices of a stack through a predictor, back on their own grid.

Whatever labels slices — a pixel adapter on a backbone, the decoder of SAM, a network trained
from scratch — gives class probabilities of working slices; order, neighbours, smoothing,
resampling to the grid of the file and progress are here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np

from ..adapters.base import Adapter
from ..arrays import release
from ..errors import InputError
from ..features.extract import FeatureExtractor
from ..parallel import ordered_map
from ..scratch import IN_MEMORY, bands, scratch_array
from ..slices.grid import resize_plane
from ..slices.stack import SlicePosition, SliceStack
from ..types import Array, FeatureMap, Progress, SliceFeatures, no_progress

__all__ = [
    "AdapterPredictor",
    "Predictor",
    "SliceWork",
    "class_probabilities",
    "fused_probabilities",
    "slice_probabilities",
]

_TRUNCATE = 3.0
_BAND = 2**16
"""Pixels that an adapter predicts at once."""
Part = TypeVar("Part")
Tick = Callable[[int, int], None]


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
    for each of their parts.
    """

    def __init__(
        self,
        adapter: Adapter,
        extractor: FeatureExtractor,
        watch: Callable[[int, SliceFeatures, FeatureMap], None] | None = None,
    ) -> None:
        self._adapter = adapter
        self._extractor = extractor
        self._watch = watch

    def planes(
        self, stack: SliceStack, indices: Sequence[int], tick: Tick = no_tick, /
    ) -> Iterator[Array]:
        """Class probabilities of working slices; see :class:`Predictor`."""
        bands = ordered_map(partial(self._predicted, stack), self._bands(stack, indices, tick))
        for _, found in groupby(bands, key=lambda band: band[0]):
            plane: Array | None = None
            for _, (row, column), band in found:
                if band.shape[1:] == stack.shape:
                    plane = band
                    break
                if plane is None:
                    plane = scratch_array((len(band), *stack.shape), np.float32)
                plane[:, row : row + band.shape[1], column : column + band.shape[2]] = band
                release(plane)
            if plane is not None:
                yield plane

    def _bands(
        self, stack: SliceStack, indices: Sequence[int], tick: Tick
    ) -> Iterator[tuple[int, FeatureMap, slice]]:
        """Rows of the parts of slices, so many as are predicted at once."""
        requirements = self._adapter.requirements
        maps = self._extractor.maps(stack, indices, padding=requirements.padding)
        count = self._extractor.parts(stack)
        for index, features in maps:
            for number, part in enumerate(features.parts(), 1):
                if self._watch is not None:
                    self._watch(index, features, part)
                whole = [slice(0, part.shape[0])]
                for rows in whole if requirements.whole else bands(*part.shape, at_once=_BAND):
                    yield index, part, rows
                if count > 1:
                    tick(number, count)

    def _predicted(
        self, stack: SliceStack, band: tuple[int, FeatureMap, slice]
    ) -> tuple[int, tuple[int, int], Array]:
        index, part, rows = band
        top, left = part.origin
        found = self._adapter.predict(part, stack.position(index), rows)
        return index, (top + rows.start, left), found


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

    mixing = _Mixing(stack, smoothing, across)
    wanted = range(stack.grid.shape[0]) if order is None else order
    parts = [mixing.parts(index) for index in wanted]
    missing = _missing_in_turn(parts)
    done = 0
    predicted = ordered_map(mixing.blurred, predictor.planes(stack, missing, tick))
    cache = _PlaneCache(parts)
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
        yield index, _resized(mixed, (stack.grid.shape[1], stack.grid.shape[2]))


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
    if plane.shape[1:] == shape or plane.nbytes <= IN_MEMORY:
        return resize_plane(plane, shape)
    result = scratch_array((len(plane), *shape), np.float32)
    for number, one in enumerate(plane):
        result[number] = resize_plane(one, shape)
    release(result)
    return result


class _Mixing:
    """Which working slices, with which weights, make up a slice of the original grid."""

    def __init__(self, stack: SliceStack, smoothing: float, across: bool) -> None:
        self.grid = stack.grid
        self.count = len(stack)
        self.smoothing = smoothing
        self.sigma = 0.0  # across slices, in slices
        if across and stack.is_spacing_plausible:
            self.sigma = min(1.0, smoothing / stack.slice_distance)
        self.reach = int(np.ceil(2.5 * self.sigma)) if self.sigma > 0.2 else 0

    def parts(self, index: int) -> dict[int, float]:
        """Interpolation across slices, and the Gaussian over their neighbours, as one."""
        targets = self.grid.targets(index) if self.grid.changes_slices else [(index, 1.0)]
        merged: dict[int, float] = {}
        for centre, fraction in targets:
            near = range(max(0, centre - self.reach), min(self.count, centre + self.reach + 1))
            weights = [np.exp(-0.5 * ((k - centre) / max(self.sigma, 1e-6)) ** 2) for k in near]
            for k, weight in zip(near, weights, strict=True):
                merged[k] = merged.get(k, 0.0) + fraction * float(weight / sum(weights))
        return dict(sorted(merged.items()))

    def blurred(self, plane: Array) -> Array:
        """Gaussian within the slice."""
        from scipy.ndimage import gaussian_filter

        if not self.smoothing:
            return plane
        sigma = (0.0, self.smoothing, self.smoothing)
        halo = int(_TRUNCATE * self.smoothing + 0.5)
        result = scratch_array(plane.shape, np.float32)
        for rows in bands(plane.shape[1], plane[:, 0].size):
            first = max(0, rows.start - halo)
            band = plane[:, first : rows.stop + halo]
            blurred = gaussian_filter(band, sigma, mode="nearest", truncate=_TRUNCATE)
            result[:, rows] = blurred[:, rows.start - first : rows.stop - first]
        release(plane)
        release(result)
        return result


class _PlaneCache:
    """Working slices that the next ones of the order may need again."""

    def __init__(self, parts: Sequence[dict[int, float]]) -> None:
        self.planes: OrderedDict[int, Array] = OrderedDict()
        self._max = max((len(weights) for weights in parts), default=1)

    def touch(self, number: int) -> bool:
        """Whether a slice is here; if so it is the last to go."""
        if number not in self.planes:
            return False
        self.planes.move_to_end(number)
        return True

    def drop(self) -> None:
        """Keep no more slices than one output needs."""
        while len(self.planes) > self._max:
            self.planes.popitem(last=False)


def _missing_in_turn(parts: Sequence[dict[int, float]]) -> list[int]:
    """Working slices in the order in which they are missing, as known before the first."""
    cache, missing = _PlaneCache(parts), []
    for weights in parts:
        for number in weights:
            if not cache.touch(number):
                cache.planes[number] = np.empty(0)
                missing.append(number)
        cache.drop()
    return missing


def fused_probabilities(
    parts: Sequence[tuple[SliceStack, Iterator[tuple[int, Array]]]],
) -> Iterator[tuple[int, Array]]:
    """Average probabilities that were predicted along several canonical axes of one volume.

    Each stack comes with its slices, (index, (L + 1, H, W)). Yields slices of the first stack. Sums
    are kept as float16, on disk when large.
    """
    first = parts[0][0]
    total: Array | None = None
    for stack, planes in parts:
        for index, plane in planes:
            if total is None:
                shape = (len(plane), *first.grid.shape)
                total = scratch_array(shape, np.float16)
            # axes of `total` after the class axis: the first stack's slices, rows, columns
            view = np.moveaxis(total, 1, 1 + first.axis)
            where = np.moveaxis(view, 1 + stack.axis, 1)
            for rows in bands(plane.shape[1], plane[:, 0].size):
                where[:, index, rows] += (plane[:, rows] / len(parts)).astype(np.float16)
            release(total)
    if total is None:
        return
    for index in range(first.grid.shape[0]):
        plane = scratch_array((len(total), *first.grid.shape[1:]), np.float32)
        for rows in bands(plane.shape[1], plane[:, 0].size):
            band = total[:, index, rows].astype(np.float32)
            plane[:, rows] = band / np.maximum(band.sum(axis=0), 1e-6)
        release(plane)
        release(total)
        yield index, plane
