"""A polished network with its adapter: an expert that was trained end to end on painted slices."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ...backbones.embedded import EmbeddedBackbone
from ...config import SegmenterConfig
from ...types import Array
from ..base import AdapterState, fitted
from ..classification import ClassificationClassifier
from ..pixelwise import PixelAdapter
from ..training import load_tensors

if TYPE_CHECKING:
    import torch

__all__ = ["Head", "PolishedExpert", "PolishedState"]


class Head(PixelAdapter):
    """The classification adapter, as it learns together with the network that it stands on.

    It knows nothing of position: what it says is of more use to the others, which do. Nor does it
    remember pixels: the network under it changes, and their features with it.
    """

    classifier: ClassificationClassifier

    @classmethod
    def new(cls, config: SegmenterConfig, device: str) -> Self:
        """One that is not yet fitted."""
        settings = config.changed({"position": {"use": False}, "sampling": {"remembered": 0}})
        return cls.of(settings, ClassificationClassifier(config.classification, device))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of the classes, shape (n, L + 1), of pixels with features (n, C)."""
        import torch

        standardiser = fitted(self._standardiser, "The adapter")
        mean, scale = (torch.from_numpy(a) for a in (standardiser.mean, standardiser.scale))
        vectors = (features - mean.to(features)) * scale.to(features)
        found: torch.Tensor = self.classifier.network(vectors)
        return found

    def learned(self) -> None:
        """Predict by what was learned by :meth:`logits`."""
        self._set_standardiser(fitted(self._standardiser, "The adapter"))


@dataclass(frozen=True, eq=False)
class PolishedState:
    """A polished expert as a model file holds it.

    Parameters
    ----------
    shape : dict
        Of the network, as :class:`~napari_fewshot.backbones.embedded_network.NetworkConfig` has it.
    weights : dict of str to array, float16
        Of the network.
    head : AdapterState
        Of the adapter on its features.
    steps : int
        Of training so far.
    """

    shape: dict[str, Any]
    weights: dict[str, Array]
    head: AdapterState
    steps: int

    @property
    def size_mb(self) -> float:
        """What the network takes in a model file, in MB."""
        return sum(tensor.nbytes for tensor in self.weights.values()) / 1e6


@dataclass(frozen=True, eq=False)
class PolishedExpert:
    """A backbone that was trained on templates, and the adapter on its features.

    ``weights`` are those of the backbone in float16, which it works with in float32.
    """

    backbone: EmbeddedBackbone
    head: Head
    weights: dict[str, Array]
    steps: int

    @classmethod
    def of(cls, shape: dict[str, Any], weights: dict[str, Array], head: Head, steps: int) -> Self:
        """Build the backbone of these weights, on the CPU.

        Raises
        ------
        ValueError
            If weights and shape do not fit each other, or the adapter.
        """
        import torch

        from ...backbones.embedded_network import EmbeddedNet, NetworkConfig

        config = NetworkConfig.from_dict(shape)
        if (config.in_channels, config.out_channels) != (3, EmbeddedBackbone.spec.channels):
            raise ValueError(f"{config.in_channels} channels to {config.out_channels} features")
        if config.heads and config.widths[-1] % config.heads:
            raise ValueError(f"{config.heads} heads for {config.widths[-1]} channels")
        whole = {name: np.asarray(tensor, np.float32) for name, tensor in weights.items()}
        network = load_tensors(partial(EmbeddedNet, config), whole)
        network.requires_grad_(False).to(memory_format=torch.channels_last)
        digest = hashlib.sha256(b"polished")
        for name, tensor in sorted(weights.items()):
            digest.update(f"{name} {tensor.shape}".encode() + tensor.tobytes())
        return cls(EmbeddedBackbone(network, digest.hexdigest()), head, weights, steps)

    @classmethod
    def restored(cls, state: PolishedState, config: SegmenterConfig, device: str) -> Self:
        """The expert of a state; ValueError if its parts do not fit each other."""
        head = Head.new(config, device)
        head.restore(state.head)
        return cls.of(state.shape, state.weights, head, state.steps)

    def state(self) -> PolishedState:
        """What :meth:`restored` needs."""
        shape = self.backbone.network.config.to_dict()
        return PolishedState(shape, self.weights, self.head.state(), self.steps)
