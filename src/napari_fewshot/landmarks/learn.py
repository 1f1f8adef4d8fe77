"""What is remembered of landmarks, and how well templates that are left out are found."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..config import SegmenterConfig
from ..features.extract import FeatureExtractor
from ..slices.registration import has_registration
from ..slices.stack import SliceStack
from ..templates.training_set import TrainingSet
from ..types import Array, Progress, no_progress
from .described import Described, as_part, described_plane, known_plane
from .find import placing_stack
from .known import KnownLandmarks, no_trials
from .placed import Placed
from .planes import place_in_plane
from .scores import LEAST_TEMPLATES
from .volumes import known_volume, place_in_volume

__all__ = ["labels_placed", "learn_landmarks"]

_LOGGER = logging.getLogger(__name__)
WHAT = "landmarks"
_MOST_LEFT_OUT = {2: 12, 3: 4}
"""Templates that are left out in turn, by their number of axes."""
_MOST_OTHERS = 3
"""Volumes that are registered with each of them."""
_PARTS = ((0.0, 0.55), (0.45, 1.0), (0.25, 0.75))
"""Parts of 2D images that are placed too, as shares of the longest side."""
_MOST_CUT = 4
"""Templates of which parts are placed."""
_FAR = 10.0
"""Error, as a share of the longest side, of a landmark that is not in the image."""


def labels_placed(training: TrainingSet, config: SegmenterConfig) -> tuple[int, ...]:
    """Landmarks, learned as points, that are placed by what their templates show.

    None where the settings look for them otherwise, images differ in their number of axes, or, in
    volumes, SimpleITK is not installed.
    """
    axes = {training.stacks[number].volume.ndim for number in training.arranged}
    if not _wanted(config) or len(axes) != 1 or (3 in axes and not has_registration()):
        return ()
    single = {label for one in training.arrangements for label in one}
    return tuple(sorted(training.point_labels & single))


def _wanted(config: SegmenterConfig) -> bool:
    wanted = config.propagation.landmarks
    return wanted.source == "probabilities" and wanted.arrangement and wanted.per_label == 1


def learn_landmarks(
    training: TrainingSet,
    config: SegmenterConfig,
    extractor: FeatureExtractor,
    progress: Progress = no_progress,
) -> KnownLandmarks | None:
    """Remember the landmarks that were learned as points, one of each in an image.

    None where there are none, the settings look for them otherwise, or, in volumes, SimpleITK is
    not installed. With three templates or more, some are left out in turn, and the others place
    their landmarks: what scores are worth.
    """
    if not _wanted(config):
        return None
    for label in sorted(training.repeated & training.point_labels):
        _LOGGER.warning(
            "Several points are called %s in one image: they teach what one looks like, not where "
            "it lies. Give each its own name, or set propagation.landmarks.per_label to their "
            "number.",
            training.names.get(label, label),
        )
    numbers = training.arranged
    volumes = [training.stacks[number].volume for number in numbers]
    axes = {volume.ndim for volume in volumes}
    labels = labels_placed(training, config)
    if not labels:
        return None
    stacks = [placing_stack(volume, config.intensity) for volume in volumes]
    places = []
    for stack, one in zip(stacks, training.arrangements, strict=True):
        sizes = np.array(stack.frame.canonical_spacing(stack.volume.spacing))
        rows = [one.get(label, (np.nan,) * len(sizes)) for label in labels]
        places.append(np.array(rows, float) + sizes / 2)
    if 3 in axes:
        found = [known_volume(s, p) for s, p in zip(stacks, places, strict=True)]
        images = tuple(one for one in found if one is not None)
        if not images:
            return None
        known = KnownLandmarks(labels, images)
        kept = [s for s, one in zip(stacks, found, strict=True) if one is not None]
        return replace(known, trials=_trials(known, kept, [], progress))
    known = KnownLandmarks(
        labels, tuple(known_plane(s, p) for s, p in zip(stacks, places, strict=True))
    )
    maps = [described_plane(stack, known, extractor) for stack in stacks]
    known = known.described(
        [(*m.at(one.places), m.overview()) for m, one in zip(maps, known.images, strict=True)]
    )
    return replace(known, trials=_trials(known, stacks, maps, progress))


def _trials(
    known: KnownLandmarks,
    stacks: Sequence[SliceStack],
    maps: Sequence[Described],
    progress: Progress,
) -> Array:
    """Place the landmarks of templates with the others; ``maps`` are of 2D images."""
    if len(known.images) < LEAST_TEMPLATES:
        return no_trials()
    most = _MOST_LEFT_OUT[2 if maps else 3]
    chosen = np.unique(np.linspace(0, len(stacks) - 1, most).round().astype(int))
    trials = [no_trials()]
    for done, number in enumerate(chosen.tolist()):
        progress(done, len(chosen), WHAT)

        def check(done: int = done) -> None:
            progress(done, len(chosen), WHAT)

        others = known.without(number, None if maps else _MOST_OTHERS)
        if others is None:
            continue
        truth = known.images[number].places[[known.labels.index(label) for label in others.labels]]
        if not maps:
            placed = place_in_volume(stacks[number], others, check)
            if placed is not None:
                trials.append(_trial(placed, truth))
            continue
        trials.append(_trial(place_in_plane(maps[number], others), truth))
        for first, stop in _PARTS if number in chosen[:_MOST_CUT] else ():
            check()
            axis = int(maps[number].extent.argmax())
            part = as_part(maps[number].cut(axis, first, stop), others)
            moved = truth.copy()
            moved[:, axis] -= first * maps[number].extent[axis]
            trials.append(_trial(place_in_plane(part, others), moved))
    progress(len(chosen), len(chosen), WHAT)
    return np.concatenate(trials)


def _trial(placed: Placed, truth: Array) -> Array:
    """How sure each place is, and its error; what is placed though it is not there errs by far."""
    inside = ((truth >= 0) & (truth <= placed.extent)).all(axis=1)
    errors = np.linalg.norm(placed.places - truth, axis=1) / float(placed.extent.max())
    errors = np.where(inside, errors, _FAR)
    both = np.column_stack([placed.sure, errors, np.full(len(errors), placed.is_part)])
    known = np.isfinite(truth[:, 0]) & np.isfinite(placed.places[:, 0])
    found: Array = both[known].astype(np.float32)
    return found
