"""Self-training: what experts are sure of on scribbled slices becomes known there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..parallel import used_up
from ..predict.experts import Experts
from ..predict.smoothing import Mixing
from ..scratch import bands
from ..templates.known import UNKNOWN
from ..templates.training_set import TrainingSet
from ..types import Array, Progress

__all__ = ["is_scribbled", "self_labelled"]

_CONFIDENT = 0.8
"""Probability from which a predicted label is taken for known."""


def is_scribbled(training: TrainingSet) -> bool:
    """Whether all templates are scribbles, and leave pixels unknown.

    Not where landmarks are learned as points, whose edges are a convention.
    """
    examples = training.examples
    if training.point_labels or not all(one.scribbled for one in examples):
        return False
    return any((one.labels == UNKNOWN).any() for one in examples)


def self_labelled(
    training: TrainingSet, experts: Experts, progress: Progress, most: int | None = None
) -> TrainingSet:
    """Label the pixels of scribbled slices that experts are sure of, where no paint is.

    Parameters
    ----------
    training : TrainingSet
        Templates as they are painted.
    experts : Experts
        What learned from these.
    progress : callable
        Called with each slice; it may raise ``Cancelled``.
    most : int, optional
        Pixels, together, of slices that are looked at; the others stay as they are. None: all.

    Returns
    -------
    TrainingSet
        Where painted pixels are as they were; the same one where there is nothing that experts are
        sure of.
    """
    values = np.array([0, *training.label_values])
    examples = list(training.examples)
    members: dict[tuple[int, int], list[int]] = {}
    for k, source in enumerate(training.sources):
        members.setdefault(source, []).append(k)
    is_more, done = False, 0
    smoothing = experts.model.config.propagation.smoothing
    for number, stack in enumerate(training.stacks):
        pixels = stack.shape[0] * stack.shape[1]
        wanted = sorted(index for owner, index in members if owner == number)
        if most is not None:
            wanted = wanted[: most // pixels]
            most -= len(wanted) * pixels
        if not wanted:
            continue
        mixing = Mixing(stack, smoothing, across=False)
        planes = experts.of(stack).planes(stack, wanted)
        with used_up(planes):
            for index, plane in zip(wanted, planes, strict=True):
                progress(done, len(members), "scribbled slices")
                done += 1
                own = members[number, index]
                known = np.any([training.examples[k].labels != UNKNOWN for k in own], axis=0)
                found = _sure(mixing.blurred(plane), values)
                found[known] = UNKNOWN
                if (found == UNKNOWN).all():
                    continue
                is_more = True
                for k in own:
                    labels = np.where(found != UNKNOWN, found, examples[k].labels)
                    examples[k] = replace(examples[k], labels=labels)
    return replace(training, examples=tuple(examples)) if is_more else training


def _sure(plane: Array, values: Array) -> Array:
    """Label values, (H, W), where one of the probabilities (L + 1, H, W) is high; else UNKNOWN."""
    result = np.empty(plane.shape[1:], np.int32)
    for rows in bands(len(result), plane[:, 0].size):
        band = plane[:, rows]
        result[rows] = np.where(band.max(axis=0) > _CONFIDENT, values[band.argmax(axis=0)], UNKNOWN)
    return result
