"""What predicts volumes: a learned model, slice by slice or as a whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..arrays import release
from ..errors import InputError
from ..geometry import Frame
from ..parallel import used_up
from ..slices.axis import working_axis
from ..slices.region import PredictedRegion, Region, box_shape, checked_region
from ..slices.stack import SliceStack
from ..types import (
    Array,
    Box,
    FeatureMap,
    Landmark,
    Progress,
    SliceFeatures,
    Volume,
    joint_progress,
    no_progress,
)
from .experts import Experts
from .fusion import fused_probabilities
from .learned import LearnedModel
from .probabilities import SliceWork, slice_probabilities
from .refine import LabelRefiner
from .refiners import Refiner
from .sink import FUSED, Prediction, PredictionSink
from .smoothing import slices_needed, windows_of
from .suggestion import SliceDescription, slice_descriptor, slice_uncertainty

__all__ = ["PredictionRequest", "SlicePrediction", "SlicePredictor", "VolumePredictor"]

_LOGGER = logging.getLogger(__name__)
_MANY_CHANNELS = 4
_SLICES_AS_CHANNELS = "If the channels are slices, save the image with its slices along an axis Z."


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

    def preview(self, index: int) -> SlicePrediction:
        """Predict one slice alone, at once: probabilities are not smoothed across slices.

        No volume is registered with this one for it.
        """
        (found,) = self._run(self._checked([index]), no_progress, across=False)
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


@dataclass(frozen=True, eq=False)
class PredictionRequest:
    """What is wanted of a volume; as for :meth:`FewShotSegmenter.predict`."""

    axis: int | str | None = None
    landmarks: bool = True
    refiner: Refiner | None = None
    region: Region | None = None


@dataclass(frozen=True, eq=False)
class VolumePredictor:
    """A learned model with the experts that label slices: all that a prediction takes."""

    experts: Experts

    @property
    def model(self) -> LearnedModel:
        """What was learned."""
        return self.experts.model

    def predict(self, image: Volume, request: PredictionRequest, progress: Progress) -> Prediction:
        """Label slices along an axis, or along all painted ones, and refine the labels."""
        if request.axis == FUSED and image.ndim == 3:
            found = self._fused(image, request, progress)
        else:
            sink, stack = self._opened(image, request, progress)
            for index, plane in self._probabilities(stack, progress, sink.box):
                sink.put(index, plane)
            found = sink.finish()
        return self._refined(image, found, request, progress)

    def runs(self, image: Volume, request: PredictionRequest, voxels: int) -> list[tuple[int, int]]:
        """Runs of slices, (first, one past the last), of about so many voxels.

        One with all slices where planes are fused, which need each other.
        """
        is_fused = request.axis == FUSED and image.ndim == 3
        along = self.model.axes[0] if is_fused else self._canonical_axis(image, request.axis)
        box = self._stack(image, along).box_from_file(self._region(image, request).seen)
        start, stop = box[0].start, box[0].stop
        _, height, width = box_shape(box)
        step = stop - start if is_fused else max(1, voxels // (height * width))
        return [(first, min(first + step, stop)) for first in range(start, stop, step)]

    def predict_run(
        self, image: Volume, request: PredictionRequest, run: tuple[int, int]
    ) -> dict[str, Array]:
        """Predict a run of slices, as :meth:`put_together` takes it."""
        sink, stack = self._opened(image, request)
        box = (slice(*run), *sink.box[1:])
        for index, plane in self._probabilities(stack, no_progress, box):
            sink.put(index, plane)
        return sink.part(*run)

    def put_together(
        self,
        image: Volume,
        request: PredictionRequest,
        parts: Sequence[tuple[int, dict[str, Array]]],
    ) -> Prediction:
        """Make of all runs, each with its first slice, what :meth:`predict` makes of an image."""
        sink, _ = self._opened(image, request)
        for first, arrays in parts:
            sink.put_part(first, arrays)
        return self._refined(image, sink.finish(), request, no_progress)

    def box(self, image: Volume, request: PredictionRequest) -> Box:
        """Part of the volume, in file order, that gets labels; elsewhere they are 0.

        Raises
        ------
        InputError
            If the region is none of the volume.
        """
        return self._region(image, request).kept

    def file_axis(self, image: Volume, axis: int | str | None) -> int:
        """Axis in file order that slices are cut along; of fused planes the first."""
        along = working_axis(image, None if axis == FUSED else axis, self.model.axes[0])
        return Frame.of(image.affine, image.ndim).file_axis(along) if image.ndim == 3 else 0

    def _region(self, image: Volume, request: PredictionRequest) -> PredictedRegion:
        axis, sides = self.file_axis(image, request.axis), None
        if request.region is not None:
            is_fused = request.axis == FUSED and image.ndim == 3
            sides = checked_region(request.region, fused=is_fused)
        return PredictedRegion.of(image, sides, axis, whole_slices=request.refiner is not None)

    def _opened(
        self, image: Volume, request: PredictionRequest, progress: Progress = no_progress
    ) -> tuple[PredictionSink, SliceStack]:
        """Sink of what is wanted of a volume, and its slices."""
        region = self._region(image, request)
        stack = self._stack(image, self._canonical_axis(image, request.axis))
        return self._sink(stack, request.landmarks, region, progress), stack

    def _refined(
        self, image: Volume, found: Prediction, request: PredictionRequest, progress: Progress
    ) -> Prediction:
        """Refine slices as a whole; of a region what lies outside of it is 0 again after that."""
        if request.refiner is None:
            return found
        axis, region = self.file_axis(image, request.axis), self._region(image, request)
        work = LabelRefiner(
            image,
            found.labels,
            found.confidence,
            request.refiner,
            axis=axis,
            intensity=self.model.config.intensity,
            unrefined=self.model.unrefined,
            copy=False,  # they are ours
        )
        slices = region.kept[axis] if image.ndim == 3 else slice(0, 1)
        for _ in work.run(range(slices.start, slices.stop), progress):
            pass
        if region.kept != region.seen:
            for array in (work.labels, work.confidence):
                _clear_outside(array, region.kept)
        return replace(found, labels=work.labels, confidence=work.confidence)

    def slices(self, image: Volume, axis: int | str | None, landmarks: bool) -> SlicePredictor:
        """Prepare the prediction of single slices along one axis."""
        stack = self._stack(image, self._canonical_axis(image, axis))
        smoothing = self.model.config.propagation.smoothing
        sink = self._sink(stack, landmarks)
        return SlicePredictor(stack, self.experts, smoothing, sink)

    def _fused(self, image: Volume, request: PredictionRequest, progress: Progress) -> Prediction:
        """Mean of the probabilities along the axes that the templates were painted along."""
        axes = sorted(self.model.axes)
        if len(axes) < 2:
            raise InputError(
                "axis",
                "be fused only for a model whose templates are painted along two axes or three",
                f"{FUSED}, with templates painted along {_named(image, axes)} alone",
                "Leave it out, or give a template for each plane: the same image, painted there.",
            )
        region = self._region(image, request)
        stacks = [self._stack(image, axis) for axis in axes]
        boxes = [stack.box_from_file(region.seen) for stack in stacks]
        smoothing = self.model.config.propagation.smoothing
        counts = [
            slices_needed(stack, smoothing, range(box[0].start, box[0].stop))
            for stack, box in zip(stacks, boxes, strict=True)
        ]
        sink = self._sink(stacks[0], request.landmarks, region, progress)
        counters = joint_progress(counts, progress)
        planes = [
            (stack, self._probabilities(stack, counter, box))
            for stack, counter, box in zip(stacks, counters, boxes, strict=True)
        ]
        with used_up(*(stream for _, stream in planes)):
            for index, plane in fused_probabilities(planes, region.seen):
                sink.put(index, plane)
        return sink.finish()

    def _probabilities(
        self, stack: SliceStack, progress: Progress, box: Box
    ) -> Iterator[tuple[int, Array]]:
        """Class probabilities of what lies in a box of the stack, slice by slice."""
        smoothing = self.model.config.propagation.smoothing
        window, keep = windows_of(stack, box, smoothing)
        predictor = self.experts.of(stack, window=window, progress=progress)
        order = range(box[0].start, box[0].stop)
        return slice_probabilities(stack, predictor, smoothing, progress, order, keep=keep)

    def _sink(
        self,
        stack: SliceStack,
        landmarks: bool,
        region: PredictedRegion | None = None,
        progress: Progress = no_progress,
    ) -> PredictionSink:
        settings = self.model.config.propagation

        def known() -> dict[int, Landmark | None] | None:
            return self.experts.landmarks(stack.volume, lambda: progress(0, 1, "landmarks"))

        return PredictionSink(stack, self.model, settings, None if landmarks else (), region, known)

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
                _SLICES_AS_CHANNELS if stack.channels > _MANY_CHANNELS else "",
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


def _clear_outside(array: Array, kept: Box) -> None:
    """Write 0 outside of a box."""
    planes, sides = (array, kept) if array.ndim == 3 else (array[None], (slice(0, 1), *kept))
    for number, plane in enumerate(planes):
        if sides[0].start <= number < sides[0].stop:
            inside = plane[sides[1:]].copy()
            plane[...] = 0
            plane[sides[1:]] = inside
        else:
            plane[...] = 0
        release(array)
