"""Self-training: what experts are sure of, where no paint is, becomes known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..arrays import LARGE, is_lazy
from ..parallel import used_up
from ..predict.experts import Experts
from ..predict.probabilities import Predictor
from ..predict.smoothing import Mixing
from ..predict.sure import MAX_SLICES, evenly, sure_labels
from ..scratch import bands
from ..slices.stack import SliceStack
from ..templates.known import UNKNOWN, KnownSlice
from ..templates.training_set import TrainingSet
from ..types import Array, Progress

__all__ = ["can_train_itself", "max_unpainted", "self_labelled", "with_unpainted"]

_MAX_PIXELS = MAX_SLICES * 256**2
"""Of unpainted slices together, which bounds the time that they take."""
_SHARE_OF_TREES = 0.8
"""In the mean of probabilities by which strokes without places are learned from."""


def can_train_itself(training: TrainingSet) -> bool:
    """Whether anything is left to know: between strokes, or on slices that nobody painted.

    Not where landmarks are learned as points, whose edges are a convention.
    """
    if training.point_labels:
        return False
    return any((one.labels == UNKNOWN).any() for one in training.examples)


def with_unpainted(training: TrainingSet) -> TrainingSet:
    """Add slices of painted volumes, of which nothing is known yet; the same where there are none.

    They lie evenly between the painted ones, are shared out to the volumes equally, and are few
    where they are large. Volumes in which not all labels were looked for have none: what seems to
    be background there may be one of the others. Nor have large ones that are read as they are
    indexed (dask, Zarr), since a slice may take many blocks.
    """
    everything = frozenset(training.label_values)
    partly = {
        number
        for (number, _), one in zip(training.sources, training.examples, strict=True)
        if not one.known_labels >= everything
    }
    stacks = [
        number
        for number, stack in enumerate(training.stacks)
        if stack.volume.ndim > 2 and _is_quickly_read(stack) and number not in partly
    ]
    sources: list[tuple[int, int]] = []
    examples: list[KnownSlice] = []
    for number, stack in enumerate(training.stacks):
        own = [k for k, source in enumerate(training.sources) if source[0] == number]
        sources += [training.sources[k] for k in own]
        examples += [training.examples[k] for k in own]
        if number not in stacks:
            continue
        painted = {training.sources[k][1] for k in own}
        free = np.array([k for k in range(len(stack)) if k not in painted], int)
        count = min(max_unpainted(stack.shape, len(stacks)), len(free))
        for index in evenly(free, count):
            sources.append((number, index))
            nothing = np.full(stack.shape, UNKNOWN, np.int32)
            volume = training.examples[own[0]].volume
            position = stack.position(index)
            examples.append(KnownSlice(nothing, position, everything, volume, scribbled=True))
    if len(examples) == len(training.examples):
        return training
    return replace(training, sources=tuple(sources), examples=tuple(examples))


def _is_quickly_read(stack: SliceStack) -> bool:
    """In memory, or no larger than what readers of files take into memory."""
    data = stack.volume.data
    return not is_lazy(data) or data.nbytes <= LARGE


def max_unpainted(shape: Sequence[int], volumes: int) -> int:
    """Most slices of (H, W) pixels that are added of each of so many volumes."""
    return min(max(1, MAX_SLICES // volumes), _MAX_PIXELS // volumes // math.prod(shape))


def self_labelled(
    training: TrainingSet,
    experts: Experts,
    progress: Progress,
    most: int | None = None,
    trees: Predictor | None = None,
) -> TrainingSet | None:
    """Label the unknown pixels of slices that experts are sure of.

    Parameters
    ----------
    training : TrainingSet
        Templates as they are painted, and slices of which nothing is known.
    experts : Experts
        What learned from these.
    progress : callable
        Called with each slice; it may raise ``Cancelled``.
    most : int, optional
        Pixels, together, of slices that are looked at; the others stay as they are. None: all.
    trees : Predictor, optional
        Teaches beside the experts: see :func:`_with_trees`.

    Returns
    -------
    TrainingSet or None
        Where painted pixels are as they were, without slices of which nothing is known; None where
        there is nothing that experts are sure of.
    """
    values = np.array([0, *training.label_values])
    examples = list(training.examples)
    members: dict[tuple[int, int], list[int]] = {}
    for k, source in enumerate(training.sources):
        members.setdefault(source, []).append(k)
    known = {
        source: np.any([examples[k].labels != UNKNOWN for k in own], axis=0)
        for source, own in members.items()
    }
    is_more, done = False, 0
    smoothing = experts.model.config.propagation.smoothing
    for number, stack in enumerate(training.stacks):
        pixels = stack.shape[0] * stack.shape[1]
        wanted = sorted(
            k for (owner, k), here in known.items() if owner == number and not here.all()
        )
        if most is not None:
            wanted = wanted[: most // pixels]
            most -= len(wanted) * pixels
        if not wanted:
            continue
        mixing = Mixing(stack, smoothing, across=False)
        planes = experts.of(stack).planes(stack, wanted)
        if trees is not None:
            planes = _with_trees(planes, trees.planes(stack, wanted))
        with used_up(planes):
            for index, plane in zip(wanted, planes, strict=True):
                progress(done, len(members), "slices to learn more from")
                done += 1
                found = sure_labels(mixing.blurred(plane), values, UNKNOWN)
                found[known[number, index]] = UNKNOWN
                if (found == UNKNOWN).all():
                    continue
                is_more = True
                for k in members[number, index]:
                    labels = np.where(found != UNKNOWN, found, examples[k].labels)
                    examples[k] = replace(examples[k], labels=labels)
    if not is_more:
        return None
    kept = [k for k, one in enumerate(examples) if (one.labels != UNKNOWN).any()]
    return replace(
        training,
        sources=tuple(training.sources[k] for k in kept),
        examples=tuple(examples[k] for k in kept),
    )


def _with_trees(planes: Iterator[Array], trees: Iterator[Array]) -> Iterator[Array]:
    """Weighted mean of probabilities themselves: what both are sure of, or nearly, is sure.

    A mean of logarithms, as experts are fused by, would follow whoever is surest, and networks
    that have seen few pixels are sure of everything.
    """
    with used_up(planes, trees):
        for plane, other in zip(planes, trees, strict=True):
            for rows in bands(plane.shape[1], plane[:, 0].size):
                plane[:, rows] += _SHARE_OF_TREES * (other[:, rows] - plane[:, rows])
            yield plane
