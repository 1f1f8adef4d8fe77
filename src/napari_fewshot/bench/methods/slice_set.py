"""Slices in and out of a baseline network: known template slices, and predicted volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np

from ...config import IntensityConfig, LandmarkConfig, ResamplingConfig, SegmenterConfig
from ...errors import InputError
from ...geometry import Frame, resolve_axis
from ...predict.collect import LabelCollector, LabelProbabilities
from ...slices.grid import resize_plane
from ...slices.stack import SliceStack, from_stack, landmark_from_stack
from ...templates.known import UNKNOWN
from ...templates.template import Template
from ...templates.training_set import TrainingSet
from ...types import Array, Landmark, Progress, Volume, no_progress
from .base import Predicted

__all__ = ["SliceSet", "gather_planes", "label_volume", "require", "volume_stack"]

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
    frame = Frame.of(volume.affine, volume.ndim)
    along = learned.axis if axis is None else resolve_axis(axis, frame, volume.ndim)
    stack = SliceStack(volume, 0 if volume.ndim == 2 else along, intensity, resampling)
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
    classify: Callable[[Array], Array],
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
    classify : callable
        Image (C, H, W) to class probabilities (L + 1, H, W), float32.
    progress : callable
        Called after every slice that was classified.
    landmarks : bool
        As for :func:`gather_planes`.
    """
    done = 0

    def plane(index: int) -> Array:
        nonlocal done
        found = classify(stack.slice(index))
        done += 1
        progress(done, len(stack), "slices")
        return found

    return gather_planes(stack, learned, plane, landmarks=landmarks)


def gather_planes(
    stack: SliceStack,
    learned: SliceSet,
    plane_of: Callable[[int], Array],
    *,
    landmarks: bool = False,
) -> Predicted:
    """Bring classified slices to the grid of the file.

    Parameters
    ----------
    stack : SliceStack
        The volume.
    learned : SliceSet
        What the classes stand for.
    plane_of : callable
        Number of a working slice to class probabilities (L + 1, H, W), float32; asked once for
        each slice, in ascending order.
    landmarks : bool
        Whether to look for a landmark of every label, and for nothing else; otherwise for those
        of the labels that were given as points.
    """
    shape = stack.grid.shape
    points = sorted(learned.values if landmarks else learned.points)
    kept = LabelProbabilities(shape, len(learned.values)) if points else None
    collector = LabelCollector(shape, learned.values, kept)
    ready: dict[int, Array] = {}
    for index in range(shape[0]):
        parts = stack.grid.targets(index) if stack.grid.changes_slices else [(index, 1.0)]
        ready = {k: plane for k, plane in ready.items() if k >= parts[0][0]}
        for working, _ in parts:
            if working not in ready:
                ready[working] = plane_of(working)
        plane = sum(weight * ready[working] for working, weight in parts)
        collector.put(index, resize_plane(np.asarray(plane, np.float32), shape[1:]))
    found: tuple[Landmark, ...] = ()
    if kept is not None:
        best = kept.landmarks(
            learned.values, learned.names, LandmarkConfig(), stack.spacing, points
        )
        found = tuple(landmark_from_stack(point, stack) for point in best)
    if set(points) >= set(learned.values):
        return Predicted(None, found)
    labels = from_stack(collector.labels, stack.frame, stack.axis, stack.volume.ndim)
    return Predicted(np.ascontiguousarray(labels), found)


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
