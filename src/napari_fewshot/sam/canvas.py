"""Masks of several labels put together to one label map."""

from __future__ import annotations

import numpy as np

from ..types import Array

__all__ = ["LabelCanvas"]

_LEAST = 1e-3


class LabelCanvas:
    """Masks on one slice, regrouped so that each pixel has one label.

    A pixel that several masks cover goes to the one of the highest score: its probability there
    times the IoU that SAM predicts for the mask. The order of masks does not matter.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the slice.

    Attributes
    ----------
    labels : int32 array, shape (H, W)
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.labels: Array = np.zeros(shape, np.int32)
        self._score = np.zeros(shape, np.float32)
        self._own = np.zeros(shape, np.float32)
        self._highest = np.zeros(shape, np.float32)

    def put(self, label: int, logits: Array, iou: float = 1.0) -> None:
        """Add a mask.

        Parameters
        ----------
        label : int
            Its value.
        logits : float array, shape (H, W)
            Above 0 inside.
        iou : float
            Predicted; 1 for a SAM whose prediction was not trained.
        """
        from scipy.special import expit

        probability = expit(np.asarray(logits, dtype=np.float32))
        score = probability * max(_LEAST, min(float(iou), 1.0))
        won = (logits > 0) & (score > self._score)
        self.labels[won] = label
        self._score[won] = score[won]
        self._own[won] = probability[won]
        np.maximum(self._highest, probability, out=self._highest)

    @property
    def confidence(self) -> Array:
        """Probability of the value that ``labels`` has there, float32, shape (H, W)."""
        sure: Array = np.where(self.labels > 0, self._own, 1 - self._highest)
        return sure
