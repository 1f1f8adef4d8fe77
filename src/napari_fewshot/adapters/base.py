"""The contract of adapters, and what the pixel adapters share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..config import SegmenterConfig
from ..errors import NotFittedError
from ..registry import Registry
from ..slices.stack import SlicePosition
from ..templates.augmentation import FeatureRequirements
from ..templates.known import KnownSlice
from ..templates.pixels import Samples
from ..types import Array, FeatureMap, Progress, SliceFeatures, no_progress

if TYPE_CHECKING:
    import torch

__all__ = [
    "ADAPTERS",
    "Adapter",
    "AdapterEntry",
    "AdapterState",
    "PixelClassifier",
    "fitted",
]

Fitted = TypeVar("Fitted")


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
    def requirements(self) -> FeatureRequirements:
        """What its feature maps must be like."""
        ...

    @property
    def label_count(self) -> int:
        """Number of labels that were learned."""
        ...

    def fit(
        self,
        examples: Sequence[KnownSlice],
        maps: Iterable[SliceFeatures],
        label_values: Sequence[int],
        progress: Progress = no_progress,
    ) -> Adapter:
        """Learn from examples and their feature maps.

        Parameters
        ----------
        examples : sequence of KnownSlice
            Labels of each slice, shape (H, W), with what is not known of it.
        maps : iterable of FeatureMap or TiledFeatures
            Features of the examples, shape (C, h, w), in their order; read once.
        label_values : sequence of int
            Labels of the classes from 1 on, sorted.
        progress : callable
            ``progress(step, steps, "training")``; it may raise ``Cancelled``.

        Raises
        ------
        InputError
            If there is no background, or no label.
        """
        ...

    def update(
        self,
        examples: Sequence[KnownSlice],
        maps: Iterable[SliceFeatures],
        label_values: Sequence[int],
        before: Sequence[int],
        progress: Progress = no_progress,
    ) -> Adapter:
        """Learn on from what is fitted, quickly, as :meth:`fit`; it knows the labels ``before``."""
        ...

    def recall(self, state: AdapterState, before: Sequence[int]) -> bool:
        """Learn beside the examples from what an adapter kept of those that it had learned from.

        It counts for all that is fitted or updated from now on. ``state`` is of an adapter of this
        kind, which knew the labels ``before``. False where that kept nothing. KeyError or
        ValueError if its parts do not fit each other.
        """
        ...

    def predict(
        self, features: FeatureMap, position: SlicePosition, rows: slice = slice(None), /
    ) -> Array:
        """Class probabilities, shape (L + 1, H, W), float32; class 0 is background.

        ``features`` may be a part of a slice. ``rows`` of it are predicted, unless
        ``requirements`` ask for whole maps.
        """
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

    def projection(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Weight (E, C) and bias (E,) of a linear layer that comes first; None without one.

        It is applied for the classifier, in one with the standardisation and before tokens are
        interpolated to pixels.
        """
        ...

    def predict(self, projected: torch.Tensor) -> torch.Tensor:
        """Class probabilities, shape (n, L + 1), float32, on the device of the vectors.

        ``projected`` (n, E), float32, are standardised vectors after the projection, where there is
        one; they may be overwritten.
        """
        ...

    def state(self) -> AdapterState:
        """Everything that :meth:`restore` needs."""
        ...

    def restore(self, state: AdapterState) -> PixelClassifier:
        """Become the classifier that ``state`` was taken from."""
        ...


@dataclass(frozen=True)
class AdapterEntry:
    """A registered adapter.

    Parameters
    ----------
    summary : str
        A line for people who choose.
    build : callable
        ``build(config, device, weights) -> Adapter``, not yet fitted; ``weights`` is a local
        checkpoint of the backbone, for adapters that start from a part of it.
    check : callable
        ``check(config)`` raises what ``build`` would raise, without loading anything.
    """

    summary: str
    build: Callable[[SegmenterConfig, str, Path | None], Adapter]
    check: Callable[[SegmenterConfig], None] = lambda config: None


ADAPTERS: Registry[AdapterEntry] = Registry(
    "adapter",
    ".adapters.contrastive",
    ".adapters.classification",
    ".adapters.cosine",
    ".sam.decoder",
)


def fitted(value: Fitted | None, what: str) -> Fitted:
    """Return ``value``, or raise :class:`NotFittedError` when it is None."""
    if value is None:
        raise NotFittedError(f"{what} is not fitted yet; call fit first.")
    return value
