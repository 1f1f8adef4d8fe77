"""One volume, slice by slice, in any order: what a viewer needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..adapters import Adapter
from ..errors import InputError
from ..features.extract import FeatureExtractor
from ..slices.position import SlicePosition
from ..slices.stack import SliceStack
from ..templates.augmentation import FeatureRequirements
from ..types import Array, FeatureMap, Progress, no_progress
from .assembly import Assembly
from .loop import slice_probabilities
from .prediction import Prediction
from .suggestion import slice_descriptor, slice_uncertainty

__all__ = ["SlicePrediction", "SlicePredictor"]


@dataclass(frozen=True, eq=False)
class SlicePrediction:
    """What was predicted for one slice, before components of the volume are cleaned.

    Parameters
    ----------
    index : int
        Slice along :attr:`SlicePredictor.axis`.
    labels : int array, shape (rows, columns) in file order
    confidence : float32 array, shape (rows, columns)
        Probability of the value that ``labels`` has there.
    uncertainty : float
        See :func:`~napari_fewshot.predict.suggestion.slice_uncertainty`.
    descriptor : float32 array, shape (D,)
        What the slice looks like: :func:`~napari_fewshot.predict.suggestion.slice_descriptor`.
    """

    index: int
    labels: Array
    confidence: Array
    uncertainty: float
    descriptor: Array


class SlicePredictor:
    """Predicts slices of one volume in any order; all together equal ``predict``, unrefined.

    Made by :meth:`FewShotSegmenter.slice_predictor`. Indices count slices along :attr:`axis` of
    the volume's file order.

    Parameters
    ----------
    stack : SliceStack
    extractor : FeatureExtractor
    adapter : Adapter
        Fitted.
    smoothing : float
        As for :func:`~napari_fewshot.predict.loop.slice_probabilities`.
    assembly : Assembly
        Takes the slices.
    """

    def __init__(
        self,
        stack: SliceStack,
        extractor: FeatureExtractor,
        adapter: Adapter,
        smoothing: float,
        assembly: Assembly,
    ) -> None:
        self._stack = stack
        self._extractor = extractor
        self._adapter = _Watched(adapter)
        self._smoothing = smoothing
        self._assembly = assembly
        self.axis, self._numbers = stack.file_slices()

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self._numbers)

    @property
    def slice_shape(self) -> tuple[int, ...]:
        """(rows, columns) of a slice in file order."""
        return self._slice(self._assembly.labels, 0).shape

    def preview(self, index: int) -> SlicePrediction:
        """Predict one slice alone, at once: probabilities are not smoothed across slices."""
        number = self._numbers[self._checked(index)]
        ((_, plane),) = self._planes([number], no_progress, across=False)
        return self._put(index, plane)

    def run(
        self, order: Sequence[int] | None = None, progress: Progress = no_progress
    ) -> Iterator[SlicePrediction]:
        """Predict slices, all of them or some.

        Runs of neighbouring slices are quick: what smoothing across slices needs of the
        neighbours is predicted once for each run.

        Parameters
        ----------
        order : sequence of int, optional
            Slices in the order in which they are wanted; None: all.
        progress : callable
            Called after every slice; it may raise ``Cancelled``.

        Raises
        ------
        InputError
            If an index is not in the volume; before anything is predicted.
        """
        wanted = range(len(self)) if order is None else [self._checked(k) for k in order]
        return self._run(wanted, progress)

    def finish(self) -> Prediction:
        """Clean components and find landmarks of what was predicted so far."""
        return self._assembly.finish()

    def _run(self, wanted: Sequence[int], progress: Progress) -> Iterator[SlicePrediction]:
        back = {self._numbers[index]: index for index in wanted}
        for number, plane in self._planes(list(back), progress):
            yield self._put(back[number], plane)

    def _planes(
        self, order: Sequence[int], progress: Progress, across: bool = True
    ) -> Iterator[tuple[int, Array]]:
        return slice_probabilities(
            self._stack, self._extractor, self._adapter, self._smoothing, progress, order, across
        )

    def _put(self, index: int, plane: Array) -> SlicePrediction:
        number = self._numbers[index]
        self._assembly.put(number, plane)
        return SlicePrediction(
            index,
            self._slice(self._assembly.labels, index).copy(),
            self._slice(self._assembly.confidence, index).copy(),
            slice_uncertainty(plane),
            self._adapter.descriptors[self._stack.grid.to_working(number)],
        )

    def _slice(self, array: Array, index: int) -> Array:
        return array if array.ndim == 2 else np.moveaxis(array, self.axis, 0)[index]

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise InputError("index", f"be within 0..{len(self) - 1}", index)
        return int(index)


class _Watched:
    """An adapter that notes what the slices look like which pass through it."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.descriptors: dict[int, Array] = {}

    @property
    def requirements(self) -> FeatureRequirements:
        return self._adapter.requirements

    def predict(self, features: FeatureMap, position: SlicePosition) -> Array:
        if position.index not in self.descriptors:
            self.descriptors[position.index] = slice_descriptor(features.without_padding())
        return self._adapter.predict(features, position)
