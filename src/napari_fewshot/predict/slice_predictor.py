"""Single slices of a volume, predicted in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..parallel import used_up
from ..slices.stack import SliceStack
from ..types import Array, FeatureMap, Progress, SliceFeatures, no_progress
from .experts import Experts
from .probabilities import SliceWork, slice_probabilities
from .sink import Prediction, PredictionSink
from .suggestion import SliceDescription, slice_descriptor, slice_uncertainty

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


class SlicePredictor(SliceWork[SlicePrediction]):
    """Predicts slices of one volume in any order: all together, the unrefined ``predict``.

    Where points alone were learned, labels are those of the adapter here, and not discs.
    Made by :meth:`FewShotSegmenter.slice_predictor`. Indices count slices along :attr:`axis` of
    the volume's file order. Runs of neighbouring slices are quick: what smoothing across slices
    needs of the neighbours is predicted once for each run.

    Parameters
    ----------
    stack : SliceStack
    experts : Experts
    smoothing : float
        As for :func:`~napari_fewshot.predict.probabilities.slice_probabilities`.
    sink : PredictionSink
        Takes the slices.
    """

    _parameter = "index"

    def __init__(
        self,
        stack: SliceStack,
        experts: Experts,
        smoothing: float,
        sink: PredictionSink,
    ) -> None:
        super().__init__(stack)
        self._experts = experts
        self._predictor = experts.of(stack, self._describe)
        self._is_whole = False
        self._smoothing = smoothing
        self._sink = sink
        self._descriptors: dict[int, Array] = {}
        self._descriptions: dict[int, SliceDescription] = {}  # of slices in parts

    @property
    def slice_shape(self) -> tuple[int, ...]:
        """(rows, columns) of a slice in file order."""
        return self._plane(self._sink.labels, 0).shape

    def preview(self, index: int, progress: Progress = no_progress) -> SlicePrediction:
        """Predict one slice alone, at once: probabilities are not smoothed across slices.

        No volume is registered with this one for it. ``progress`` is called for each tile of a
        large slice; it may raise ``Cancelled``.
        """
        (found,) = self._run(self._checked([index]), progress, across=False)
        return found

    def finish(self) -> Prediction:
        """Clean components and find landmarks of what was predicted so far."""
        return self._sink.finish()

    def _run(
        self, wanted: Sequence[int], progress: Progress, across: bool = True
    ) -> Iterator[SlicePrediction]:
        back = {self._numbers[index]: index for index in wanted}
        if across and not self._is_whole and self._experts.model.volumes:
            self._predictor = self._experts.of(self._stack, self._describe, progress=progress)
            self._is_whole = True
        planes = slice_probabilities(
            self._stack, self._predictor, self._smoothing, progress, list(back), across
        )
        with used_up(planes):
            for number, plane in planes:
                self._sink.put(number, plane)
                index = back[number]
                yield SlicePrediction(
                    index,
                    self._plane(self._sink.labels, index).copy(),
                    self._plane(self._sink.confidence, index).copy(),
                    slice_uncertainty(plane),
                    self._descriptor(self._stack.grid.to_working(number)),
                )

    def _descriptor(self, index: int) -> Array:
        if index not in self._descriptors:
            self._descriptors[index] = self._descriptions.pop(index).vector()
        return self._descriptors[index]

    def _describe(self, index: int, features: SliceFeatures, part: FeatureMap) -> None:
        if index in self._descriptors:
            return
        if isinstance(features, FeatureMap):
            self._descriptors[index] = slice_descriptor(features.without_padding())
            return
        description = self._descriptions.setdefault(index, SliceDescription(features.shape))
        description.add(part)
