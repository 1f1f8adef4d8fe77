"""What baselines share: known slices as classes, and volumes labelled slice by slice."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Generic, TypeVar

import numpy as np

from ...adapters.base import fitted
from ...config import (
    CleanupConfig,
    IntensityConfig,
    LandmarkConfig,
    PropagationConfig,
    ResamplingConfig,
    SegmenterConfig,
)
from ...config.base import StageConfig
from ...errors import InputError
from ...predict.probabilities import Predictor, Tick, no_tick, slice_probabilities
from ...predict.sink import PredictionSink
from ...slices.axis import working_axis
from ...slices.stack import SliceStack
from ...templates.known import class_plane, labels_looked_for
from ...templates.template import Template
from ...templates.training_set import TrainingSet
from ...types import Array, Progress, Volume, no_progress
from . import MethodContext, Predicted

__all__ = [
    "Baseline",
    "BaselineConfig",
    "collect_slices",
    "held_out_volumes",
    "open_stack",
    "predict_stack",
    "require",
    "training_digest",
]


class BaselineConfig(StageConfig):
    """Settings that every baseline has, as the segmenter."""

    intensity: IntensityConfig = IntensityConfig()
    resampling: ResamplingConfig = ResamplingConfig()
    merge: bool = False
    """All labels are one class; the result has the values 0 and 1, and where the truth has several
    labels it is compared with all of them as one."""


Config = TypeVar("Config", bound=BaselineConfig)


class Baseline(ABC, Generic[Config]):
    """A method that learns from known slices and classifies one slice at a time.

    Parameters
    ----------
    config : BaselineConfig
    context : MethodContext
    """

    name = ""

    def __init__(self, config: Config, context: MethodContext) -> None:
        self.config, self.context = config, context
        self.training: TrainingSet | None = None

    @abstractmethod
    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Learn from the known slices of templates, and keep them as ``training``."""

    @abstractmethod
    def classify(self, image: Array) -> Array:
        """Class probabilities (L + 1, H, W), float32, of an image (C, H, W) in 0..1."""

    def predict(
        self, volume: Volume, axis: int | str | None, progress: Progress = no_progress
    ) -> Predicted:
        """Label a volume slice by slice."""
        training = fitted(self.training, self.name)
        stack = open_stack(volume, axis, training, self.config)
        return predict_stack(stack, training, self, self.config, self.context, progress)

    def planes(
        self, stack: SliceStack, indices: Sequence[int], tick: Tick = no_tick, /
    ) -> Iterator[Array]:
        """Class probabilities of working slices, for the loop of predictions."""
        return (self.classify(stack.slice(index)) for index in indices)


def collect_slices(templates: Sequence[Template], config: BaselineConfig) -> TrainingSet:
    """Known slices of templates; ``merge`` of the settings makes one label, 1, of all.

    Labels take as few bytes as hold them: all slices of many volumes stay while it trains.
    """
    settings = SegmenterConfig(intensity=config.intensity, resampling=config.resampling)
    training = TrainingSet.of(templates, settings)
    if config.merge:
        training = _merged(training)
    top = max(training.label_values)
    # Signed, since unknown pixels are below 0.
    dtype = next(kind for kind in (np.int8, np.int16, np.int32) if top <= np.iinfo(kind).max)
    slices = (replace(one, labels=one.labels.astype(dtype)) for one in training.examples)
    return replace(training, examples=tuple(slices))


def _merged(training: TrainingSet) -> TrainingSet:
    """All labels as one, which was looked for where all of them were."""
    everything = frozenset(training.label_values)
    slices = (
        replace(
            one,
            labels=np.minimum(one.labels, 1),
            known_labels=frozenset({1} if one.known_labels >= everything else ()),
        )
        for one in training.examples
    )
    return replace(
        training,
        examples=tuple(slices),
        label_values=(1,),
        names={1: "foreground"},
        point_labels=frozenset(),
    )


def held_out_volumes(training: TrainingSet, fraction: float) -> tuple[list[int], list[int]]:
    """Numbers of the slices to learn from, and of those of whole volumes that are held out.

    ``fraction`` of the volumes, the last ones, are held out; none where that is less than one.
    """
    owners = [one.volume for one in training.examples]
    volumes = sorted(set(owners))
    kept = set(volumes[len(volumes) - int(fraction * len(volumes) + 1e-9) :])
    return (
        [number for number, volume in enumerate(owners) if volume not in kept],
        [number for number, volume in enumerate(owners) if volume in kept],
    )


def training_digest(training: TrainingSet, settings: str) -> str:
    """Digest of everything that a training depends on."""
    digest = hashlib.sha256(f"{settings} {training.label_values}".encode())
    for known, (stack, index) in zip(training.examples, training.sources, strict=True):
        digest.update(training.stacks[stack].digest(index).encode())
        digest.update(class_plane(known, training.label_values).tobytes())
        digest.update(labels_looked_for(known, training.label_values).tobytes())
    return digest.hexdigest()


def open_stack(
    volume: Volume, axis: int | str | None, training: TrainingSet, config: BaselineConfig
) -> SliceStack:
    """Slices of a volume along ``axis``; None: as the templates were painted.

    Raises
    ------
    InputError
        If the volume has other channels than the templates.
    """
    along = working_axis(volume, axis, training.axes[0])
    stack = SliceStack(volume, along, config.intensity, config.resampling)
    if stack.channels != training.channels:
        raise InputError(
            "volume",
            f"have {training.channels} channels, as the templates",
            f"{stack.channels} channels",
        )
    return stack


def predict_stack(
    stack: SliceStack,
    training: TrainingSet,
    predictor: Predictor,
    config: BaselineConfig,
    context: MethodContext,
    progress: Progress = no_progress,
) -> Predicted:
    """Label a volume, on its own grid and in file order.

    Where landmarks are scored, they are looked for of every label, and nothing else is; otherwise
    of the labels that were given as points.
    """
    points = set(training.label_values if context.landmarks else training.point_labels)
    # Baselines are compared as they are: nothing is cleaned, no landmark placed by the others.
    marks = LandmarkConfig(arrangement=False, per_label=context.per_label)
    settings = PropagationConfig(cleanup=CleanupConfig(), landmarks=marks)
    sink = PredictionSink(stack, training, settings, points)
    for index, plane in slice_probabilities(stack, predictor, progress=progress):
        sink.put(index, plane)
    found = sink.finish()
    labels = None if points >= set(training.label_values) else found.labels
    return Predicted(labels, found.landmarks, "union" if config.merge else "labels")


def require(module: str, extra: str, method: str) -> None:
    """Check that an optional module is installed.

    Raises
    ------
    InputError
        If it is not; the message names the extra that brings it.
    """
    if find_spec(module) is None:
        raise InputError(
            "method",
            f"have its modules installed: {method} needs {module}",
            f"no module {module}",
            f"Install it with pip install 'napari-fewshot[{extra}]'.",
        )
