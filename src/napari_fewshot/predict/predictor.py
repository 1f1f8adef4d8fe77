"""What predicts volumes: a learned model, slice by slice or as a whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from ..arrays import release
from ..config import ResamplingConfig
from ..errors import InputError
from ..geometry import Frame
from ..parallel import used_up
from ..slices.axis import working_axis
from ..slices.region import PredictedRegion, Region, box_shape, checked_region, whole_box
from ..slices.stack import SliceStack
from ..types import (
    Array,
    Box,
    Landmark,
    Located,
    Progress,
    Volume,
    joint_progress,
    no_progress,
)
from .carried import paint_of
from .discs import predicted_discs
from .experts import Experts
from .fusion import Part, fused_probabilities
from .landmark_finder import checked_landmarks
from .learned import LearnedModel
from .planes import SHARE_OF_PAINTED, FoundLabels, isotropic
from .probabilities import slice_probabilities
from .refine import LabelRefiner
from .refiners import Refiner
from .sink import FUSED, KnownPlaces, Prediction, PredictionSink
from .slice_predictor import SlicePredictor
from .smoothing import slices_needed, windows_of

__all__ = ["PlaneTeacher", "PredictionRequest", "VolumePredictor"]

_LOGGER = logging.getLogger(__name__)
_MANY_CHANNELS = 4
_SLICES_AS_CHANNELS = "If the channels are slices, save the image with its slices along an axis Z."


@dataclass(frozen=True, eq=False)
class PredictionRequest:
    """What is wanted of a volume.

    Parameters
    ----------
    axis : int or str, optional
        In file order, a plane in the patient, or ``"fused"``; None: the axis of the templates.
    landmarks : bool
        Whether to look for them.
    refiner : Refiner, optional
        Loaded; None: labels stay as they are.
    region : Region, optional
        The part to label; None: all.
    known_landmarks : tuple of Landmark
        Those that somebody has placed in this volume.
    """

    axis: int | str | None = None
    landmarks: bool = True
    refiner: Refiner | None = None
    region: Region | None = None
    known_landmarks: tuple[Landmark, ...] = ()


PlaneTeacher = Callable[
    [Volume, Mapping[int, Array], int, int, ResamplingConfig, Progress], "VolumePredictor"
]
"""Given a volume, labels of some of its slices by their number along an axis, both in file order,
that axis, the value of background in these (0 is not known), and a grid, it returns what learned
from them."""


@dataclass(frozen=True, eq=False)
class VolumePredictor:
    """A learned model with the experts that label slices: all that a prediction takes.

    Parameters
    ----------
    experts : Experts
    teacher : PlaneTeacher, optional
        Teaches planes that nobody painted, where these are to be fused; None: nobody does.
    """

    experts: Experts
    teacher: PlaneTeacher | None = None

    @property
    def model(self) -> LearnedModel:
        """What was learned."""
        return self.experts.model

    def predict(self, image: Volume, request: PredictionRequest, progress: Progress) -> Prediction:
        """Label slices along an axis, or along all painted ones, and refine the labels.

        Where landmarks alone were learned, and are found by what templates show, labels are small
        balls round them.
        """
        if request.axis == FUSED and image.ndim == 3:
            found = self._fused(image, request, progress)
        else:
            found = self._labelled(image, request, progress)
        return self._refined(image, found, request, progress)

    def _labelled(
        self, image: Volume, request: PredictionRequest, progress: Progress
    ) -> Prediction:
        stack, region = self._stacked(image, request), self._region(image, request)
        known = self._known(stack, progress, request.known_landmarks)
        places = known() if self._is_placed(request) else None
        if places is not None and places.keys() >= set(self.model.label_values):
            found = predicted_discs(image, self.model, places, region)
            return found if request.landmarks else replace(found, landmarks=(), not_found={})
        sink = self._sink(stack, request.landmarks, region, known)
        for index, plane in self._probabilities(stack, progress, sink.box):
            sink.put(index, plane)
        return sink.finish()

    def _is_placed(self, request: PredictionRequest) -> bool:
        """Whether labels are drawn round landmarks, so far as those are found."""
        is_plain = request.refiner is None and request.axis != FUSED
        return is_plain and self.model.shows_points_alone

    def runs(self, image: Volume, request: PredictionRequest, voxels: int) -> list[tuple[int, int]]:
        """Runs of slices, (first, one past the last), of about so many voxels.

        One with all slices where planes are fused, which need each other, or points are placed.
        """
        is_whole = self._is_placed(request)
        is_fused = request.axis == FUSED and image.ndim == 3
        along = self.model.axes[0] if is_fused else self._canonical_axis(image, request.axis)
        box = self._stack(image, along).box_from_file(self._region(image, request).seen)
        start, stop = box[0].start, box[0].stop
        _, height, width = box_shape(box)
        step = stop - start if is_fused or is_whole else max(1, voxels // (height * width))
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
        self, image: Volume, request: PredictionRequest
    ) -> tuple[PredictionSink, SliceStack]:
        """Sink of what is wanted of a volume, and its slices."""
        region, stack = self._region(image, request), self._stacked(image, request)
        known = self._known(stack, known=request.known_landmarks)
        return self._sink(stack, request.landmarks, region, known), stack

    def _stacked(self, image: Volume, request: PredictionRequest) -> SliceStack:
        return self._stack(image, self._canonical_axis(image, request.axis))

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

    def slices(self, image: Volume, request: PredictionRequest) -> SlicePredictor:
        """Prepare the prediction of single slices along one axis; there is no refinement."""
        stack = self._stacked(image, request)
        smoothing = self.model.config.propagation.smoothing
        known = self._known(stack, known=request.known_landmarks)
        sink = self._sink(stack, request.landmarks, None, known)
        return SlicePredictor(stack, self.experts, smoothing, sink)

    def _fused(self, image: Volume, request: PredictionRequest, progress: Progress) -> Prediction:
        """Mean of the probabilities along the axes that the templates were painted along.

        Where that is one, the others are learned from what is found along it.
        """
        axes, region = sorted(self.model.axes), self._region(image, request)
        if len(axes) < 2 and self.teacher is None:
            raise InputError(
                "axis",
                "be fused only for a model whose templates are painted along two axes or three, or "
                "with the adapter contrastive or classification and no points",
                f"{FUSED}, with templates painted along {_named(image, axes)} alone",
                "Leave it out, or give a template for each plane: the same image, painted there.",
            )
        stack = self._stack(image, axes[0])
        known = self._known(stack, progress, request.known_landmarks)
        sink = self._sink(stack, request.landmarks, region, known)
        if len(axes) < 2 and self.teacher is not None:
            parts = self._learned_planes(stack, region.seen, self.teacher, progress)
        else:
            parts = self._painted_planes(image, axes, region.seen, progress)
        with used_up(parts):
            for index, plane in fused_probabilities(parts, region.seen):
                sink.put(index, plane)
        return sink.finish()

    def _painted_planes(
        self, image: Volume, axes: Sequence[int], seen: Box, progress: Progress
    ) -> Iterator[Part]:
        stacks = [self._stack(image, axis) for axis in axes]
        boxes = [stack.box_from_file(seen) for stack in stacks]
        smoothing = self.model.config.propagation.smoothing
        counts = [
            slices_needed(stack, smoothing, range(box[0].start, box[0].stop))
            for stack, box in zip(stacks, boxes, strict=True)
        ]
        counters = joint_progress(counts, progress)
        for stack, counter, box in zip(stacks, counters, boxes, strict=True):
            planes = self._probabilities(stack, counter, box)
            with used_up(planes):
                yield stack, planes, 1 / len(axes)

    def _learned_planes(
        self, stack: SliceStack, seen: Box, teacher: PlaneTeacher, progress: Progress
    ) -> Iterator[Part]:
        """The painted plane of a whole volume, then others that learn from it."""
        image, values = stack.volume, self.model.label_values
        whole = stack.box_from_file(whole_box(image))
        paint = paint_of(stack, self.model.painted)
        planes = self._probabilities(stack, progress, whole)
        found = FoundLabels(stack, planes, values, paint.slices if paint is not None else ())
        yield stack, found.planes(stack.box_from_file(seen)), SHARE_OF_PAINTED
        resampling = isotropic(stack, self.model.config.resampling)
        if resampling is None:
            return
        others = [axis for axis in range(3) if axis != stack.axis]
        for axis in others:
            known, along = found.along(axis), stack.frame.file_axis(axis)
            if not known:
                continue
            taught = teacher(image, known, along, found.background, resampling, progress)
            own = taught._stack(image, axis)
            box = own.box_from_file(seen)
            planes = taught._probabilities(own, progress, box)
            planes = found.completed(own, planes, taught.model.label_values, box)
            with used_up(planes):
                yield own, planes, (1 - SHARE_OF_PAINTED) / len(others)

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
        region: PredictedRegion | None,
        known: KnownPlaces,
    ) -> PredictionSink:
        settings, wanted = self.model.config.propagation, None if landmarks else ()
        return PredictionSink(stack, self.model, settings, wanted, region, known)

    def _known(
        self,
        stack: SliceStack,
        progress: Progress = no_progress,
        known: Sequence[Landmark] = (),
    ) -> KnownPlaces:
        """What finds landmarks by what templates show, and by those that are known; once."""
        given = checked_landmarks(known, self.model, stack.volume)  # before the work
        finder = self.experts.finder(stack.volume)

        def find() -> Mapping[int, Located] | None:
            found = finder.find(given, lambda: progress(0, 1, "landmarks"))
            return {one.label: one for one in given} if found is None and given else found

        return cache(find)

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
        black, white = stack.black_and_white
        if not white > black:
            _LOGGER.warning(
                "%s has one grey value everywhere, or none that is a number: nothing can be told "
                "apart in it.",
                image.source or "volume",
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
