"""Training of the few-shot mask decoder: epochs over the template slices, their last or best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..config import SamDecoderConfig
from ..templates.known import KnownSlice, labels_of
from ..types import Array, FeatureMap, Progress
from .cells import CellLabels, TargetEmbeddings, known_numbers, refined

if TYPE_CHECKING:
    import torch

    from .networks import FewShotDecoder

__all__ = [
    "CELLS_AT_ONCE",
    "DecoderTraining",
    "TrainingSample",
    "batches",
    "choose_held_out",
    "decoder_loss",
]

_BETAS = (0.9, 0.99)
_MIN_TEMPLATES = 3
_MAX_VALIDATION = 8
CELLS_AT_ONCE = 2**14
"""Cells of embeddings decoded together: with 64 × 64 of them and gradients a GB."""


@dataclass(frozen=True, eq=False)
class TrainingSample:
    """A template slice, or a copy of it, with its embedding."""

    known: KnownSlice
    features: FeatureMap  # (C, g, g), padding included
    own: int  # number of the template slice
    vectors: Array  # target embeddings of this very image, (L, C)
    present: Array  # labels that it has, (L,), bool


def batches(prompts: dict[int, Array], cells: int) -> Iterator[tuple[list[int], Array]]:
    """Labels with equally many prompts, (T, C), as many together as memory is meant for.

    ``cells`` are those of one embedding. Yields the labels and their prompts, (B, T, C); labels
    without any are left out.
    """
    size = max(1, CELLS_AT_ONCE // cells)
    for count in sorted({len(vectors) for vectors in prompts.values()} - {0}):
        labels = [label for label, vectors in prompts.items() if len(vectors) == count]
        for start in range(0, len(labels), size):
            part = labels[start : start + size]
            yield part, np.stack([prompts[label] for label in part])


def decoder_loss(
    logits: torch.Tensor, fractions: torch.Tensor, known: torch.Tensor, dice: float
) -> torch.Tensor:
    """Cross-entropy of foreground against background, and a Dice term of weight ``dice``.

    For each label, shape (B,), from logits of foreground and background, (B, 2, h, w), the
    fraction of the label in each cell, (B, h, w), and the weight of each cell, (B, h, w).
    """
    log = logits.log_softmax(1)
    entropy = -(fractions * log[:, 0] + (1 - fractions) * log[:, 1])
    loss = (entropy * known).sum((1, 2)) / known.sum((1, 2))
    if dice:
        found = log[:, 0].exp() * known
        both, sizes = (found * fractions).sum((1, 2)), (found + fractions * known).sum((1, 2))
        loss = loss + dice * (1 - (2 * both + 1) / (sizes + 1))
    return loss


def choose_held_out(slices: Sequence[KnownSlice]) -> list[int]:
    """Numbers of the template slices that tell which epoch is best; none with fewer than three.

    A volume where there are three or more, else a slice: the one with the most labels, of those
    whose labels all occur elsewhere; of several the one nearest to the middle.
    """
    if len(slices) < _MIN_TEMPLATES:
        return []
    volumes = sorted({known.volume for known in slices})
    groups = [[k] for k in range(len(slices))]
    if len(volumes) >= _MIN_TEMPLATES:
        groups = [[k for k, known in enumerate(slices) if known.volume == v] for v in volumes]
    labels = [labels_of([slices[k] for k in group]) for group in groups]
    middle = (len(groups) - 1) / 2
    fit = [
        (-len(own), abs(number - middle), number)
        for number, own in enumerate(labels)
        if own and own <= set().union(*(labels[:number] + labels[number + 1 :]))
    ]
    return groups[min(fit)[2]] if fit else []


class DecoderTraining:
    """Trains a decoder with Adam, a slice with all its labels in each step.

    ``embeddings`` are those of the template slices; the network is on its device.
    """

    def __init__(
        self,
        network: FewShotDecoder,
        embeddings: TargetEmbeddings,
        label_values: Sequence[int],
        config: SamDecoderConfig,
        seed: int,
    ) -> None:
        self._network = network
        self._embeddings = embeddings
        self._label_values = tuple(label_values)
        self._config = config
        self._rng = np.random.default_rng(seed)
        self._copies: dict[int, list[TrainingSample]] = {}

    def run(
        self,
        samples: Sequence[TrainingSample],
        held_out: Sequence[int],
        epochs: int,
        progress: Progress,
    ) -> int:
        """Go over the slices, in each epoch in another order.

        Template slices of the numbers ``held_out`` are not learned from and prompt for nothing;
        the epoch that predicts them best is kept, without any the last. Progress is told after
        every step. Returns the epochs after which the weights are as they are now.
        """
        import torch

        learned = [sample for sample in samples if sample.own not in held_out]
        validation = _validation_set(samples, held_out)
        self._copies = {
            own: [s for s in learned if s.own == own] for own in {s.own for s in learned}
        }
        whole = self._embeddings
        self._embeddings = whole.without(held_out)
        stopping = _EarlyStopping(self._network, self._config.patience)
        optimiser = torch.optim.Adam(
            self._network.parameters(), lr=self._config.learning_rate, betas=_BETAS
        )
        length = self._config.steps_per_epoch(len(self._copies), len(learned))
        total = epochs * length
        self._network.train()
        for step, sample in zip(range(1, total + 1), self._visits(learned), strict=False):
            optimiser.zero_grad()
            self.loss(sample, learn=True)
            optimiser.step()
            progress(step, total, "training")
            if validation and step % length == 0:
                losses = [self.loss(sample, learn=False) for sample in validation]
                if stopping.update(float(np.mean(losses))):
                    progress(total, total, "training")
                    break
        stopping.restore()
        self._embeddings = whole
        self._network.eval()
        return stopping.best_epoch or epochs

    def _visits(self, learned: Sequence[TrainingSample]) -> Iterator[TrainingSample]:
        """Slices to learn from, without end: all samples, or one copy drawn of each slice."""
        while True:
            if self._config.iteration == "copies":
                yield from (learned[k] for k in self._rng.permutation(len(learned)))
            else:
                for own in self._rng.permutation(list(self._copies)):
                    copies = self._copies[own]
                    yield copies[self._rng.integers(len(copies))]

    def loss(self, sample: TrainingSample, *, learn: bool) -> float:
        """Mean loss over the labels of a slice; ``learn`` adds its gradients to the weights'.

        A held-out slice is judged by Dice too: where labels are small, the cross-entropy alone
        is best for a network that sees none of them.
        """
        import torch

        grid = sample.features.data.shape[1]
        side = self._config.mask_scale * grid
        device = next(self._network.parameters()).device
        prompts = {
            label: self._prompts(label, sample, learn)
            for label in known_numbers(sample.known, self._label_values)
        }
        count = sum(len(vectors) > 0 for vectors in prompts.values())
        image = torch.from_numpy(sample.features.data.astype(np.float32)).to(device)
        total = 0.0
        dice = self._config.dice_loss if learn else max(1.0, self._config.dice_loss)
        with torch.set_grad_enabled(learn):
            for labels, vectors in batches(prompts, grid**2):
                values = [self._label_values[label] for label in labels]
                targets = CellLabels.of(sample.known, values, (side, side), sample.features.extent)
                fractions, known = (
                    torch.from_numpy(part).to(device) for part in (targets.fractions, targets.known)
                )
                logits = self._network(image, torch.from_numpy(vectors).to(device))
                value = decoder_loss(refined(logits, side), fractions, known, dice).sum() / count
                if learn:
                    value.backward()
                total += float(value.detach())
        return total

    def _prompts(self, label: int, sample: TrainingSample, learn: bool) -> Array:
        """Vectors of a label, shape (T, C): all, or some of others to learn a slice from.

        Any number of the other slices with the label is drawn, and any copy of each. Were it all
        of the others, the one that is missing would tell which slice it is, and the decoder would
        learn by heart what to draw there. For the same reason a slice without the label has as many
        to draw from. Where it alone has the label, another copy of it prompts.
        """
        slices = np.flatnonzero(self._embeddings.present[:, label])
        if not learn or self._config.prompts == "all" or not len(slices):
            return self._embeddings.of_label(label)
        if len(slices) > 1:
            present = self._embeddings.present[sample.own, label]
            slices = slices[slices != (sample.own if present else self._rng.choice(slices))]
        count = self._rng.integers(1, len(slices) + 1)
        drawn = self._rng.choice(slices, count, replace=False)
        return np.stack([self._vector(label, int(own), sample) for own in drawn])

    def _vector(self, label: int, own: int, sample: TrainingSample) -> Array:
        copies = [
            s.vectors for s in self._copies.get(own, ()) if s is not sample and s.present[label]
        ] or [self._embeddings.vectors[own]]
        vector: Array = copies[self._rng.integers(len(copies))][label]
        return vector


def _validation_set(
    samples: Sequence[TrainingSample], held_out: Sequence[int]
) -> list[TrainingSample]:
    """Held-out slices as they are, some of them where there are many."""
    found = [s for s in samples if s.own in held_out and s.known.origin is None]
    step = max(1, math.ceil(len(found) / _MAX_VALIDATION))
    return found[step // 2 :: step]


class _EarlyStopping:
    """Keeps the weights of the epoch with the lowest loss on the validation set."""

    def __init__(self, network: torch.nn.Module, patience: int) -> None:
        self.best_epoch = 0
        self._network, self._patience = network, patience
        self._epoch, self._loss = 0, math.inf
        self._weights: dict[str, torch.Tensor] = {}

    def update(self, loss: float) -> bool:
        """Note the loss after an epoch; return whether to end: none was better for long."""
        self._epoch += 1
        if loss < self._loss:
            state = self._network.state_dict()
            self._weights = {name: tensor.clone() for name, tensor in state.items()}
            self._loss, self.best_epoch = loss, self._epoch
        return bool(self._patience) and self._epoch - self.best_epoch >= self._patience

    def restore(self) -> None:
        if self._weights:
            self._network.load_state_dict(self._weights)
