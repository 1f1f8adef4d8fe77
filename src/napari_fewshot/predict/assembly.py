"""Predicted slices of a volume, put together to what the caller gets."""

from __future__ import annotations

import numpy as np

from ..config import PropagationConfig
from ..slices.stack import SliceStack, from_stack, landmark_from_stack
from ..types import Array
from .arranging import find_points
from .cleanup import clean_labels
from .collect import LabelCollector, LabelProbabilities
from .learned import LearnedModel
from .prediction import Prediction

__all__ = ["Assembly"]


class Assembly:
    """Labels, confidence and landmarks of one volume, from slices in any order.

    Parameters
    ----------
    stack : SliceStack
        Slices that are predicted.
    learned : LearnedModel
    settings : PropagationConfig
    landmarks : bool
        Whether to look for landmarks when all slices are there.

    Attributes
    ----------
    labels, confidence : array, shape of the volume in file order
        Views of what has been put so far, before components are cleaned.
    """

    def __init__(
        self, stack: SliceStack, learned: LearnedModel, settings: PropagationConfig, landmarks: bool
    ) -> None:
        self._stack, self._learned, self._settings = stack, learned, settings
        shape, values = stack.grid.shape, learned.label_values
        self._kept = LabelProbabilities(shape, len(values)) if landmarks else None
        cleans = settings.cleanup.changes_labels
        self._collector = LabelCollector(shape, values, self._kept, keep_background=cleans)
        self.labels = self._in_file_order(self._collector.labels)
        self.confidence = self._in_file_order(self._collector.confidence)

    def put(self, index: int, plane: Array) -> None:
        """Take the class probabilities, shape (L + 1, H, W), of a slice of the stack."""
        self._collector.put(index, plane)

    def finish(self) -> Prediction:
        """Clean the labels, find the landmarks."""
        learned, stack = self._learned, self._stack
        labels = clean_labels(self._collector.labels, self._settings.cleanup)
        confidence = self._collector.confidence_of(labels)
        points = (
            []
            if self._kept is None
            else find_points(self._kept, learned, self._settings.landmarks, stack)
        )
        return Prediction(
            labels=np.ascontiguousarray(self._in_file_order(labels)),
            confidence=np.ascontiguousarray(self._in_file_order(confidence)),
            landmarks=tuple(landmark_from_stack(point, stack) for point in points),
            names=dict(learned.names),
        )

    def _in_file_order(self, array: Array) -> Array:
        stack = self._stack
        return from_stack(array, stack.frame, stack.axis, stack.volume.ndim)
