"""What an adapter is fitted to: template slices, and augmented copies of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..features.extract import FeatureExtractor
from ..types import FeatureMap, Progress, no_progress
from .augmentation import AugmentedSlices, FeatureRequirements
from .known import KnownSlice
from .training_set import TrainingSet

__all__ = ["LearningSet"]


class LearningSet:
    """The examples of a training set and their feature maps, as an adapter needs them.

    Parameters
    ----------
    training : TrainingSet
    requirements : FeatureRequirements
        Of the adapter.

    Attributes
    ----------
    examples : tuple of KnownSlice
        Template slices, then all copies; each copy names its slice as its ``origin``.
    """

    def __init__(self, training: TrainingSet, requirements: FeatureRequirements) -> None:
        self._training = training
        self._padding = requirements.padding
        self._copies: list[tuple[AugmentedSlices, int]] = []
        copies: list[KnownSlice] = []
        for number, stack in enumerate(training.stacks):
            if requirements.augmentation is None:
                break
            own = [k for k, source in enumerate(training.sources) if source[0] == number]
            varied = AugmentedSlices(
                stack, [training.sources[k][1] for k in own], requirements.augmentation
            )
            for index in range(len(varied)):
                origin = training.examples[own[index // requirements.augmentation.count]]
                labels = varied.labels(origin.labels, index)
                copies.append(replace(origin, labels=labels, origin=origin))
                self._copies.append((varied, index))
        self.examples = (*training.examples, *copies)

    def maps(
        self,
        extractor: FeatureExtractor,
        chosen: Sequence[int] | None = None,
        progress: Progress = no_progress,
    ) -> Iterator[FeatureMap]:
        """Feature maps of the examples (all, or the chosen ones in ascending order)."""
        wanted = range(len(self.examples)) if chosen is None else sorted(chosen)
        count = len(self._training.examples)
        slices = [k for k in wanted if k < count]
        done = 0
        for features in self._training.maps(extractor, slices, padding=self._padding):
            yield features
            done += 1
            progress(done, len(wanted), "template features")
        copies = [self._copies[k - count] for k in wanted if k >= count]
        for source in dict.fromkeys(source for source, _ in copies):
            indices = [index for other, index in copies if other is source]
            for _, features in extractor.maps(source, indices, padding=self._padding):
                yield features
                done += 1
                progress(done, len(wanted), "template features")
