"""The basic adapter: cosine similarity to the mean template feature of each label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import CosineConfig, SegmenterConfig
from ..errors import InputError
from ..pointwise import linear
from ..templates.pixels import Samples
from ..types import Array, Progress, no_progress
from .base import AdapterEntry, AdapterState, fitted
from .pixelwise import PixelAdapter

if TYPE_CHECKING:
    import torch

__all__ = ["CosineClassifier"]

_SOFTNESS = 0.1
_MIN_LENGTH = 1e-30  # what has none is like nothing


class CosineClassifier:
    """A pixel takes the label with the most similar mean feature, if above a threshold.

    "Data Adaptive Few-shot Multi Label Segmentation with Foundation Model", basic adapter
    (threshold 0.5). The probabilities are a softmax of the similarities and the threshold
    divided by 0.1: their highest is at the label, or the background, that the rule gives.

    Parameters
    ----------
    config : CosineConfig
    """

    def __init__(self, config: CosineConfig) -> None:
        self.config = config
        self._references: Array | None = None

    def fit(
        self, samples: Samples, seed: int, progress: Progress = no_progress
    ) -> CosineClassifier:
        """Average the features of each label; ``seed`` is without effect."""
        references = np.zeros((len(samples.label_values), samples.features.shape[1]), np.float32)
        for number in range(len(samples.label_values)):
            members = samples.features[samples.classes == number + 1]
            if len(members):
                references[number] = members.mean(axis=0)
        if not (samples.classes > 0).any():
            raise InputError("labels", "have at least one painted pixel", "only background")
        self._references = _unit(references)
        progress(1, 1, "training")
        return self

    def similarity(self, vectors: torch.Tensor) -> torch.Tensor:
        """Cosine similarity of standardised vectors (n, C) to each label, shape (n, L)."""
        import torch

        references = torch.from_numpy(fitted(self._references, "The cosine adapter"))
        length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        return linear(vectors, references).div_(length.clamp_(min=_MIN_LENGTH))

    def update(
        self, samples: Samples, before: Sequence[int], seed: int, progress: Progress = no_progress
    ) -> CosineClassifier:
        """Take the means anew."""
        return self.fit(samples, seed, progress)

    def projection(self) -> None:
        """Vectors are compared as they are."""

    def predict(self, projected: torch.Tensor) -> torch.Tensor:
        """Class probabilities; see :class:`~.base.PixelClassifier`."""
        import torch

        with torch.inference_mode():
            similarity = self.similarity(projected)
            threshold = similarity.new_full((len(similarity), 1), self.config.threshold)
            return torch.cat([threshold, similarity], dim=1).div_(_SOFTNESS).softmax(1)

    def state(self) -> AdapterState:
        """Unit reference vectors, shape (L, C)."""
        return AdapterState({"references": fitted(self._references, "The cosine adapter")}, {})

    def restore(self, state: AdapterState) -> CosineClassifier:
        """Become the classifier that ``state`` was taken from."""
        self._references = state.tensors["references"]
        return self


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Array = (vectors / np.where(length > 0, length, 1)).astype(np.float32)
    return result


def _build(config: SegmenterConfig, device: str, weights: Path | None) -> PixelAdapter:
    classifier = CosineClassifier(config.cosine)
    return PixelAdapter.of(config, classifier, standardise=config.cosine.standardise)


ENTRIES = {
    "cosine": AdapterEntry(
        "Likeness to the mean painted pixel. Instant, simple, least exact.", _build
    )
}
