"""The contrastive adapter: a siamese network compares pixels with reference pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import ContrastiveConfig, SegmenterConfig
from ..device import seeded
from ..errors import InputError
from ..templates.pixels import Samples
from ..types import Array
from .base import AdapterEntry, AdapterState, fitted
from .pixelwise import PixelAdapter
from .training import ClassBalancedDraw, NetworkClassifier, load_tensors, network_tensors

if TYPE_CHECKING:
    import torch

    from .comparison import Comparison
    from .contrastive_network import PairNetwork

__all__ = ["ContrastiveClassifier"]

_NEVER = 100.0  # subtracted from the log odds


class ContrastiveClassifier(NetworkClassifier["PairNetwork", ContrastiveConfig]):
    """Pairs every pixel with reference pixels of each label; both pass one shared network.

    "Data Adaptive Few-shot Multi Label Segmentation with Foundation Model", contrastive
    adapter. A pair's class is the label of both pixels, or 0. Probabilities are averaged over
    the references of a label; a pixel takes the label of the highest probability, and
    background where class 0 is more probable than that. The equations are in
    :mod:`.contrastive_network`.

    Parameters
    ----------
    config : ContrastiveConfig
    device : str
        Torch device.
    """

    name = "contrastive"
    of_labels = ("target.", "reference.", "calibration")

    def __init__(self, config: ContrastiveConfig, device: str = "cpu") -> None:
        super().__init__(config, device)
        self._vectors: Array | None = None
        self._compare: Comparison | None = None

    def build(self, inputs: int, labels: int, seed: int) -> PairNetwork:
        """Make the network, not yet trained."""
        from .contrastive_network import PairNetwork

        with seeded(seed):
            return PairNetwork(inputs, labels, self.config)

    def loss(self, network: PairNetwork, samples: Samples, seed: int) -> Callable[[], torch.Tensor]:
        """Loss of a batch of pairs; see :func:`.contrastive_network.pair_loss`."""
        import torch

        from .contrastive_network import PairTargets, pair_loss

        generator = torch.Generator().manual_seed(seed)
        features = torch.from_numpy(samples.features).to(self.device)
        possible = torch.from_numpy(samples.possible).to(self.device)
        far = self._far(samples)
        draw = ClassBalancedDraw(samples, self.config.balance, generator)
        classes = torch.from_numpy(np.flatnonzero(samples.are_present) + 1)
        wanted = classes[:, None].expand(-1, self.config.pairs)

        def loss() -> torch.Tensor:
            chosen = draw.targets(self.config.targets).to(self.device)
            paired = draw.of_classes(wanted).to(self.device)
            labels = (classes - 1).to(self.device)
            targets = PairTargets(
                possible[chosen], labels, None if far is None else far[chosen][:, labels]
            )
            return pair_loss(network, features[chosen], features[paired], targets, self.config)

        return loss

    def _far(self, samples: Samples) -> torch.Tensor | None:
        """Which samples lie far enough from each label for a negative pair; None where all do."""
        import torch

        distance = self.config.negative_distance
        if not distance:
            return None
        far = samples.far_from_labels(distance)
        outside = ~samples.possible[:, 1:]
        if (outside.any(axis=0) & ~(outside & far).any(axis=0)).any():
            raise InputError(
                "contrastive.negative_distance",
                "leave pixels of the templates that are this far from a label",
                f"{distance:g} pixels",
                "Lower it; 0 takes negative pairs from anywhere outside the label.",
            )
        return torch.from_numpy(far).to(self.device)

    def finish(self, network: PairNetwork, samples: Samples, seed: int) -> None:
        """Draw the reference pixels of each label; a label with few pixels repeats them."""
        import torch

        with torch.no_grad():  # nothing was compared with a label without samples
            network.calibration[~torch.from_numpy(samples.are_present)] = -_NEVER
        rng = np.random.default_rng(seed)
        count = self.config.references
        vectors = np.zeros(
            (len(samples.label_values), count, samples.features.shape[1]), dtype=np.float32
        )
        for number in range(len(samples.label_values)):
            members = np.flatnonzero(samples.classes == number + 1)
            if len(members):
                chosen = rng.choice(members, count, replace=len(members) < count)
                vectors[number] = samples.features[chosen]
        self._set_references(vectors)

    def _set_references(self, vectors: Array) -> None:
        import torch

        from .comparison import Comparison

        self._vectors = vectors
        with torch.inference_mode():
            self._compare = Comparison(self.network, torch.from_numpy(vectors).to(self.device))

    def layers(self) -> Sequence[torch.nn.Module]:
        """The shared branch; its outputs are 0 or above."""
        from torch import nn

        return [*self.network.branch, nn.ReLU()]

    def classes(self, outputs: torch.Tensor) -> torch.Tensor:
        """Class probabilities of the shared outputs."""
        return fitted(self._compare, "The contrastive adapter")(outputs)

    def state(self) -> AdapterState:
        """Weights of the network, and the standardised reference vectors (L, K, C)."""
        network = self.network
        vectors = fitted(self._vectors, "The contrastive adapter")
        return AdapterState({"references": vectors, **network_tensors(network)}, {})

    def restore(self, state: AdapterState) -> ContrastiveClassifier:
        """Become the classifier that ``state`` was taken from."""
        tensors = dict(state.tensors)
        vectors = tensors.pop("references")
        if self.config.compares_outputs:  # files of before have no temperature
            tensors.setdefault("temperature", np.zeros(1, np.float32))
        build = partial(self.build, vectors.shape[2], vectors.shape[0], 0)
        self._network = load_tensors(build, tensors, self.device)
        self._set_references(vectors)
        return self


def _build(config: SegmenterConfig, device: str, weights: Path | None) -> PixelAdapter:
    return PixelAdapter.of(config, ContrastiveClassifier(config.contrastive, device))


ENTRIES = {
    "contrastive": AdapterEntry(
        "Compares every pixel with painted ones. Best with few slices.", _build
    )
}
