"""Which adapters learn beside the one on the features of the backbone."""

from __future__ import annotations

from ..config import Companion, SegmenterConfig, hand_made_of
from ..predict.learned import LearnedModel
from ..slices.grey import COLOURS
from ..templates.places import have_places
from ..templates.training_set import TrainingSet
from .self_training import can_train_itself

__all__ = ["companions", "shows_neighbours", "starts_with_places"]

_FEWEST = 7
"""Slices of a volume: so many do features of volumes look at."""


def companions(
    config: SegmenterConfig,
    training: TrainingSet,
    learned: LearnedModel | None = None,
    *,
    places: bool,
) -> tuple[Companion, ...]:
    """Names of the adapters that these templates are learned by beside the first one.

    A model that has ``learned`` goes on by the features that it has. ``places``: whether labels
    have places.
    """
    found: list[Companion] = []
    if training.point_labels.issuperset(training.label_values):
        return ()
    if config.uses_hand_made:
        known = None if learned is None else hand_made_of(learned.beside)
        volumes = shows_neighbours(training, places=places)
        found.append(known or ("hand_made_3d" if volumes else "hand_made"))
    if config.uses_grey and training.channels == COLOURS:
        found.append("grey")
    return tuple(found)


def shows_neighbours(training: TrainingSet, *, places: bool) -> bool:
    """Whether the neighbours of a slice tell something of it.

    Not where organs move far from one slice to the next: a heart with slices 10 mm apart is known
    less well by them. Where whole slices show that labels have no places, slices ten pixels apart
    tell something too. Strokes of labels that have places are learned from single slices: of few
    pixels adapters learn what many more features have by chance.
    """
    if training.of_strokes and places:
        return False
    is_far_too = not places and not training.of_strokes
    return all(
        len(stack) >= _FEWEST and (stack.slices_are_close or is_far_too)
        for stack in training.stacks
    )


def starts_with_places(config: SegmenterConfig, training: TrainingSet) -> bool:
    """Whether labels have places, so far as can be told before the training.

    Strokes tell too little: places are assumed until what was learned from them says otherwise.
    """
    tells_later = training.of_strokes and config.trains_itself and can_train_itself(training)
    return tells_later or have_places(training)
