"""How far to trust a model: templates left out of the training and predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..adapters import Adapter
from ..errors import InputError
from ..predict.probabilities import class_probabilities
from ..templates.known import KnownSlice
from ..types import Array, Progress, SliceFeatures, no_progress

__all__ = ["HeldOutScore", "choose_folds", "held_out_score"]

MOST_FOLDS = 5


@dataclass(frozen=True)
class HeldOutScore:
    """Dice of slices that took no part in the training.

    An estimate that tends to be optimistic: left-out slices lie between template slices of the
    same volume, and a person paints the slices that are easy to paint.

    Parameters
    ----------
    dice : dict of int to float
        For each label, over all held-out slices together; nan where a label could be held out
        nowhere (it is painted on one slice only, say: nothing is left to learn it from; or no
        negative pair is left at the distance that is wanted).
        Known-empty slices count: what is predicted there lowers the Dice.
    folds : int
    grouped_by : str
        ``"volumes"`` or ``"neighbouring slices"``.
    """

    dice: dict[int, float]
    folds: int
    grouped_by: str

    @property
    def mean(self) -> float:
        """Mean Dice over the labels that were held out."""
        values = [value for value in self.dice.values() if not np.isnan(value)]
        return float(np.mean(values)) if values else float("nan")


def choose_folds(examples: Sequence[KnownSlice]) -> tuple[list[list[int]], str]:
    """Share examples out to at most five folds.

    Grouped by volume where there are several, else by blocks of neighbouring slices, since a
    slice between two template slices is hardly held out. Fewer than two slices: no fold.
    """
    volumes = sorted({example.volume for example in examples})
    if len(volumes) > 1:
        groups = [[k for k, e in enumerate(examples) if e.volume == v] for v in volumes]
        grouped_by = "volumes"
    else:
        order = sorted(range(len(examples)), key=lambda k: _depth(examples[k]))
        slices: dict[tuple[int, int], list[int]] = {}
        for k in order:
            slices.setdefault(_depth(examples[k]), []).append(k)
        groups = list(slices.values())
        grouped_by = "neighbouring slices"
    if len(groups) < 2:
        return [], grouped_by
    bounds = np.array_split(np.arange(len(groups)), min(MOST_FOLDS, len(groups)))
    folds = [sorted(k for number in block for k in groups[number]) for block in bounds]
    return folds, grouped_by


def _depth(example: KnownSlice) -> tuple[int, int]:
    return example.position.axis, example.position.index


def held_out_score(
    build: Callable[[], Adapter],
    examples: Sequence[KnownSlice],
    maps: Callable[[Sequence[int]], Iterable[SliceFeatures]],
    label_values: Sequence[int],
    progress: Progress = no_progress,
) -> HeldOutScore | None:
    """Train on all folds but one, predict that one, and so on.

    ``build`` makes an adapter that is not yet fitted; ``maps`` gives the feature maps of the
    examples with the given ascending numbers; ``label_values`` were painted. None with fewer than
    two template slices.
    """
    slices = [k for k, example in enumerate(examples) if example.origin is None]
    folds, grouped_by = choose_folds([examples[k] for k in slices])
    folds = [[slices[k] for k in fold] for fold in folds]
    if not folds:
        return None
    values = np.array([0, *label_values])
    overlap = np.zeros((3, len(values)), dtype=np.int64)  # both, truth, prediction
    held_labels: set[int] = set()
    for number, fold in enumerate(folds):

        def training(done: int, total: int, what: str, number: int = number) -> None:
            progress(number, len(folds), "held-out score")

        left_out = {id(examples[k]) for k in fold}
        rest = [k for k, e in enumerate(examples) if id(e.origin or e) not in left_out]
        classes = _classes(examples, rest)
        learned = classes - {0}
        if learned and 0 in classes:
            adapter = build()
            try:
                adapter.fit([examples[k] for k in rest], maps(rest), label_values, training)
            except InputError:  # all slices could teach it, these are too few
                progress(number + 1, len(folds), "held-out score")
                continue
            for k, features in zip(fold, maps(fold), strict=True):
                found = class_probabilities(adapter, features, examples[k].position)
                predicted = values[found.argmax(axis=0)]
                overlap += _counts(examples[k], predicted, values, learned)
            held_labels |= learned & _classes(examples, fold)
        progress(number + 1, len(folds), "held-out score")
    sizes = overlap[1] + overlap[2]
    dice = {
        int(v): float(2 * overlap[0, c] / sizes[c]) if v in held_labels and sizes[c] else np.nan
        for c, v in enumerate(values)
        if v > 0
    }
    return HeldOutScore(dice, len(folds), grouped_by)


def _classes(examples: Sequence[KnownSlice], numbers: Sequence[int]) -> set[int]:
    """Label values that some examples have, 0 for background."""
    return {int(v) for k in numbers for v in np.unique(examples[k].labels) if v >= 0}


def _counts(example: KnownSlice, predicted: Array, values: Array, learned: set[int]) -> Array:
    """Pixels of each learned label in both, in the truth and in the prediction."""
    counts = np.zeros((3, len(values)), dtype=np.int64)
    for c, value in enumerate(values):
        if int(value) not in learned & example.known_labels:
            continue
        known = example.labels >= 0
        truth, found = (example.labels == value) & known, (predicted == value) & known
        counts[:, c] = (truth & found).sum(), truth.sum(), found.sum()
    return counts
