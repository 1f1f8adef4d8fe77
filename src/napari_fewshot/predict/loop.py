"""Probabilities over the slices of a volume, smoothed, and brought back to its own grid."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from ..features.extract import FeatureExtractor
from ..slices.grid import resize_plane
from ..slices.position import SlicePosition
from ..slices.stack import SliceStack
from ..templates.augmentation import FeatureRequirements
from ..types import Array, FeatureMap, Progress, no_progress

__all__ = ["Predicts", "slice_probabilities"]


class Predicts(Protocol):
    """The part of a fitted adapter that is needed here."""

    @property
    def requirements(self) -> FeatureRequirements:
        """What its feature maps must be like."""
        ...

    def predict(self, features: FeatureMap, position: SlicePosition) -> Array:
        """Class probabilities, shape (L + 1, H, W), float32; class 0 is background."""
        ...


def slice_probabilities(
    stack: SliceStack,
    extractor: FeatureExtractor,
    adapter: Predicts,
    smoothing: float,
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
    extractor : FeatureExtractor
        Gives their feature maps.
    adapter : Predicts
        A fitted adapter.
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
    predicted = _predicted(stack, extractor, adapter, _in_turn(parts), progress)
    held = _Held(parts)
    for index, weights in zip(wanted, parts, strict=True):
        for number in weights:
            if not held.touch(number):
                held.planes[number] = mixing.blurred(next(predicted))
        planes = [(held.planes[number], weight) for number, weight in weights.items()]
        held.drop()
        mixed = planes[0][0] if len(planes) == 1 else sum(w * p for p, w in planes)
        yield index, resize_plane(np.asarray(mixed), (stack.grid.shape[1], stack.grid.shape[2]))


class _Mixing:
    """Which working slices, with which weights, make up a slice of the original grid."""

    def __init__(self, stack: SliceStack, smoothing: float, across: bool) -> None:
        self.grid = stack.grid
        self.count = len(stack)
        self.smoothing = smoothing
        self.sigma = _sigma_across(stack, smoothing) if across else 0.0
        self.reach = int(np.ceil(2.5 * self.sigma)) if self.sigma > 0.2 else 0

    def parts(self, index: int) -> dict[int, float]:
        """Interpolation across slices, and the Gaussian over their neighbours, as one."""
        targets = self.grid.targets(index) if self.grid.changes_slices else [(index, 1.0)]
        merged: dict[int, float] = {}
        for centre, share in targets:
            near = range(max(0, centre - self.reach), min(self.count, centre + self.reach + 1))
            weights = [np.exp(-0.5 * ((k - centre) / max(self.sigma, 1e-6)) ** 2) for k in near]
            for k, weight in zip(near, weights, strict=True):
                merged[k] = merged.get(k, 0.0) + share * float(weight / sum(weights))
        return dict(sorted(merged.items()))

    def blurred(self, plane: Array) -> Array:
        """Gaussian within the slice."""
        from scipy.ndimage import gaussian_filter

        if not self.smoothing:
            return plane
        sigma = (0.0, self.smoothing, self.smoothing)
        return np.asarray(gaussian_filter(plane, sigma, mode="nearest", truncate=3.0))


class _Held:
    """Working slices that the next ones of the order may need again."""

    def __init__(self, parts: Sequence[dict[int, float]]) -> None:
        self.planes: OrderedDict[int, Array] = OrderedDict()
        self._most = max((len(weights) for weights in parts), default=1)

    def touch(self, number: int) -> bool:
        """Whether a slice is held; if so it is the last to go."""
        if number not in self.planes:
            return False
        self.planes.move_to_end(number)
        return True

    def drop(self) -> None:
        """Keep no more slices than one output needs."""
        while len(self.planes) > self._most:
            self.planes.popitem(last=False)


def _in_turn(parts: Sequence[dict[int, float]]) -> list[int]:
    """Working slices in the order in which they are missing, as known before the first."""
    held, missing = _Held(parts), []
    for weights in parts:
        for number in weights:
            if not held.touch(number):
                held.planes[number] = np.empty(0)
                missing.append(number)
        held.drop()
    return missing


def _predicted(
    stack: SliceStack,
    extractor: FeatureExtractor,
    adapter: Predicts,
    indices: Sequence[int],
    progress: Progress,
) -> Iterator[Array]:
    maps = extractor.maps(stack, indices, padding=adapter.requirements.padding)
    for done, (index, features) in enumerate(maps):
        plane = adapter.predict(features, stack.position(index))
        progress(done + 1, len(indices), "slices")
        yield plane


def _sigma_across(stack: SliceStack, smoothing: float) -> float:
    """Width across slices, in slices."""
    return min(1.0, smoothing / stack.slice_distance) if stack.is_spacing_plausible else 0.0
