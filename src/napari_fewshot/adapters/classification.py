"""The classification adapter: a three-layer feed-forward network on pixel features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import ClassificationConfig, SegmenterConfig
from ..device import seeded
from ..templates.pixels import Samples
from .base import AdapterEntry, AdapterState
from .pixelwise import PixelAdapter
from .training import (
    ClassBalancedDraw,
    NetworkClassifier,
    feed_forward,
    load_tensors,
    marginal_cross_entropy,
    network_tensors,
)

if TYPE_CHECKING:
    import torch

__all__ = ["ClassificationClassifier"]

_LAYERS = 3


class ClassificationClassifier(NetworkClassifier["torch.nn.Sequential", ClassificationConfig]):
    """Three-layer feed-forward network with cross-entropy over labels + background.

    "Data Adaptive Few-shot Multi Label Segmentation with Foundation Model", classification
    adapter.

    Parameters
    ----------
    config : ClassificationConfig
    device : str
        Torch device.
    """

    name = "classification"
    of_labels = (f"{3 * (_LAYERS - 1)}.",)

    def build(self, inputs: int, labels: int, seed: int) -> torch.nn.Sequential:
        """Make the network, not yet trained."""
        with seeded(seed):
            return feed_forward(
                inputs, self.config.hidden, labels + 1, _LAYERS, self.config.dropout
            )

    def loss(
        self, network: torch.nn.Sequential, samples: Samples, seed: int
    ) -> Callable[[], torch.Tensor]:
        """Cross-entropy of a batch of pixels."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        features = torch.from_numpy(samples.features).to(self.device)
        possible = torch.from_numpy(samples.possible).to(self.device)
        draw = ClassBalancedDraw(samples, self.config.balance, generator)

        def loss() -> torch.Tensor:
            chosen = draw.targets(self.config.batch).to(self.device)
            return marginal_cross_entropy(network(features[chosen]), possible[chosen])

        return loss

    def layers(self) -> Sequence[torch.nn.Module]:
        """All of the network."""
        return list(self.network)

    def classes(self, outputs: torch.Tensor) -> torch.Tensor:
        """Softmax of the logits."""
        return outputs.softmax(1)

    def state(self) -> AdapterState:
        """Weights and sizes of the fitted network."""
        tensors = network_tensors(self.network)
        weights = [tensor for tensor in tensors.values() if tensor.ndim == 2]
        shape = [int(weights[0].shape[1]), int(weights[-1].shape[0])]
        return AdapterState(tensors, {"shape": shape})

    def restore(self, state: AdapterState) -> ClassificationClassifier:
        """Become the classifier that ``state`` was taken from."""
        inputs, classes = (int(size) for size in state.values["shape"])
        build = partial(self.build, inputs, classes - 1, 0)
        self._network = load_tensors(build, state.tensors, self.device)
        return self


def _build(config: SegmenterConfig, device: str, weights: Path | None) -> PixelAdapter:
    return PixelAdapter.of(config, ClassificationClassifier(config.classification, device))


ENTRIES = {
    "classification": AdapterEntry(
        "Small network that names each pixel. Fast with many painted slices.", _build
    )
}
