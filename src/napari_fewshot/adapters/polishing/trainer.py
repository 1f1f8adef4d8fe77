"""The embedded network and an adapter on its features, trained together on patches of templates."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...backbones.embedded import EmbeddedBackbone
from ...config.augmentation import AugmentationConfig
from ...device import avoid_llvm_clash
from ...errors import Cancelled
from ...features.layout import Layout, prepare
from ...parallel import ordered_map
from ...templates.known import UNKNOWN, KnownSlice, labels_looked_for
from ...templates.patches import Patch, PatchSampler
from ...templates.training_set import TrainingSet
from ...types import Array, Progress, no_progress
from ..dense_loss import partial_loss
from .expert import Head, PolishedExpert

if TYPE_CHECKING:
    import torch

__all__ = ["Polishing", "Schedule"]

_PATCH = 160
_PATCHES = 4
"""In each step."""
_PIXELS = 16384
"""Of each patch, drawn at random: the head costs as much for all of them as the network."""
_CENTRES = 1000
"""Of each label in each slice."""
_NETWORK_RATE = 2e-4
_HEAD_RATE = 1e-3
_WEIGHT_DECAY = 1e-4
_WARM_UP = 0.1
_PROBE = 8
"""Steps that tell how long one takes."""
_AVERAGED = 0.9
"""Weight of what was before in the running mean of the weights."""
_ORIENTED = AugmentationConfig()
"""Sides may be labels, where images have an orientation ..."""
_FREE = AugmentationConfig(flips=True, rotation=180)
"""... and micrographs, which have none, look alike from all sides."""


@dataclass(frozen=True)
class Schedule:
    """How long to train: at most so many steps, and at most so many seconds."""

    steps: int
    seconds: float = math.inf

    def total(self, steps: int, seconds: float) -> int:
        """Steps that there is time for, when so many have taken so long.

        All of them where time suffices, so that then the clock changes nothing.
        """
        if seconds >= self.seconds:
            return steps
        if steps < _PROBE or math.isinf(self.seconds):
            return self.steps
        return min(self.steps, max(steps + 1, int(self.seconds / seconds * steps)))


class Polishing:
    """Trains a copy of an embedded network, and a fitted adapter on its features.

    What counts in the end are not the weights of the last step, but the running mean of those of
    the last ones, so that they may be taken at any time.

    Parameters
    ----------
    backbone : EmbeddedBackbone
        Left as it is.
    head : Head
        Fitted to its features; it learns with the copy.
    training : TrainingSet
    seed : int
    steps : int
        That were done before: others are drawn now.
    """

    def __init__(
        self,
        backbone: EmbeddedBackbone,
        head: Head,
        training: TrainingSet,
        seed: int = 0,
        steps: int = 0,
    ) -> None:
        import torch

        avoid_llvm_clash()
        self._head, self._training, self._seed = head, training, seed
        classifier = head.classifier.network
        self._device = next(classifier.parameters()).device
        network = copy.deepcopy(backbone.network).requires_grad_(True).to(self._device)
        self._backbone = EmbeddedBackbone(network, backbone.weights_hash)
        self._modules: tuple[torch.nn.Module, ...] = network, classifier
        self._weights = [p for module in self._modules for p in module.parameters()]
        self._mean = [p.detach().clone() for p in self._weights]
        rates = (_NETWORK_RATE, _HEAD_RATE)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": list(module.parameters()), "lr": rate, "highest": rate}
                for module, rate in zip(self._modules, rates, strict=True)
            ],
            weight_decay=_WEIGHT_DECAY,
        )
        shapes = np.array([known.labels.shape for known in training.examples])
        multiple = backbone.spec.preprocessing.multiple
        size = PatchSampler.fitting(shapes.max(axis=0), _PATCH, multiple)
        oriented = any(stack.volume.affine is not None for stack in training.stacks)
        self._sampler = PatchSampler(size, _ORIENTED if oriented else _FREE, mirrored=True)
        rng = np.random.default_rng([seed, 2**32])
        self._centres = [_centres(known, rng) for known in training.examples]
        self.steps = self._before = steps
        self.losses: list[float] = []

    def run(self, schedule: Schedule, progress: Progress = no_progress) -> None:
        """Train until the time is over, or ``progress`` raises :class:`Cancelled`."""
        since, done, total = time.monotonic(), 0, schedule.steps
        while True:
            seconds = time.monotonic() - since
            total = min(total, schedule.total(done, seconds))
            if done >= total:
                return
            fraction = max(done / total, seconds / schedule.seconds)
            try:
                progress(round(fraction * schedule.steps), schedule.steps, "polishing")
            except Cancelled:
                return
            warm = min(1.0, (done + 1) / (_WARM_UP * total))
            self._step(warm * (1 + math.cos(math.pi * done / total)) / 2)
            done += 1

    def finish(self) -> PolishedExpert:
        """Make an expert of the weights as they are now; none can be trained on after that."""
        import torch

        with torch.no_grad():
            for mean, weight in zip(self._mean, self._weights, strict=True):
                weight.copy_(mean)
        self._head.learned()
        network = self._backbone.network
        weights = {
            name: tensor.half().contiguous().cpu().numpy()
            for name, tensor in network.state_dict().items()
        }
        return PolishedExpert.of(network.config.to_dict(), weights, self._head, self.steps)

    def _step(self, rate: float) -> None:
        """One step, by the mean gradient of a few patches; ``rate`` is a share of the highest."""
        import torch

        rng = np.random.default_rng([self._seed, self.steps])
        count = len(self._training.examples)
        drawn = rng.choice(count, _PATCHES, replace=count < _PATCHES)
        items = [(int(k), np.random.default_rng(rng.integers(2**63))) for k in drawn]
        found = list(ordered_map(self._gradients, items, self._device.type == "cpu"))
        for weight, *own in zip(self._weights, *(gradients for _, gradients in found), strict=True):
            weight.grad = torch.stack(own).mean(dim=0)
        for group in self._optimizer.param_groups:
            group["lr"] = group["highest"] * rate
        self._optimizer.step()
        self.steps += 1
        self.losses.append(float(np.mean([loss for loss, _ in found])))
        done = self.steps - self._before
        share = 1 - min(_AVERAGED, done / (done + 9))
        with torch.no_grad():
            for mean, weight in zip(self._mean, self._weights, strict=True):
                mean.lerp_(weight, share)

    def _gradients(
        self, item: tuple[int, np.random.Generator]
    ) -> tuple[float, tuple[torch.Tensor, ...]]:
        """Loss of a patch of an example, and its gradients."""
        import torch

        number, rng = item
        patch = self._sampler.draw(self._training, number, rng, self._centres[number])
        loss = self.loss(number, patch, rng)
        found = torch.autograd.grad(loss, self._weights, allow_unused=True, materialize_grads=True)
        return float(loss.detach()), found

    def loss(self, number: int, patch: Patch, rng: np.random.Generator) -> torch.Tensor:
        """Loss of a patch of an example, at pixels that are known, many of them drawn."""
        import torch

        known, values = self._training.examples[number], self._training.label_values
        flat = np.flatnonzero(patch.classes.numpy() >= 0)
        flat = rng.permutation(flat)[:_PIXELS]
        image = patch.image.numpy()
        size = self._sampler.size
        layout = Layout(size, size, size, size, ((0, 0),), stride=1)
        inputs = prepare(image, self._backbone.spec.preprocessing, layout)
        features = self._backbone.encode(inputs[:, None].to(self._device))
        pixels = features.permute(2, 3, 0, 1).flatten(2).flatten(0, 1)[torch.from_numpy(flat)]
        logits = self._head.logits(pixels)
        classes = patch.classes.flatten()[flat].to(self._device)
        looked_for = torch.from_numpy(labels_looked_for(known, values)).to(self._device)
        return partial_loss(logits.T[None, :, :, None], classes[None, :, None], looked_for[None])


def _centres(known: KnownSlice, rng: np.random.Generator) -> Array:
    """Rows and columns (n, 2) of known pixels, as many of each label as of background."""
    flat = [
        np.flatnonzero(known.labels == value)
        for value in np.unique(known.labels)
        if value != UNKNOWN
    ]
    found = [rng.choice(one, _CENTRES, replace=len(one) < _CENTRES) for one in flat]
    return np.stack(np.divmod(np.concatenate(found), known.labels.shape[1]), axis=1)
