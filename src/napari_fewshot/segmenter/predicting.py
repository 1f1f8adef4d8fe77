"""What predicts volumes: a model, its adapter and an extractor."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..adapters import Adapter
from ..errors import InputError
from ..features.extract import FeatureExtractor
from ..features.planes import SliceStack
from ..geometry import Frame, resolve_axis
from ..propagation.fusion import fused_probabilities
from ..propagation.volume import slice_probabilities
from ..refine import LabelRefiner, Refiner
from ..types import Progress, Volume, joint_progress
from .assembly import Assembly
from .model_file import SavedModel
from .prediction import FUSED, Prediction
from .slicewise import SlicePredictor

__all__ = ["Predicting"]


@dataclass(frozen=True, eq=False)
class Predicting:
    """The stages of a prediction.

    Parameters
    ----------
    model : SavedModel
    adapter : Adapter
        That of the model.
    extractor : FeatureExtractor
    """

    model: SavedModel
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
        """Label every slice along an axis, or along all, and refine the labels."""
        if axis == FUSED and image.ndim == 3:
            found, axis = self.fused(image, landmarks, progress), None
        else:
            predictor = self.slices(image, axis, landmarks)
            for _ in predictor.run(progress=progress):
                pass
            found = predictor.finish()
        if refiner is None:
            return found
        along = self._canonical_axis(image, axis)
        return self._refined(found, image, along, refiner, progress)

    def slices(self, image: Volume, axis: int | str | None, landmarks: bool) -> SlicePredictor:
        """Prepare the prediction of single slices along one axis."""
        stack = self._stack(image, self._canonical_axis(image, axis))
        smoothing = self.model.config.propagation.smoothing
        assembly = self._assembly(stack, landmarks)
        return SlicePredictor(stack, self.extractor, self.adapter, smoothing, assembly)

    def fused(self, image: Volume, landmarks: bool, progress: Progress) -> Prediction:
        """Mean of the probabilities along all three axes."""
        stacks = [self._stack(image, axis) for axis in range(3)]
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
        if axis is not None:
            return resolve_axis(axis, Frame.of(image.affine, image.ndim), image.ndim)
        return self.model.axes[0]
