"""What predicted slices become: labels, confidence and landmarks of a whole volume."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..config import PropagationConfig
from ..slices.stack import SliceStack
from ..types import Array, Landmark
from .cleanup import clean_labels
from .constellation import locate_landmarks
from .landmarks import component_centres
from .learned import LearnedLabels

__all__ = ["FUSED", "Prediction", "PredictionSink", "scratch_array", "smallest_label_dtype"]

FUSED = "fused"
"""Axis of a prediction that averages the probabilities of all planes that were painted."""

_IN_MEMORY = 512 * 2**20


@dataclass(frozen=True, eq=False)
class Prediction:
    """A labelled volume, on the grid and in the order of the image it was made for.

    Parameters
    ----------
    labels : int array, shape (Z, Y, X) or (Y, X)
        Label values of the templates; 0 is background. The smallest of uint8, uint16 and
        int32 that holds them.
    confidence : float32 array, of the shape of ``labels``
        Probability, in 0..1, of the value that ``labels`` has there.
    landmarks : tuple of Landmark
        Up to the set number of points for each label; none where the label is absent.
    names : dict of int to str
        Names of the label values.
    """

    labels: Array
    confidence: Array
    landmarks: tuple[Landmark, ...]
    names: dict[int, str]


class PredictionSink:
    """Takes the class probabilities of slices of a stack, in any order.

    Large volumes are kept in temporary files.

    Parameters
    ----------
    stack : SliceStack
        Slices that are predicted.
    learned : LearnedLabels
        What the classes stand for.
    settings : PropagationConfig
        Clean-up and landmarks.
    landmarks : collection of int, optional
        Labels whose landmarks are looked for when all slices are there; None: all of them.

    Attributes
    ----------
    labels : int array, shape of the volume in file order
        The most probable class of each pixel, before components are cleaned; 0 where no slice
        has come yet.
    confidence : float32 array, of that shape
        Probability of the class that was chosen, background included.
    """

    def __init__(
        self,
        stack: SliceStack,
        learned: LearnedLabels,
        settings: PropagationConfig,
        landmarks: Collection[int] | None = None,
    ) -> None:
        self._stack, self._learned, self._settings = stack, learned, settings
        values, shape = learned.label_values, stack.grid.shape
        self._values = np.array([0, *values], dtype=smallest_label_dtype(values))
        self._points = [v for v in values if landmarks is None or v in landmarks]
        self._labels = scratch_array(shape, self._values.dtype, _IN_MEMORY)
        self._confidence = scratch_array(shape, np.float32, _IN_MEMORY)
        self._background: Array | None = None
        if settings.cleanup.changes_labels:  # labels become background: how probable is that?
            self._background = scratch_array(shape, np.float32, _IN_MEMORY)
        self._probabilities: Array | None = None
        if self._points and settings.landmarks.source == "probabilities":
            self._probabilities = scratch_array((len(values), *shape), np.uint8, _IN_MEMORY)
        self.labels = stack.to_file(self._labels)
        self.confidence = stack.to_file(self._confidence)

    def put(self, index: int, plane: Array) -> None:
        """Take the class probabilities, shape (L + 1, H, W), of a slice of the stack."""
        best = plane.argmax(axis=0)
        self._labels[index] = self._values[best]
        self._confidence[index] = np.take_along_axis(plane, best[None], axis=0)[0]
        if self._background is not None:
            self._background[index] = plane[0]
        if self._probabilities is not None:
            self._probabilities[:, index] = np.round(plane[1:] * 255)

    def finish(self) -> Prediction:
        """Clean the labels, find the landmarks; what was put stays as it is."""
        stack, learned = self._stack, self._learned
        labels = clean_labels(self._labels, self._settings.cleanup)
        points = self._landmarks(labels)
        return Prediction(
            labels=np.ascontiguousarray(stack.to_file(labels)),
            confidence=np.ascontiguousarray(stack.to_file(self._confidence_of(labels))),
            landmarks=tuple(stack.landmark_to_file(point) for point in points),
            names=dict(learned.names),
        )

    def _landmarks(self, cleaned: Array) -> list[Landmark]:
        config, stack, learned = self._settings.landmarks, self._stack, self._learned
        if self._probabilities is not None:
            return locate_landmarks(self._probabilities, learned, config, stack, self._points)
        found: list[Landmark] = []
        for value in self._points:
            found += component_centres(
                cleaned,
                self._confidence,
                label=value,
                name=learned.names.get(value, str(value)),
                config=config,
                spacing=stack.spacing,
            )
        return found

    def _confidence_of(self, cleaned: Array) -> Array:
        """Probability of each value of the labels of which some are now background."""
        if self._background is None:
            return self._confidence
        result = scratch_array(self._labels.shape, np.float32, _IN_MEMORY)
        for index, plane in enumerate(cleaned):
            kept = plane == self._labels[index]
            result[index] = np.where(kept, self._confidence[index], self._background[index])
        return result


def smallest_label_dtype(values: Sequence[int]) -> np.dtype[np.unsignedinteger | np.signedinteger]:
    """Smallest of uint8, uint16 and int32 that holds the label values."""
    top = max(values, default=0)
    for dtype in (np.uint8, np.uint16):
        if top <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.int32)


def scratch_array(shape: tuple[int, ...], dtype: npt.DTypeLike, in_memory: int) -> Array:
    """Make an array of zeros: in memory up to so many bytes, else in a temporary file.

    The file has no name, or is marked for deletion; it goes when the array goes, also when the
    process is killed.
    """
    kind = np.dtype(dtype)
    if kind.itemsize * int(np.prod(shape, dtype=np.int64)) <= in_memory:
        return np.zeros(shape, dtype=kind)
    with tempfile.TemporaryFile(prefix="napari-fewshot-") as file:  # the map keeps it open
        mapped: Array = np.memmap(file, dtype=kind, mode="w+", shape=shape)
    return mapped
