"""The classification adapter: a three-layer feed-forward network on pixel features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import ClassificationConfig, SegmenterConfig
from ..device import seeded
from ..templates.pixels import Samples
from ..types import Array, Progress, no_progress
from .base import AdapterEntry, AdapterState, fitted
from .decoys import with_decoys
from .pixelwise import PixelAdapter
from .training import (
    ClassBalancedDraw,
    TrainingRun,
    carry_over,
    load_tensors,
    marginal_cross_entropy,
    network_tensors,
    require_two_classes,
    train,
)

if TYPE_CHECKING:
    import torch

__all__ = ["ClassificationClassifier"]

_LAYERS = 3
_OF_LABELS = (f"{3 * (_LAYERS - 1)}.",)


class ClassificationClassifier:
    """Three-layer feed-forward network with cross-entropy over labels + background.

    "Data Adaptive Few-shot Multi Label Segmentation with Foundation Model", classification
    adapter.

    Parameters
    ----------
    config : ClassificationConfig
    device : str
        Torch device.
    """

    def __init__(self, config: ClassificationConfig, device: str = "cpu") -> None:
        self.config = config
        self.device = device
        self._network: torch.nn.Module | None = None
        self._shape = (0, 0)

    def fit(
        self, samples: Samples, seed: int, progress: Progress = no_progress
    ) -> ClassificationClassifier:
        """Train on standardised samples."""
        network = self._start(samples.features.shape[1], samples.class_count, seed)
        steps, rate = self.config.steps, self.config.learning_rate
        return self._learn(network, samples, seed, TrainingRun(steps, rate, progress))

    def update(
        self, samples: Samples, before: Sequence[int], seed: int, progress: Progress = no_progress
    ) -> ClassificationClassifier:
        """Train the fitted network on."""
        learned = fitted(self._network, "The classification adapter")
        network = self._start(samples.features.shape[1], samples.class_count, seed)
        carry_over(learned, network, before, samples.label_values, _OF_LABELS)
        steps, rate = self.config.update_steps, self.config.update_learning_rate
        return self._learn(network, samples, seed, TrainingRun(steps, rate, progress))

    def _learn(
        self, network: torch.nn.Module, samples: Samples, seed: int, run: TrainingRun
    ) -> ClassificationClassifier:
        import torch

        require_two_classes(samples)
        samples = with_decoys(samples, self.config.decoys, seed)
        generator = torch.Generator().manual_seed(seed)
        features = torch.from_numpy(samples.features).to(self.device)
        possible = torch.from_numpy(samples.possible).to(self.device)
        draw = ClassBalancedDraw(samples, self.config.balance, generator)

        def loss() -> torch.Tensor:
            chosen = draw.targets(self.config.batch).to(self.device)
            return marginal_cross_entropy(network(features[chosen]), possible[chosen])

        train(network, loss, self.config, run, seed)
        return self

    def _start(self, inputs: int, classes: int, seed: int) -> torch.nn.Module:
        self._network = self._build(inputs, classes, seed).to(self.device)
        self._shape = (inputs, classes)
        return self._network

    def _build(self, inputs: int, classes: int, seed: int) -> torch.nn.Module:
        from .networks import feed_forward

        with seeded(seed):
            return feed_forward(inputs, self.config.hidden, classes, _LAYERS, self.config.dropout)

    def predict(self, features: Array) -> Array:
        """Class probabilities, shape (n, L + 1), float32."""
        import torch

        network = fitted(self._network, "The classification adapter")
        with torch.inference_mode():
            vectors = torch.from_numpy(np.ascontiguousarray(features)).to(self.device)
            probabilities: Array = network(vectors).softmax(1).cpu().numpy()
        return probabilities

    def state(self) -> AdapterState:
        """Weights and sizes of the fitted network."""
        network = fitted(self._network, "The classification adapter")
        return AdapterState(network_tensors(network), {"shape": list(self._shape)})

    def restore(self, state: AdapterState) -> ClassificationClassifier:
        """Become the classifier that ``state`` was taken from."""
        inputs, classes = (int(size) for size in state.values["shape"])
        build = partial(self._build, inputs, classes, 0)
        self._network = load_tensors(build, state.tensors, self.device)
        self._shape = (inputs, classes)
        return self


def _build(config: SegmenterConfig, device: str, weights: Path | None) -> PixelAdapter:
    return PixelAdapter.of(config, ClassificationClassifier(config.classification, device))


ENTRIES = {"classification": AdapterEntry(_build)}
