"""How far to trust a model: templates left out of the training and predicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from threading import Lock

import numpy as np

from ..adapters import Adapter
from ..arrays import release
from ..config import Companion
from ..errors import InputError
from ..parallel import beside
from ..predict.carried import CarriedLabels, painted_images
from ..predict.learned import ExpertWeights
from ..predict.probabilities import class_probabilities
from ..predict.registered import RegisteredLabels, Registrations, template_volumes
from ..scratch import scratch_array
from ..templates.known import KnownSlice
from ..templates.training_set import TrainingSet
from ..types import Array, Progress, SliceFeatures, no_progress
from .choice import HeldOutSlice, choose_weights
from .score import HeldOutScore

__all__ = ["HeldOutFolds", "Learner", "choose_folds"]

MAX_FOLDS = 5
_MAX_REGISTERED = 3
"""Volumes that are registered with one that is left out."""
_TAUGHT_BY_ONE = 0.5
"""Dice of a label on two slices from which one says something of the other."""


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
    bounds = np.array_split(np.arange(len(groups)), min(MAX_FOLDS, len(groups)))
    folds = [sorted(k for number in block for k in groups[number]) for block in bounds]
    return folds, grouped_by


def _depth(example: KnownSlice) -> tuple[int, int]:
    return example.position.axis, example.position.index


@dataclass(frozen=True)
class Learner:
    """How one of the adapters learns.

    ``build`` makes one that is not yet fitted; ``maps`` gives the feature maps of the examples with
    the given ascending numbers.
    """

    build: Callable[[], Adapter]
    maps: Callable[[Sequence[int]], Iterable[SliceFeatures]]


class HeldOutFolds:
    """Training on all folds but one, predicting that one, and so on: what is done is kept.

    Parameters
    ----------
    known : TrainingSet
        Examples, with the copies that the adapters learn from too.
    learner : Learner
        Of the adapter on the features of the backbone ...
    others : dict of str to Learner
        ... and of those beside it.
    flow : str, optional
        How the motion is found along which labels are carried; None: they are not.
    registrations : Registrations, optional
        By which labels of whole volumes are brought to others; None: they are not.
    choose : bool
        Choose weights by what is held out, unless the usual ones are as good.
    usual : ExpertWeights, optional
        These. None: the defaults.
    """

    def __init__(
        self,
        known: TrainingSet,
        learner: Learner,
        others: Mapping[Companion, Learner],
        flow: str | None = None,
        registrations: Registrations | None = None,
        *,
        choose: bool = False,
        usual: ExpertWeights | None = None,
    ) -> None:
        self._known, self._learner, self._others = known, learner, others
        self._flow, self._registrations = flow, registrations
        self._choose, self._usual = choose, usual or ExpertWeights()
        examples = known.examples
        self._slices = [k for k, example in enumerate(examples) if example.origin is None]
        folds, self._grouped_by = choose_folds([examples[k] for k in self._slices])
        self._folds = [[self._slices[k] for k in fold] for fold in folds]
        self._done: dict[int, list[HeldOutSlice]] = {}

    @cached_property
    def _tells_of(self) -> list[set[int]]:
        """Labels that each fold tells of: those that are learned without it."""
        examples = self._known.examples
        own = [_classes(examples, [k]) for k in range(len(examples))]

        def of(numbers: Sequence[int]) -> set[int]:
            return set().union(*(own[k] for k in numbers))

        return [of(fold) & of(self._rest(fold)) - {0} for fold in self._folds]

    def score(
        self,
        progress: Progress = no_progress,
        told: Callable[[HeldOutScore], None] = lambda score: None,
    ) -> HeldOutScore | None:
        """Do what is left, and score it; when stopped, it goes on from there the next time.

        Parameters
        ----------
        progress : callable
            Called after each fold; it may raise ``Cancelled``.
        told : callable
            Given the score so far after each fold but the last, by the usual weights. The fold that
            tells of most labels comes first; the last score does not depend on the order.

        Returns
        -------
        HeldOutScore or None
            None with fewer than two template slices.
        """
        count = len(self._folds)
        if not count:
            return None
        for number in sorted(range(count), key=lambda k: -len(self._tells_of[k])):
            if number in self._done:
                continue

            def training(done: int, total: int, what: str) -> None:
                progress(len(self._done), count, "held-out score")

            self._done[number] = self._held_out(self._folds[number], training)
            progress(len(self._done), count, "held-out score")
            if len(self._done) < count:
                told(self._scored(self._usual))
        weights = self._usual
        if self._choose:
            weights = choose_weights(self._held, self._known.label_values, weights, self._painted)
        return self._scored(weights)

    @property
    def _painted(self) -> bool:
        """Whether slices are left out of painted images, else whole images are."""
        return self._grouped_by != "volumes"

    @property
    def _held(self) -> list[HeldOutSlice]:
        return [one for number in sorted(self._done) for one in self._done[number]]

    def _rest(self, fold: Sequence[int]) -> list[int]:
        """Examples that neither are of a fold nor copies of one that is."""
        examples = self._known.examples
        left_out = {id(examples[k]) for k in fold}
        return [k for k, e in enumerate(examples) if id(e.origin or e) not in left_out]

    def _held_out(self, fold: Sequence[int], progress: Progress) -> list[HeldOutSlice]:
        """What experts say of a fold that they have not learned from."""
        known, rest = self._known, self._rest(fold)
        classes = _classes(known.examples, rest)
        if not classes - {0} or 0 not in classes:
            return []
        labels: Mapping[int, CarriedLabels | RegisteredLabels] = {}
        try:
            if self._painted:
                labels = _carriers(known, rest, self._flow)
            elif self._registrations is not None:
                labels = _registered(known, rest, fold, self._registrations, progress)
            return _predicted(known, self._learner, self._others, rest, fold, labels, progress)
        except InputError:  # all slices could teach it, these are too few
            return []

    def _scored(self, weights: ExpertWeights) -> HeldOutScore:
        """Dice of the folds that are done."""
        known = self._known
        values = np.array([0, *known.label_values])
        overlap = np.zeros((3, len(values)), dtype=np.int64)  # both, truth, prediction
        for one in self._held:
            predicted = values[one.fused(weights, self._painted).argmax(axis=0)]
            overlap += _counts(one.known, predicted, values, set(one.learned) - {0})
        held = {v for number, found in self._done.items() if found for v in self._tells_of[number]}
        sizes = overlap[1] + overlap[2]
        dice = {
            int(v): float(2 * overlap[0, c] / sizes[c]) if v in held and sizes[c] else np.nan
            for c, v in enumerate(values)
            if v > 0
        }
        slices = [known.examples[k] for k in self._slices]
        doubtful = _on_two(slices) if self._painted else frozenset()
        count = len(self._folds)
        left = count - len(self._done)
        too_few = {v: d for v, d in dice.items() if v in doubtful and d < _TAUGHT_BY_ONE}
        dice |= dict.fromkeys(too_few, np.nan)
        return HeldOutScore(dice, count, self._grouped_by, weights, doubtful, left, too_few)


def _predicted(
    known: TrainingSet,
    learner: Learner,
    others: Mapping[Companion, Learner],
    rest: Sequence[int],
    fold: Sequence[int],
    carriers: Mapping[int, CarriedLabels | RegisteredLabels],
    progress: Progress,
) -> list[HeldOutSlice]:
    """What experts that learn from the examples ``rest`` say of those of a fold.

    ``carriers`` are what brings labels to the slices of a stack, by its number.
    """
    examples = [known.examples[k] for k in rest]
    learned = frozenset(_classes(known.examples, rest))
    room = _Room(known, fold, len(others) + 2)

    def learn(learner: Learner, progress: Progress) -> list[Array]:
        adapter = learner.build()
        adapter.fit(examples, learner.maps(rest), known.label_values, progress)
        positions = [known.examples[k].position for k in fold]
        maps = zip(learner.maps(fold), positions, strict=True)
        return [room.keep(class_probabilities(adapter, m, at)) for m, at in maps]

    with ExitStack() as stack:
        second = [stack.enter_context(beside(partial(learn, one))) for one in others.values()]
        planes = [learn(learner, progress), *(one() for one in second)]
    found = []
    for number, k in enumerate(fold):
        index, carrier = known.sources[k][1], carriers.get(known.sources[k][0])
        carried = None if carrier is None else room.keep(next(carrier.planes([index])))
        weight = 0.0 if carrier is None else carrier.weight(index)
        own = tuple(of_one[number] for of_one in planes)
        found.append(
            HeldOutSlice(
                known.examples[k], own, tuple(others), carried if weight else None, weight, learned
            )
        )
    return found


def _carriers(
    known: TrainingSet, rest: Sequence[int], flow: str | None
) -> dict[int, CarriedLabels]:
    """What carries the labels of the examples ``rest``, by the number of the stack."""
    if flow is None:
        return {}
    carriers = {}
    for number, image in painted_images(known, rest).items():
        stack = known.stacks[number]
        if stack.volume.ndim == 3:
            carriers[number] = CarriedLabels(stack, image, known.label_values, flow)
    return carriers


def _registered(
    known: TrainingSet,
    rest: Sequence[int],
    fold: Sequence[int],
    registrations: Registrations,
    progress: Progress,
) -> dict[int, RegisteredLabels]:
    """What brings labels of the examples ``rest`` to those of a fold, by number of the stack."""
    volumes = template_volumes(known, rest)[:_MAX_REGISTERED]
    found = {}
    for number in sorted({known.sources[k][0] for k in fold}):
        labels = RegisteredLabels.of(
            known.stacks[number], known.label_values, volumes, registrations, progress=progress
        )
        if labels is not None:
            found[number] = labels
    return found


class _Room:
    """Where planes of a fold are kept until all folds are done: in half the memory, or on disk.

    ``count`` planes of each of the examples.
    """

    def __init__(self, known: TrainingSet, fold: Sequence[int], count: int) -> None:
        pixels = sum(known.examples[k].labels.size for k in fold)
        size = pixels * count * (len(known.label_values) + 1)
        self._values = scratch_array((size,), np.float16)
        self._used = 0
        self._lock = Lock()

    def keep(self, plane: Array) -> Array:
        """Copy a plane, (L + 1, H, W)."""
        with self._lock:
            start = self._used
            self._used += plane.size
        kept = self._values[start : start + plane.size].reshape(plane.shape)
        kept[:] = plane
        release(kept)
        return kept


def _on_two(slices: Sequence[KnownSlice]) -> frozenset[int]:
    """Label values that exactly two slices have, in however many goes these were painted."""
    places = {(v, _depth(one)) for one in slices for v in _classes([one], [0]) - {0}}
    counts = Counter(value for value, _ in places)
    return frozenset(value for value, count in counts.items() if count == 2)


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
