"""The loop of every prediction: slices of a stack through a predictor, back on their own grid.

Whatever labels slices — a pixel adapter on a backbone, the decoder of SAM, a network trained
from scratch — gives class probabilities of working slices; order, neighbours, smoothing,
resampling to the grid of the file and progress are here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np

from ..adapters.base import Adapter
from ..errors import InputError
from ..features.extract import FeatureExtractor
from ..scratch import scratch_array
from ..slices.grid import resize_plane
from ..slices.stack import SliceStack
from ..types import Array, FeatureMap, Progress, no_progress

__all__ = [
    "AdapterPredictor",
    "Predictor",
    "SliceWork",
    "fused_probabilities",
    "slice_probabilities",
]

Part = TypeVar("Part")


class Predictor(Protocol):
    """Anything that gives class probabilities for the slices of a stack."""

    def planes(self, stack: SliceStack, indices: Sequence[int], /) -> Iterator[Array]:
        """Class probabilities of working slices, each computed when it is asked for.

        Arrays of shape (L + 1, H, W), float32, in the order of ``indices``; class 0 is
        background.
        """
        ...


class AdapterPredictor:
    """A fitted adapter on the features of a backbone.

    ``watch(index, features)`` is called with the features of each slice that is predicted.
    """

    def __init__(
        self,
        adapter: Adapter,
        extractor: FeatureExtractor,
        watch: Callable[[int, FeatureMap], None] | None = None,
    ) -> None:
        self._adapter = adapter
        self._extractor = extractor
        self._watch = watch

    def planes(self, stack: SliceStack, indices: Sequence[int], /) -> Iterator[Array]:
        """Class probabilities of working slices; see :class:`Predictor`."""
        padding = self._adapter.requirements.padding
        for index, features in self._extractor.maps(stack, indices, padding=padding):
            if self._watch is not None:
                self._watch(index, features)
            yield self._adapter.predict(features, stack.position(index))


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
    mixing = _Mixing(stack, smoothing, across)
    wanted = range(stack.grid.shape[0]) if order is None else order
    parts = [mixing.parts(index) for index in wanted]
    missing = _missing_in_turn(parts)
    predicted = predictor.planes(stack, missing)
    cache = _PlaneCache(parts)
    done = 0
    for index, weights in zip(wanted, parts, strict=True):
        for number in weights:
            if not cache.touch(number):
                plane = next(predicted)
                done += 1
                progress(done, len(missing), "slices")
                cache.planes[number] = mixing.blurred(plane)
        planes = [(cache.planes[number], weight) for number, weight in weights.items()]
        cache.drop()
        mixed = planes[0][0] if len(planes) == 1 else sum(w * p for p, w in planes)
        yield index, resize_plane(np.asarray(mixed), (stack.grid.shape[1], stack.grid.shape[2]))


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
        return np.asarray(gaussian_filter(plane, sigma, mode="nearest", truncate=3.0))


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
            where[:, index] += (plane / len(parts)).astype(np.float16)
    if total is None:
        return
    for index in range(first.grid.shape[0]):
        plane = total[:, index].astype(np.float32)
        yield index, plane / np.maximum(plane.sum(axis=0), 1e-6)
