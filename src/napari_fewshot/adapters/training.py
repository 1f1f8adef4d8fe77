"""What the adapters that are networks share: layers, decoys, and how they are trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import numpy as np

from ..config import ClassificationConfig, ContrastiveConfig, TrainingConfig
from ..device import avoid_llvm_clash, seeded
from ..errors import InputError
from ..parallel import one_thread_each
from ..pointwise import linear
from ..templates.pixels import Samples, with_decoys
from ..types import Array, Progress, no_progress
from .base import fitted

if TYPE_CHECKING:
    import torch

__all__ = [
    "ClassBalancedDraw",
    "NetworkClassifier",
    "TrainingRun",
    "feed_forward",
    "load_tensors",
    "marginal_cross_entropy",
    "network_tensors",
    "partial_cross_entropy",
    "train",
]


_REPORT_EVERY = 10
Network = TypeVar("Network", bound="torch.nn.Module")
Config = TypeVar("Config", ClassificationConfig, ContrastiveConfig)


def feed_forward(
    inputs: int, hidden: int, outputs: int, layers: int, dropout: float
) -> torch.nn.Sequential:
    """A feed-forward network of ``layers`` linear layers with ReLU between them."""
    from torch import nn

    modules: list[nn.Module] = []
    width = inputs
    for _ in range(layers - 1):
        modules += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]
        width = hidden
    return nn.Sequential(*modules, nn.Linear(width, outputs))


class ClassBalancedDraw:
    """Draws sample numbers so that class c makes up a share ∝ frequency_c^(1 − balance).

    ``balance`` 0 keeps the frequencies of the templates, 1 makes all classes equally frequent.
    Between the two, small structures are seen often enough to be learned while the network
    still knows that they are rare.
    """

    def __init__(self, samples: Samples, balance: float, generator: torch.Generator) -> None:
        import torch

        order = np.argsort(samples.classes, kind="stable")
        counts = np.bincount(samples.classes, minlength=samples.class_count)
        mass = np.where(counts > 0, np.maximum(samples.frequency, 1e-12) ** (1 - balance), 0.0)
        self._order = torch.from_numpy(order)
        self._counts = torch.from_numpy(counts)
        self._starts = torch.from_numpy(np.cumsum(counts) - counts)
        self._mass = torch.from_numpy(mass / mass.sum())
        self._generator = generator

    def targets(self, count: int) -> torch.Tensor:
        """Sample numbers, shape (count,), of classes in the shares of this draw."""
        import torch

        classes = torch.multinomial(self._mass, count, replacement=True, generator=self._generator)
        return self.of_classes(classes)

    def of_classes(self, classes: torch.Tensor) -> torch.Tensor:
        """A random sample number for each given class (any shape)."""
        import torch

        chance = torch.rand(classes.shape, generator=self._generator, dtype=torch.float64)
        offset = (chance * self._counts[classes]).long()
        return self._order[self._starts[classes] + offset]


def marginal_cross_entropy(logits: torch.Tensor, possible: torch.Tensor) -> torch.Tensor:
    """Minus the log of the probability that the class is one of those possible.

    For a pixel whose class is known this is the cross-entropy; a background pixel of a
    template in which some labels were not looked for may belong to any of those. Both tensors
    have shape (n, K); each pixel may have one class at least.
    """
    import torch

    inside = logits.masked_fill(~possible, float("-inf"))
    loss: torch.Tensor = (torch.logsumexp(logits, 1) - torch.logsumexp(inside, 1)).mean()
    return loss


def partial_cross_entropy(
    logits: torch.Tensor, possible: torch.Tensor, pull: float
) -> torch.Tensor:
    """Marginal cross-entropy, and a weak pull of undecided pixels to background.

    Where some labels were not looked for, the marginal loss is content with any of them; most
    such pixels are background all the same. ``pull`` is the weight of the cross-entropy to class 0
    of pixels with several possible classes, 0 among them.
    """
    import torch

    loss = marginal_cross_entropy(logits, possible)
    undecided = possible[:, 0] & (possible.sum(1) > 1)
    if pull and bool(undecided.any()):
        background = torch.logsumexp(logits, 1) - logits[:, 0]
        loss = loss + pull * (background * undecided).mean()
    return loss


class NetworkClassifier(ABC, Generic[Network, Config]):
    """A pixel classifier that is a network; see :class:`~.base.PixelClassifier`.

    Attributes
    ----------
    name : str
        Of the adapter.
    of_labels : tuple of str
        Beginnings of the names of tensors that have a row for each label.
    """

    name: str
    of_labels: tuple[str, ...]

    def __init__(self, config: Config, device: str = "cpu") -> None:
        self.config: Config = config
        self.device = device
        self._network: Network | None = None

    @property
    def network(self) -> Network:
        """The fitted network."""
        return fitted(self._network, f"The {self.name} adapter")

    @abstractmethod
    def build(self, inputs: int, labels: int, seed: int) -> Network:
        """Make a network of ``inputs`` features, not yet trained."""

    @abstractmethod
    def loss(self, network: Network, samples: Samples, seed: int) -> Callable[[], torch.Tensor]:
        """Make the loss of the next batch of samples, which are standardised."""

    @abstractmethod
    def layers(self) -> Sequence[torch.nn.Module]:
        """Linear layers, ReLU and dropout that a vector passes, the first one linear."""

    @abstractmethod
    def classes(self, outputs: torch.Tensor) -> torch.Tensor:
        """Class probabilities, shape (n, L + 1), of what comes out of the layers."""

    def projection(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias of the first layer."""
        first = self.layers()[0]
        return first.get_parameter("weight").detach(), first.get_parameter("bias").detach()

    def predict(self, projected: torch.Tensor) -> torch.Tensor:
        """Class probabilities; see :class:`~.base.PixelClassifier`."""
        import torch
        from torch import nn

        with torch.inference_mode():
            outputs = projected
            for layer in self.layers()[1:]:
                if isinstance(layer, nn.Linear):
                    outputs = linear(outputs, layer.weight, layer.bias)
                elif isinstance(layer, nn.ReLU):
                    outputs = outputs.relu_()
            return self.classes(outputs)

    def finish(self, network: Network, samples: Samples, seed: int) -> None:
        """Do what is left to do when the network is trained."""

    def fit(self, samples: Samples, seed: int, progress: Progress = no_progress) -> Self:
        """Train on standardised samples."""
        network = self._start(samples, seed)
        run = TrainingRun(self.config.steps, self.config.learning_rate, progress)
        return self._learn(network, samples, seed, run)

    def update(
        self, samples: Samples, before: Sequence[int], seed: int, progress: Progress = no_progress
    ) -> Self:
        """Train the fitted network on; ``before`` are the labels that it knows."""
        learned = self.network
        network = self._start(samples, seed)
        _carry_over(learned, network, before, samples.label_values, self.of_labels)
        run = TrainingRun(self.config.update_steps, self.config.update_learning_rate, progress)
        return self._learn(network, samples, seed, run)

    def _start(self, samples: Samples, seed: int) -> Network:
        network = self.build(samples.features.shape[1], len(samples.label_values), seed)
        self._network = network.to(self.device)
        return self._network

    def _learn(self, network: Network, samples: Samples, seed: int, run: TrainingRun) -> Self:
        _require_two_classes(samples)
        samples = with_decoys(samples, self.config.decoys, seed)
        train(network, self.loss(network, samples, seed), self.config, run, seed)
        self.finish(network, samples, seed)
        return self


