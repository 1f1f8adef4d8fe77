"""Training of the few-shot mask decoder: passes over the template slices, the best one kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..config import SamDecoderConfig
from ..templates.known import KnownSlice
from ..types import Array, Progress
from .target_embeddings import TargetEmbeddings, targets_of

if TYPE_CHECKING:
    import torch

    from .fewshot import FewShotDecoder

__all__ = ["DecoderTraining", "Lesson", "batches", "choose_held_out", "decoder_loss"]

_BETAS = (0.9, 0.99)
_LEAST_TEMPLATES = 3
_MOST_HELD_OUT = 8
_CELLS_AT_ONCE = 2**14
"""Cells of embeddings decoded together: with 64 × 64 of them and gradients a GB."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """A template slice, or a copy of it.

    Parameters
    ----------
    image : array, shape (C, g, g)
        Its embedding, padding included.
    extent : tuple of float
        Pixels that the grid covers.
    example : KnownSlice
    own : int
        Number of the template slice.
    vectors : array, shape (L, C)
        Target embeddings of this very image.
    present : bool array, shape (L,)
        Labels that it has.
    """

    image: Array
    extent: tuple[float, float]
    example: KnownSlice
    own: int
    vectors: Array
    present: Array


def batches(prompts: dict[int, Array], cells: int) -> Iterator[tuple[list[int], Array]]:
    """Labels with equally many prompts, as many together as memory is meant for.

    Parameters
    ----------
    prompts : dict of int to array, shape (T, C)
        Vectors of each label; labels without any are left out.
    cells : int
        Of one embedding.

    Yields
    ------
    labels : list of int
    vectors : array, shape (len(labels), T, C)
    """
    size = max(1, _CELLS_AT_ONCE // cells)
    for count in sorted({len(vectors) for vectors in prompts.values()} - {0}):
        labels = [label for label, vectors in prompts.items() if len(vectors) == count]
        for start in range(0, len(labels), size):
            part = labels[start : start + size]
            yield part, np.stack([prompts[label] for label in part])


def decoder_loss(
    logits: torch.Tensor, shares: torch.Tensor, known: torch.Tensor, dice: float
) -> torch.Tensor:
    """Cross-entropy of foreground against background, and a Dice term, for each label.

    Parameters
    ----------
    logits : tensor, shape (B, 2, h, w)
        Foreground and background.
    shares : tensor, shape (B, h, w)
        Share of the label in each cell.
    known : tensor, shape (B, h, w)
        Weight of each cell.
    dice : float
        Weight of the Dice term.

    Returns
    -------
    tensor, shape (B,)
    """
    log = logits.log_softmax(1)
    entropy = -(shares * log[:, 0] + (1 - shares) * log[:, 1])
    loss = (entropy * known).sum((1, 2)) / known.sum((1, 2))
    if dice:
        found = log[:, 0].exp() * known
        both, sizes = (found * shares).sum((1, 2)), (found + shares * known).sum((1, 2))
        loss = loss + dice * (1 - (2 * both + 1) / (sizes + 1))
    return loss


def choose_held_out(examples: Sequence[KnownSlice]) -> list[int]:
    """Numbers of the template slices that tell which pass is best; none with fewer than three.

    A volume where there are three or more, else a slice: the one with the most labels, of those
    whose labels all occur elsewhere; of several the one nearest to the middle.
    """
    if len(examples) < _LEAST_TEMPLATES:
        return []
    volumes = sorted({example.volume for example in examples})
    groups = [[k] for k in range(len(examples))]
    if len(volumes) >= _LEAST_TEMPLATES:
        groups = [[k for k, e in enumerate(examples) if e.volume == v] for v in volumes]
    labels = [
        {int(v) for k in group for v in np.unique(examples[k].labels) if v > 0} for group in groups
    ]
    middle = (len(groups) - 1) / 2
    fit = [
        (-len(own), abs(number - middle), number)
        for number, own in enumerate(labels)
        if own and own <= set().union(*(labels[:number] + labels[number + 1 :]))
    ]
    return groups[min(fit)[2]] if fit else []


class DecoderTraining:
    """Trains a decoder with Adam, a slice with all its labels in each step.

    Parameters
    ----------
    network : FewShotDecoder
        On its device.
    embeddings : TargetEmbeddings
        Of the template slices.
    label_values : sequence of int
    config : SamDecoderConfig
    seed : int
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
        self._copies: dict[int, list[Lesson]] = {}

    def run(
        self, lessons: Sequence[Lesson], held_out: Sequence[int], passes: int, progress: Progress
    ) -> int:
        """Pass over the slices and their copies, each time in another order.

        Parameters
        ----------
        lessons : sequence of Lesson
            Template slices, and copies of them.
        held_out : sequence of int
            Template slices that are not learned from and prompt for nothing; the pass that
            predicts them best is kept. None: the last pass is.
        passes : int
            Passes at most.
        progress : callable
            Called after every step; it may raise ``Cancelled``.

        Returns
        -------
        int
            Passes after which the weights are as they are now.
        """
        import torch

        learned = [lesson for lesson in lessons if lesson.own not in held_out]
        self._copies = {
            own: [e for e in learned if e.own == own] for own in {e.own for e in learned}
        }
        whole = self._embeddings
        self._embeddings = whole.hiding(held_out)
        best = _Best(self._network, self._exam(lessons, held_out))
        optimiser = torch.optim.Adam(
            self._network.parameters(), lr=self._config.learning_rate, betas=_BETAS
        )
        total = passes * len(learned)
        self._network.train()
        for number in range(passes):
            for step, chosen in enumerate(self._rng.permutation(len(learned))):
                optimiser.zero_grad()
                self.loss(learned[chosen], learn=True)
                optimiser.step()
                progress(number * len(learned) + step + 1, total, "training")
            if best.exam and best.seen(self._mean(best.exam), self._config.patience):
                progress(total, total, "training")
                break
        best.restore()
        self._embeddings = whole
        self._network.eval()
        return best.passes or passes

    def loss(self, lesson: Lesson, *, learn: bool) -> float:
        """Mean loss over the labels of a slice; ``learn`` adds its gradients to the weights'.

        A held-out slice is judged by Dice too: where labels are small, the cross-entropy alone
        is best for a network that sees none of them.
        """
        import torch

        grid = lesson.image.shape[1]
        device = next(self._network.parameters()).device
        targets = targets_of(
            lesson.example, self._label_values, (4 * grid, 4 * grid), lesson.extent
        )
        place = {label: k for k, label in enumerate(targets.labels)}
        prompts = {label: self._prompts(label, lesson, learn) for label in targets.labels}
        count = sum(len(vectors) > 0 for vectors in prompts.values())
        image = torch.from_numpy(lesson.image.astype(np.float32)).to(device)
        total = 0.0
        dice = self._config.dice_loss if learn else max(1.0, self._config.dice_loss)
        with torch.set_grad_enabled(learn):
            for labels, vectors in batches(prompts, grid**2):
                chosen = [place[label] for label in labels]
                shares, known = (
                    torch.from_numpy(part[chosen]).to(device)
                    for part in (targets.shares, targets.known)
                )
                logits = self._network(image, torch.from_numpy(vectors).to(device))
                value = decoder_loss(logits, shares, known, dice).sum() / count
                if learn:
                    value.backward()
                total += float(value.detach())
        return total

    def _prompts(self, label: int, lesson: Lesson, learn: bool) -> Array:
        """Vectors of a label, shape (T, C): all, or some of others to learn a slice from.

        Any number of the other slices with the label is drawn, and any copy of each. Were it all
        of them, the one that is missing would tell which slice it is, and the decoder would learn
        by heart what to draw there. For the same reason a slice without the label has as many to
        draw from. Where it alone has the label, another copy of it prompts.
        """
        slices = np.flatnonzero(self._embeddings.present[:, label])
        if not learn or not len(slices):
            return self._embeddings.of_label(label)
        if len(slices) > 1:
            present = self._embeddings.present[lesson.own, label]
            slices = slices[slices != (lesson.own if present else self._rng.choice(slices))]
        count = self._rng.integers(1, len(slices) + 1)
        drawn = self._rng.choice(slices, count, replace=False)
        return np.stack([self._vector(label, int(own), lesson) for own in drawn])

    def _vector(self, label: int, own: int, lesson: Lesson) -> Array:
        copies = [
            e.vectors for e in self._copies.get(own, ()) if e is not lesson and e.present[label]
        ] or [self._embeddings.vectors[own]]
        vector: Array = copies[self._rng.integers(len(copies))][label]
        return vector

    def _exam(self, lessons: Sequence[Lesson], held_out: Sequence[int]) -> list[Lesson]:
        """Held-out slices as they are, some of them where there are many."""
        found = [e for e in lessons if e.own in held_out and e.example.origin is None]
        step = max(1, math.ceil(len(found) / _MOST_HELD_OUT))
        return found[step // 2 :: step]

    def _mean(self, lessons: Sequence[Lesson]) -> float:
        return float(np.mean([self.loss(lesson, learn=False) for lesson in lessons]))


class _Best:
    """The weights of the pass with the least loss on held-out slices."""

    def __init__(self, network: FewShotDecoder, exam: list[Lesson]) -> None:
        self.exam = exam
        self._network = network
        self._loss = math.inf
        self._weights: dict[str, torch.Tensor] | None = None
        self._count = 0
        self.passes = 0

    def seen(self, loss: float, patience: int) -> bool:
        """Note the loss after a pass; return whether there is no hope of a better one."""
        self._count += 1
        if loss < self._loss:
            state = self._network.state_dict()
            self._weights = {name: tensor.clone() for name, tensor in state.items()}
            self._loss, self.passes = loss, self._count
        return bool(patience) and self._count - self.passes >= patience

    def restore(self) -> None:
        if self._weights is not None:
            self._network.load_state_dict(self._weights)
