"""How one adapter learns from the features of templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ..adapters import Adapter
from ..features.extract import FeatureExtractor
from ..predict.learned import LearnedModel
from ..templates.augmentation import FeatureRequirements
from ..templates.training_set import TrainingSet
from ..types import Progress

__all__ = ["learn", "learn_on"]


def learn(
    function: Callable[..., Adapter],
    training: TrainingSet,
    requirements: FeatureRequirements,
    extractor: FeatureExtractor,
    progress: Progress,
) -> None:
    """Let ``function``, the fit or update of an adapter, learn from the features of templates."""
    known = training.augmented(requirements.augmentation)
    maps = known.maps(extractor, progress=progress, padding=requirements.padding)
    function(known.examples, maps, known.label_values, progress=progress)


def learn_on(
    adapter: Adapter,
    learned: LearnedModel,
    training: TrainingSet,
    extractor: FeatureExtractor,
    progress: Progress,
) -> None:
    """Let an adapter of a model learn on, without copies of slices."""
    update = partial(adapter.update, before=learned.label_values)
    requirements = replace(adapter.requirements, augmentation=None)
    learn(update, training, requirements, extractor, progress)
