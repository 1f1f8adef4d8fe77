"""The contract of adapters, and what the pixel adapters share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from ..errors import NotFittedError
from ..features.pixels import slice_coordinates
from ..features.variants import Variation
from ..sampling.pixels import Samples
from ..types import Array, FeatureMap, Progress, no_progress

__all__ = ["Adapter", "AdapterState", "Example", "Needs", "PixelClassifier", "Place", "fitted"]

Fitted = TypeVar("Fitted")


@dataclass(frozen=True)
class Place:
    """Where a slice lies in its volume: what position features are made of.

    Parameters
    ----------
    index : int
        Working slice.
    stack_shape : tuple of int
        (N, H, W) of the working stack.
    axis : int
        Canonical axis of the stack.
    flat : bool
        Whether the volume is a single 2D image.
    """

    index: int
    stack_shape: tuple[int, int, int]
    axis: int
    flat: bool = False

    def columns(self, flat_pixels: Array) -> Array:
        """Normalised (s, a, r) coordinates of pixels, shape (n, 3), float32, in -1..1."""
        rows, columns, depth = slice_coordinates(self.index, self.stack_shape, self.axis, self.flat)
        row, column = np.divmod(flat_pixels, self.stack_shape[2])
        in_plane = [rows[row], columns[column]]
        in_plane.insert(self.axis, np.full(len(flat_pixels), depth, dtype=np.float32))
        return np.stack(in_plane, axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Example:
    """One template slice, without its features.

    Parameters
    ----------
    labels : array, shape (H, W), int32
        Label values, 0 background, negative unknown.
    known_labels : frozenset of int
        Labels that were looked for.
    place : Place
    volume : int
        Number of the volume it belongs to.
    origin : Example, optional
        The template slice of which this is an augmented copy; None for a template slice.
    """

    labels: Array
    known_labels: frozenset[int]
    place: Place
    volume: int
    origin: Example | None = None


@dataclass(frozen=True)
class Needs:
    """What an adapter asks of the feature maps that it is given.

    Parameters
    ----------
    padding : bool
        Keep the cells of padding; see
        :meth:`~napari_fewshot.features.extract.FeatureExtractor.maps`.
    variation : Variation, optional
        Augmented copies of the template slices to fit to, behind the slices themselves.
    """

    padding: bool = False
    variation: Variation | None = None


@dataclass(frozen=True, eq=False)
class AdapterState:
    """A fitted adapter as tensors and JSON-ready values.

    Parameters
    ----------
    tensors : dict of str to array
    values : dict
    """

    tensors: dict[str, Array]
    values: dict[str, Any]


class Adapter(Protocol):
    """Learns from templates' feature maps; gives class probabilities for a feature map."""

    @property
    def needs(self) -> Needs:
        """What its feature maps must be like."""
        ...

    @property
    def label_count(self) -> int:
        """Number of labels that were learned."""
        ...

    def fit(
        self,
        examples: Sequence[Example],
        maps: Iterable[FeatureMap],
        label_values: Sequence[int],
        progress: Progress = no_progress,
    ) -> Adapter:
        """Learn from examples and their feature maps, given in the same order."""
        ...

    def update(
        self,
        examples: Sequence[Example],
        maps: Iterable[FeatureMap],
        label_values: Sequence[int],
        before: Sequence[int],
        progress: Progress = no_progress,
    ) -> Adapter:
        """Learn on from what is fitted, quickly; ``before`` are the labels that it knows."""
        ...

    def predict(self, features: FeatureMap, place: Place) -> Array:
        """Class probabilities, shape (L + 1, H, W), float32; class 0 is background."""
        ...

    def state(self) -> AdapterState:
        """Everything that :meth:`restore` needs."""
        ...

    def restore(self, state: AdapterState) -> Adapter:
        """Become the adapter that ``state`` was taken from.

        The state may come from a damaged file: sizes that do not fit each other raise, before
        memory is taken for them.
        """
        ...


class PixelClassifier(Protocol):
    """Learns from pixel vectors; the heart of a pixel adapter."""

    def fit(self, samples: Samples, seed: int, progress: Progress = no_progress) -> PixelClassifier:
        """Learn from standardised samples."""
        ...

    def update(
        self, samples: Samples, before: Sequence[int], seed: int, progress: Progress = no_progress
    ) -> PixelClassifier:
        """Learn on from what is fitted, quickly; ``before`` are the labels that it knows."""
        ...

    def predict(self, features: Array) -> Array:
        """Class probabilities, shape (n, L + 1), float32, of standardised vectors (n, C)."""
        ...

    def state(self) -> AdapterState:
        """Everything that :meth:`restore` needs."""
        ...

    def restore(self, state: AdapterState) -> PixelClassifier:
        """Become the classifier that ``state`` was taken from."""
        ...


def fitted(value: Fitted | None, what: str) -> Fitted:
    """Return ``value``, or raise :class:`NotFittedError` when it is None."""
    if value is None:
        raise NotFittedError(f"{what} is not fitted yet; call fit first.")
    return value