@dataclass(frozen=True)
class TrainingRun:
    """How long to train, at which highest rate, and whom to tell."""

    steps: int
    rate: float
    progress: Progress


def train(
    network: torch.nn.Module,
    loss: Callable[[], torch.Tensor],
    config: TrainingConfig,
    run: TrainingRun,
    seed: int,
) -> None:
    """Minimise ``loss()`` with AdamW under a one-cycle schedule, then switch to evaluation.

    The same seed gives the same weights on the same machine; another processor rounds sums in
    another way. The random state of the caller is left as it was.
    """
    import torch

    avoid_llvm_clash()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=run.rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, run.rate, total_steps=max(run.steps, 2)
    )
    network.train()
    device = next(network.parameters()).device
    # Dropout alone draws from the global generator. The networks are small: threads that wait for
    # each other at every step would cost many times the work.
    drawing = seeded(seed, str(device)) if config.dropout else nullcontext()
    with drawing, one_thread_each():
        for step in range(run.steps):
            value = loss()
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            schedule.step()
            if (step + 1) % _REPORT_EVERY == 0 or step + 1 == run.steps:
                run.progress(step + 1, run.steps, "training")
    network.eval()


def _carry_over(
    learned: torch.nn.Module,
    network: torch.nn.Module,
    before: Sequence[int],
    now: Sequence[int],
    of_labels: tuple[str, ...],
) -> None:
    """Copy weights to a network that may have other labels.

    Tensors whose names begin with one of ``of_labels`` have a row for each label, behind one
    for background where they have a row more; rows of new labels stay as they are.
    """
    import torch

    source, target = learned.state_dict(), network.state_dict()
    kept = [value for value in now if value in before]
    with torch.no_grad():
        for name, tensor in target.items():
            old = source[name]
            if not name.startswith(of_labels):
                tensor.copy_(old)
                continue
            first = len(tensor) - len(now)
            tensor[:first] = old[:first]
            for value in kept:
                tensor[first + now.index(value)] = old[first + before.index(value)]


def network_tensors(network: torch.nn.Module) -> dict[str, Array]:
    """Weights of a network as float32 arrays."""
    return {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}


def load_tensors(
    build: Callable[[], Network], tensors: dict[str, Array], device: str = "cpu"
) -> Network:
    """Build a network, load weights that :func:`network_tensors` gave, and let it predict.

    Raises
    ------
    ValueError
        If the network has other weights; this is seen before memory is taken for it.
    """
    import torch

    with torch.device("meta"):
        wanted = {name: tuple(t.shape) for name, t in build().state_dict().items()}
    given = {name: array.shape for name, array in tensors.items()}
    if wanted != given:
        name = min(name for name, _ in wanted.items() ^ given.items())
        raise ValueError(f"{name} of shape {given.get(name)}, not {wanted.get(name)}")
    network = build()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    return network.to(device).eval()


def _require_two_classes(samples: Samples) -> None:
    """Raise :class:`InputError` unless there is background and at least one label."""
    counts = np.bincount(samples.classes, minlength=samples.class_count)
    if counts[0] == 0:
        raise InputError(
            "labels",
            "leave some pixels as background",
            "templates without background",
            "Paint background scribbles, or leave part of a template slice unpainted.",
        )
    if counts[1:].sum() == 0:
        raise InputError("labels", "have at least one painted pixel", "only background")
