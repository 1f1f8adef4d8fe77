"""Small real networks and array sources for the tests of feature extraction."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from napari_fewshot.backbones.base import BackboneSpec, Preprocessing


class ArraySource:
    """Slices of an array of shape (N, C, H, W)."""

    def __init__(self, array):
        self.array = np.asarray(array, np.float32)
        self.shape = self.array.shape[2:]
        self.channels = self.array.shape[1]

    def __len__(self):
        return len(self.array)

    def slice(self, index):
        return self.array[index]

    def window(self, index, window):
        return self.slice(index)[:, *window]

    def digest(self, index):
        plane = np.ascontiguousarray(self.array[index])
        return hashlib.sha256(f"{plane.shape}".encode() + plane.tobytes()).hexdigest()


def random_source(n=6, shape=(40, 48), channels=1, seed=0):
    return ArraySource(np.random.default_rng(seed).random((n, channels, *shape)))


class ConvBackbone:
    """A strided convolution: one cell for each patch, local like the patches of a ViT.

    ``log`` gets one line for every input that is encoded, also across processes.
    """

    def __init__(self, stride=4, features=5, name="conv", log=None, gain=1.0, **changes):
        prep = {"channels": 3, "resize": "grid", "multiple": stride}
        prep |= changes.pop("prep", {})
        spec = {"summary": "", "stride": stride, "channels": features}
        self.spec = BackboneSpec(
            **({"name": name, "preprocessing": Preprocessing(**prep)} | spec | changes)
        )
        inputs = (self.spec.preprocessing.channels or 1) * (1 + 2 * self.spec.context)
        generator = torch.Generator().manual_seed(1)
        weight = torch.randn(features, inputs, stride, stride, generator=generator)
        self.weight = gain * weight / weight[0].numel() ** 0.5
        self.weights_hash = hashlib.sha256(self.weight.numpy().tobytes()).hexdigest()
        self.log = log
        self.batches = []
        self.shapes = set()

    @property
    def encoded(self):
        return sum(self.batches)

    def encode(self, images):
        self.batches.append(len(images))
        self.shapes.add(tuple(images.shape[1:]))
        if self.log is not None:
            with Path(self.log).open("a") as file:
                file.write("x\n" * len(images))
        return torch.nn.functional.conv2d(
            images.flatten(1, 2), self.weight, stride=self.spec.stride
        )

    def to(self, device):
        return self
