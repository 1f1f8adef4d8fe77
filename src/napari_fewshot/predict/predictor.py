"""What predicts volumes: a learned model, slice by slice or as a whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..adapters import Adapter
from ..errors import InputError
from ..features.extract import FeatureExtractor
from ..geometry import Frame
from ..slices.axis import working_axis
from ..slices.stack import SliceStack
from ..types import Array, FeatureMap, Progress, SliceFeatures, Volume, joint_progress, no_progress
from .learned import LearnedModel
from .probabilities import AdapterPredictor, SliceWork, fused_probabilities, slice_probabilities
from .refine import LabelRefiner
from .refiners import Refiner
from .sink import FUSED, Prediction, PredictionSink
from .suggestion import SliceDescription, slice_descriptor, slice_uncertainty

__all__ = ["SlicePrediction", "SlicePredictor", "VolumePredictor"]

_LOGGER = logging.getLogger(__name__)


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
    """Predicts slices of one volume in any order; all together equal ``predict``, unrefined.

    Made by :meth:`FewShotSegmenter.slice_predictor`. Indices count slices along :attr:`axis` of
    the volume's file order. Runs of neighbouring slices are quick: what smoothing across slices
    needs of the neighbours is predicted once for each run.

    Parameters
    ----------
    stack : SliceStack
    extractor : FeatureExtractor
    adapter : Adapter
        Fitted.
    smoothing : float
        As for :func:`~napari_fewshot.predict.probabilities.slice_probabilities`.
    sink : PredictionSink
        Takes the slices.
    """

    _parameter = "index"

    def __init__(
        self,
        stack: SliceStack,
        extractor: FeatureExtractor,
        adapter: Adapter,
        smoothing: float,
        sink: PredictionSink,
    ) -> None:
        super().__init__(stack)
        self._predictor = AdapterPredictor(adapter, extractor, self._describe)
        self._smoothing = smoothing
        self._sink = sink
        self._descriptors: dict[int, Array] = {}
        self._descriptions: dict[int, SliceDescription] = {}  # of slices in parts

    @property
    def slice_shape(self) -> tuple[int, ...]:
        """(rows, columns) of a slice in file order."""
        return self._plane(self._sink.labels, 0).shape

    def preview(self, index: int) -> SlicePrediction:
        """Predict one slice alone, at once: probabilities are not smoothed across slices."""
        (found,) = self._run(self._checked([index]), no_progress, across=False)
        return found

    def finish(self) -> Prediction:
        """Clean components and find landmarks of what was predicted so far."""
        return self._sink.finish()

    def _run(
        self, wanted: Sequence[int], progress: Progress, across: bool = True
    ) -> Iterator[SlicePrediction]:
        back = {self._numbers[index]: index for index in wanted}
        planes = slice_probabilities(
            self._stack, self._predictor, self._smoothing, progress, list(back), across
        )
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


@dataclass(frozen=True, eq=False)
class VolumePredictor:
    """A learned model, its adapter and an extractor: all that a prediction takes."""

    model: LearnedModel
    adapter: Adapter
    extractor: FeatureExtractor

    def predict(
        self,
        image: Volume,
        axis: int | str | None,
        landmarks: bool,
        refiner: Refiner | None,
        progress: Progress,
    ) -> Prediction:
        """Label every slice along an axis, or along all painted ones, and refine the labels."""
        if axis == FUSED and image.ndim == 3:
            along = self.model.axes[0]
            found = self._fused(image, landmarks, progress)
        else:
            along = self._canonical_axis(image, axis)
            stack = self._stack(image, along)
            sink = self._sink(stack, landmarks)
            for index, plane in self._probabilities(stack, progress):
                sink.put(index, plane)
            found = sink.finish()
        return self._refined(image, found, along, refiner, progress)

    def runs(self, image: Volume, axis: int | str | None, voxels: int) -> list[tuple[int, int]]:
        """Runs of slices, (first, one past the last), of about so many voxels.

        One with all slices where planes are fused, which need each other.
        """
        if axis == FUSED or image.ndim == 2:
            return [(0, len(self._stack(image, self.model.axes[0])))]
        count, *plane = self._stack(image, self._canonical_axis(image, axis)).grid.shape
        step = max(1, voxels // (plane[0] * plane[1]))
        return [(first, min(first + step, count)) for first in range(0, count, step)]

    def predict_run(
        self, image: Volume, axis: int | str | None, landmarks: bool, run: tuple[int, int]
    ) -> dict[str, Array]:
        """Predict a run of slices, as :meth:`put_together` takes it."""
        stack = self._stack(image, self._canonical_axis(image, axis))
        sink = self._sink(stack, landmarks)
        for index, plane in self._probabilities(stack, no_progress, range(*run)):
            sink.put(index, plane)
        return sink.part(*run)

    def put_together(
        self,
        image: Volume,
        axis: int | str | None,
        landmarks: bool,
        refiner: Refiner | None,
        parts: Sequence[tuple[int, dict[str, Array]]],
    ) -> Prediction:
        """Make of all runs, each with its first slice, what :meth:`predict` makes of an image."""
        along = self._canonical_axis(image, axis)
        sink = self._sink(self._stack(image, along), landmarks)
        for first, arrays in parts:
            sink.put_part(first, arrays)
        return self._refined(image, sink.finish(), along, refiner, no_progress)

    def _refined(
        self,
        image: Volume,
        found: Prediction,
        along: int,
        refiner: Refiner | None,
        progress: Progress,
    ) -> Prediction:
        if refiner is None:
            return found
        work = LabelRefiner(
            image,
            found.labels,
            found.confidence,
            refiner,
            axis=Frame.of(image.affine, image.ndim).file_axis(along),
            intensity=self.model.config.intensity,
            unrefined=self.model.unrefined,
            copy=False,  # they are ours
        )
        for _ in work.run(progress=progress):
            pass
        return replace(found, labels=work.labels, confidence=work.confidence)

    def file_axis(self, image: Volume, axis: int | str | None) -> int:
        """Axis in file order that slices are cut along; of fused planes the first."""
        along = working_axis(image, None if axis == FUSED else axis, self.model.axes[0])
        return Frame.of(image.affine, image.ndim).file_axis(along) if image.ndim == 3 else 0

    def slices(self, image: Volume, axis: int | str | None, landmarks: bool) -> SlicePredictor:
        """Prepare the prediction of single slices along one axis."""
        stack = self._stack(image, self._canonical_axis(image, axis))
        smoothing = self.model.config.propagation.smoothing
        sink = self._sink(stack, landmarks)
        return SlicePredictor(stack, self.extractor, self.adapter, smoothing, sink)

    def _fused(self, image: Volume, landmarks: bool, progress: Progress) -> Prediction:
        """Mean of the probabilities along the axes that the templates were painted along."""
        axes = sorted(self.model.axes)
        if len(axes) < 2:
            raise InputError(
                "axis",
                "be fused only for a model whose templates are painted along two axes or three",
                f"{FUSED}, with templates painted along {_named(image, axes)} alone",
                "Leave it out, or give a template for each plane: the same image, painted there.",
            )
        stacks = [self._stack(image, axis) for axis in axes]
        counters = joint_progress([len(stack) for stack in stacks], progress)
        sink = self._sink(stacks[0], landmarks)
        planes = [(s, self._probabilities(s, c)) for s, c in zip(stacks, counters, strict=True)]
        for index, plane in fused_probabilities(planes):
            sink.put(index, plane)
        return sink.finish()

    def _probabilities(
        self, stack: SliceStack, progress: Progress, order: Sequence[int] | None = None
    ) -> Iterator[tuple[int, Array]]:
        predictor = AdapterPredictor(self.adapter, self.extractor)
        smoothing = self.model.config.propagation.smoothing
        return slice_probabilities(stack, predictor, smoothing, progress, order)

    def _sink(self, stack: SliceStack, landmarks: bool) -> PredictionSink:
        settings = self.model.config.propagation
        return PredictionSink(stack, self.model, settings, None if landmarks else ())

    def _stack(self, image: Volume, axis: int) -> SliceStack:
        config = self.model.config
        stack = SliceStack(image, axis, config.intensity, config.resampling)
        if config.propagation.smoothing and not stack.is_spacing_plausible:
            _LOGGER.warning(
                "%s: slices %g mm apart with pixels of %g mm are taken for a wrong spacing; "
                "probabilities are not smoothed across slices.",
                image.source or "volume",
                stack.spacing[0],
                min(stack.spacing[1:]),
            )
        if stack.channels != self.model.channels:
            raise InputError(
                "volume",
                f"have {self.model.channels} channel(s), as the templates",
                f"{stack.channels}",
            )
        return stack

    def _canonical_axis(self, image: Volume, axis: int | str | None) -> int:
        along = working_axis(image, axis, self.model.axes[0])
        if image.ndim == 3 and along not in self.model.axes:
            _LOGGER.warning(
                "%s: slices along %s are of a plane that no template was painted in (%s were).",
                image.source or "volume",
                _named(image, [along]),
                _named(image, self.model.axes),
            )
        return along


def _named(image: Volume, axes: Sequence[int]) -> str:
    frame = Frame.of(image.affine, image.ndim)
    return " and ".join(frame.plane_name(axis) for axis in axes)
