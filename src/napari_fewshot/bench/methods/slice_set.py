"""Slices in and out of a baseline network: known template slices, and predicted volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np

from ...config import (
    CleanupConfig,
    IntensityConfig,
    LandmarkConfig,
    PropagationConfig,
    ResamplingConfig,
    SegmenterConfig,
)
from ...errors import InputError
from ...predict.loop import slice_probabilities
from ...predict.sink import PredictionSink
from ...slices.stack import SliceStack, working_axis
from ...templates.known import UNKNOWN
from ...templates.template import Template
from ...templates.training_set import TrainingSet
from ...types import Array, Progress, Volume, no_progress
from .base import Predicted

__all__ = ["SliceSet", "label_volume", "require", "volume_stack"]

_SETTINGS = PropagationConfig(cleanup=CleanupConfig(), landmarks=LandmarkConfig(arrangement=False))
"""Networks are compared as they are: nothing is cleaned, no landmark placed by the others."""

FOREGROUND = 1
"""Value of the one label that stands for all when classes are merged."""


@dataclass(frozen=True, eq=False)
class SliceSet:
    """The known slices of some templates, as classes.

    Parameters
    ----------
    training : TrainingSet
        Slices and their labels, before classes are merged.
    values : tuple of int
        Label value of class 1, 2, ...; class 0 is background.
    names : dict of int to str
    merged : bool
        Whether all labels are one class.
    """

    training: TrainingSet
    values: tuple[int, ...]
    names: dict[int, str]
    merged: bool = False

    @classmethod
    def of(
        cls,
        templates: Sequence[Template],
        intensity: IntensityConfig,
        resampling: ResamplingConfig,
        *,
        merge: bool = False,
    ) -> SliceSet:
        """Collect the known slices; ``merge`` makes one class of all labels."""
        config = SegmenterConfig(intensity=intensity, resampling=resampling)
        training = _small(TrainingSet.of(templates, config))
        if merge:
            return cls(training, (FOREGROUND,), {FOREGROUND: "foreground"}, merged=True)
        return cls(training, training.label_values, training.names)

    def __len__(self) -> int:
        return len(self.training.examples)

    @property
    def volumes(self) -> tuple[int, ...]:
        """Number of the volume that each slice belongs to."""
        return tuple(example.volume for example in self.training.examples)

    @property
    def label_values(self) -> tuple[int, ...]:
        """Label values of the classes."""
        return self.values

    @property
    def point_labels(self) -> frozenset[int]:
        """Labels that are landmarks."""
        return self.points

    @property
    def arrangements(self) -> tuple[dict[int, tuple[float, ...]], ...]:
        """None: landmarks are not placed together."""
        return ()

    @property
    def points(self) -> frozenset[int]:
        """Labels that are landmarks."""
        return frozenset() if self.merged else self.training.point_labels

    @property
    def axis(self) -> int:
        """Canonical axis along which volumes are labelled if nothing else is said."""
        return self.training.axes[0]

    def image(self, number: int) -> Array:
        """Return a slice, shape (C, H, W), float32 in 0..1."""
        stack, index = self.training.sources[number]
        return self.training.stacks[stack].slice(index)

    def classes(self, number: int) -> Array:
        """Return the class of each pixel, shape (H, W), int64; -1 where it is not known."""
        labels = self.training.examples[number].labels
        if self.merged:
            return np.where(labels > 0, FOREGROUND, labels).astype(np.int64)
        known = np.searchsorted(self.values, labels) + 1
        return np.where(labels > 0, known, np.where(labels == 0, 0, UNKNOWN)).astype(np.int64)

    def looked_for(self, number: int) -> Array:
        """Say of each class but background whether a slice was searched for it, shape (L,)."""
        known = self.training.examples[number].known_labels
        if self.merged:
            return np.array([known >= set(self.training.label_values)])
        return np.array([value in known for value in self.values])

    def held_out(self, share: float) -> tuple[list[int], list[int]]:
        """Split into slices to learn from and slices of whole volumes that are held out.

        ``share`` of the volumes, the last ones, are held out; none where that is less than one.
        """
        volumes = sorted(set(self.volumes))
        first = len(volumes) - int(share * len(volumes) + 1e-9)
        learned: list[int] = []
        kept: list[int] = []
        for number, volume in enumerate(self.volumes):
            (learned if volume in volumes[:first] else kept).append(number)
        return learned, kept


def _small(training: TrainingSet) -> TrainingSet:
    """Labels in as few bytes as hold them: all slices of many volumes stay while it trains."""
    top = max(training.label_values)
    # Signed, since unknown pixels are below 0.
    kinds = (np.int8, np.int16, np.int32)
    dtype = next(kind for kind in kinds if top <= np.iinfo(kind).max)
    examples = (replace(one, labels=one.labels.astype(dtype)) for one in training.examples)
    return replace(training, examples=tuple(examples))


def volume_stack(
    volume: Volume,
    axis: int | str | None,
    learned: SliceSet,
    intensity: IntensityConfig,
    resampling: ResamplingConfig,
) -> SliceStack:
    """Slices of a volume along ``axis``; None: as the templates were painted.

    Raises
    ------
    InputError
        If the volume has other channels than the templates.
    """
    along = working_axis(volume, axis, learned.axis)
    stack = SliceStack(volume, along, intensity, resampling)
    if stack.channels != learned.training.channels:
        raise InputError(
            "volume",
            f"have {learned.training.channels} channels, as the templates",
            f"{stack.channels} channels",
        )
    return stack


def label_volume(
    stack: SliceStack,
    learned: SliceSet,
    plane_of: Callable[[int], Array],
    progress: Progress = no_progress,
    *,
    landmarks: bool = False,
) -> Predicted:
    """Label a volume slice by slice, on its own grid and in file order.

    Parameters
    ----------
    stack : SliceStack
        The volume.
    learned : SliceSet
        What the classes stand for.
    plane_of : callable
        Number of a working slice to class probabilities (L + 1, H, W), float32.
    progress : callable
        Called after every slice that was classified.
    landmarks : bool
        Whether to look for a landmark of every label, and for nothing else; otherwise for those
        of the labels that were given as points.
    """
    points = learned.values if landmarks else tuple(learned.points)
    sink = PredictionSink(stack, learned, _SETTINGS, points)
    for index, plane in slice_probabilities(stack, _Planes(plane_of), progress=progress):
        sink.put(index, plane)
    found = sink.finish()
    return Predicted(None if set(points) >= set(learned.values) else found.labels, found.landmarks)


class _Planes:
    """Classified slices as what the loop of predictions drives."""

    def __init__(self, plane_of: Callable[[int], Array]) -> None:
        self._plane_of = plane_of

    def planes(self, stack: SliceStack, indices: Sequence[int], /) -> Iterator[Array]:
        return map(self._plane_of, indices)


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
