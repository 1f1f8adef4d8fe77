"""Slices of probabilities to labels, confidence and landmarks of a whole volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..config import LandmarkConfig
from ..types import Array, Landmark
from .landmarks import find_landmarks
from .peaks import find_peaks
from .scratch import scratch_array

__all__ = ["LabelCollector", "LabelProbabilities", "smallest_label_dtype"]

_IN_MEMORY = 512 * 2**20


def smallest_label_dtype(values: Sequence[int]) -> np.dtype[np.unsignedinteger | np.signedinteger]:
    """Smallest of uint8, uint16 and int32 that holds the label values."""
    top = max(values, default=0)
    for dtype in (np.uint8, np.uint16):
        if top <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.int32)


class LabelProbabilities:
    """Probability of each label over a stack, in 255ths, on disk when large.

    Parameters
    ----------
    shape : tuple of int
        (N, H, W).
    labels : int
        Number of labels L, without background.
    """

    def __init__(self, shape: tuple[int, int, int], labels: int) -> None:
        self.data = scratch_array((labels, *shape), np.uint8, _IN_MEMORY)

    def put(self, index: int, probabilities: Array) -> None:
        """Keep one slice, shape (L + 1, H, W); class 0 is left out."""
        self.data[:, index] = np.round(probabilities[1:] * 255)

    def landmarks(
        self,
        label_values: Sequence[int],
        names: Mapping[int, str],
        config: LandmarkConfig,
        spacing: tuple[float, float, float],
        wanted: Sequence[int],
    ) -> list[Landmark]:
        """Landmarks of the wanted labels, positions in the order of the stack."""
        found: list[Landmark] = []
        for number, value in enumerate(label_values):
            if value in wanted:
                name = names.get(value, str(value))
                found += find_landmarks(
                    self.data[number], label=value, name=name, config=config, spacing=spacing
                )
        return found

    def peaks(
        self,
        label_values: Sequence[int],
        wanted: Sequence[int],
        count: int,
        least: float,
        distance: float,
        spacing: tuple[float, float, float],
    ) -> dict[int, tuple[Array, Array]]:
        """Places in voxels of the stack, and scores, of the highest peaks of the wanted labels."""
        return {
            value: find_peaks(
                self.data[number], count=count, least=least, distance=distance, spacing=spacing
            )
            for number, value in enumerate(label_values)
            if value in wanted
        }


class LabelCollector:
    """Labels and confidence of a stack, as its slices come; in a temporary file when large.

    Parameters
    ----------
    shape : tuple of int
        (N, H, W).
    label_values : sequence of int
    probabilities : LabelProbabilities, optional
        Filled on the way.
    keep_background : bool
        Whether labels may be removed later, so that the probability of background is kept.

    Attributes
    ----------
    labels : int array, shape (N, H, W)
        The most probable class of each pixel; 0 where no slice has come yet.
    confidence : float32 array, shape (N, H, W)
        Probability of the class that was chosen, background included.
    background : float32 array, shape (N, H, W), or None
        Probability of background, where it is kept.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        label_values: Sequence[int],
        probabilities: LabelProbabilities | None = None,
        *,
        keep_background: bool = False,
    ) -> None:
        self._values = np.array([0, *label_values], dtype=smallest_label_dtype(label_values))
        self._probabilities = probabilities
        self.labels = scratch_array(shape, self._values.dtype, _IN_MEMORY)
        self.confidence = scratch_array(shape, np.float32, _IN_MEMORY)
        self.background = scratch_array(shape, np.float32, _IN_MEMORY) if keep_background else None

    def put(self, index: int, plane: Array) -> None:
        """Take the class probabilities of one slice, shape (L + 1, H, W)."""
        best = plane.argmax(axis=0)
        self.labels[index] = self._values[best]
        self.confidence[index] = np.take_along_axis(plane, best[None], axis=0)[0]
        if self.background is not None:
            self.background[index] = plane[0]
        if self._probabilities is not None:
            self._probabilities.put(index, plane)

    def confidence_of(self, cleaned: Array) -> Array:
        """Probability of each value of ``cleaned``: these labels, some of them now background.

        The shape is that of ``labels``; what was collected stays as it is.
        """
        if self.background is None:
            return self.confidence
        result = scratch_array(self.labels.shape, np.float32, _IN_MEMORY)
        for index, plane in enumerate(cleaned):
            kept = plane == self.labels[index]
            result[index] = np.where(kept, self.confidence[index], self.background[index])
        return result
