"""Trees that teach other adapters: few pixels are enough for them, and they know what they know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..config import PositionConfig, SamplingConfig
from ..templates.pixels import Samples
from ..types import Progress, no_progress
from .base import AdapterState, fitted
from .pixelwise import PixelAdapter

if TYPE_CHECKING:
    import torch
    from sklearn.ensemble import ExtraTreesClassifier

__all__ = ["trees_adapter"]

_TREES = 100
_PER_LABEL = 2000
_TOGETHER = 6000
"""Pixels of all labels: trees keep a number for each label at each of their branches."""


class TreesClassifier:
    """Extremely randomised trees, labels balanced; see :class:`~.base.PixelClassifier`.

    Geurts, Ernst and Wehenkel, "Extremely randomized trees", *Machine Learning* 63, 2006. Their
    probabilities are shares of trees: unlike a network of few pixels, they are rarely sure of what
    lies between the labels. They take a multiple of the time and size of a network, and are not
    kept.
    """

    def __init__(self) -> None:
        self._trees: ExtraTreesClassifier | None = None
        self._count = 0

    def fit(self, samples: Samples, seed: int, progress: Progress = no_progress) -> TreesClassifier:
        """Grow the trees."""
        from sklearn.ensemble import ExtraTreesClassifier

        self._count = samples.class_count
        trees = ExtraTreesClassifier(_TREES, class_weight="balanced", random_state=seed)
        self._trees = trees.fit(samples.features, samples.classes)
        return self

    def update(
        self, samples: Samples, before: Sequence[int], seed: int, progress: Progress = no_progress
    ) -> TreesClassifier:
        """Grow them anew, which is quick."""
        return self.fit(samples, seed, progress)

    def projection(self) -> None:
        """Trees look at the features as they are."""

    def predict(self, projected: torch.Tensor) -> torch.Tensor:
        """Shares of trees, shape (n, L + 1)."""
        import torch

        trees = fitted(self._trees, "The trees")
        result = np.zeros((len(projected), self._count), dtype=np.float32)
        result[:, trees.classes_] = trees.predict_proba(projected.numpy())
        return torch.from_numpy(result)

    def state(self) -> AdapterState:
        """Trees are not kept."""
        raise TypeError("trees teach within one training, and are not kept")

    def restore(self, state: AdapterState) -> TreesClassifier:
        """Trees are not kept."""
        raise TypeError("trees teach within one training, and are not kept")


def trees_adapter(labels: int, seed: int) -> PixelAdapter:
    """Trees for so many labels as an adapter that knows no position, not yet fitted."""
    sampling = SamplingConfig(
        pixels_per_label=max(10, min(_PER_LABEL, _TOGETHER // labels)),
        min_background=_PER_LABEL,
        background_factor=1,
        remembered=0,
    )
    return PixelAdapter(TreesClassifier(), sampling, PositionConfig(use=False), seed=seed)
