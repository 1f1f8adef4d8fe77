"""What predicts volumes: a model, its adapter and an extractor."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..adapters import Adapter
from ..errors import InputError
from ..features.extract import FeatureExtractor
from ..geometry import Frame, resolve_axis
from ..slices.stack import SliceStack
from ..types import Progress, Volume, joint_progress
from .assembly import Assembly
from .fusion import fused_probabilities
from .learned import LearnedModel
from .loop import slice_probabilities
from .prediction import FUSED, Prediction
from .refine import LabelRefiner, Refiner
from .slicewise import SlicePredictor

__all__ = ["Predictor"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Predictor:
    """The stages of a prediction.

    Parameters
    ----------
    model : LearnedModel
    adapter : Adapter
        That of the model.
    extractor : FeatureExtractor
    """

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
        fused = axis == FUSED and image.ndim == 3
        along = self._canonical_axis(image, None if fused else axis)
        if fused:
            found = self._fused(image, landmarks, progress)
        else:
            predictor = self._slices(image, along, landmarks)
            for _ in predictor.run(progress=progress):
                pass
            found = predictor.finish()
        if refiner is None:
            return found
        return self._refined(found, image, along, refiner, progress)

    def slices(self, image: Volume, axis: int | str | None, landmarks: bool) -> SlicePredictor:
        """Prepare the prediction of single slices along one axis."""
        return self._slices(image, self._canonical_axis(image, axis), landmarks)

    def _slices(self, image: Volume, along: int, landmarks: bool) -> SlicePredictor:
        stack = self._stack(image, along)
        smoothing = self.model.config.propagation.smoothing
        assembly = self._assembly(stack, landmarks)
        return SlicePredictor(stack, self.extractor, self.adapter, smoothing, assembly)

    def _fused(self, image: Volume, landmarks: bool, progress: Progress) -> Prediction:
        """Mean of the probabilities along the axes that the templates were painted along."""
        axes = sorted(self.model.axes)
        if len(axes) < 2:
            raise InputError(
                "axis",
                "be fused only for a model whose templates are painted along two axes or three",
                f"{FUSED}, with templates painted along {self._named(image, axes)} alone",
                "Leave it out, or give a template for each plane: the same image, painted there.",
            )
        stacks = [self._stack(image, axis) for axis in axes]
        counters = joint_progress([len(stack) for stack in stacks], progress)
        smoothing = self.model.config.propagation.smoothing
        planes = [
            (stack, slice_probabilities(stack, self.extractor, self.adapter, smoothing, counter))
            for stack, counter in zip(stacks, counters, strict=True)
        ]
        assembly = self._assembly(stacks[0], landmarks)
        for index, plane in fused_probabilities(planes):
            assembly.put(index, plane)
        return assembly.finish()

    def _refined(
        self, found: Prediction, image: Volume, axis: int, refiner: Refiner, progress: Progress
    ) -> Prediction:
        """Make the labels of a prediction more exact; landmarks stay as they are."""
        axis = Frame.of(image.affine, image.ndim).file_axis(axis)
        intensity = self.model.config.intensity
        work = LabelRefiner(
            image,
            found.labels,
            found.confidence,
            refiner,
            axis=axis,
            intensity=intensity,
            copy=False,  # they are ours
        )
        for _ in work.run(progress=progress):
            pass
        return replace(found, labels=work.labels, confidence=work.confidence)

    def _assembly(self, stack: SliceStack, landmarks: bool) -> Assembly:
        return Assembly(stack, self.model, self.model.config.propagation, landmarks)

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
        if image.ndim == 2:
            return 0
        if axis is None:
            return self.model.axes[0]
        along = resolve_axis(axis, Frame.of(image.affine, image.ndim), image.ndim)
        if along not in self.model.axes:
            _LOGGER.warning(
                "%s: slices along %s are of a plane that no template was painted in (%s were).",
                image.source or "volume",
                self._named(image, [along]),
                self._named(image, self.model.axes),
            )
        return along

    @staticmethod
    def _named(image: Volume, axes: Sequence[int]) -> str:
        frame = Frame.of(image.affine, image.ndim)
        return " and ".join(frame.plane_name(axis) for axis in axes)
