"""How planes of a volume are learned that nobody painted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from ..config import ResamplingConfig
from ..predict.learned import LearnedModel
from ..predict.planes import PlaneTeacher
from ..predict.predictor import VolumePredictor
from ..templates.template import Template
from ..types import Array, Progress, Volume

if TYPE_CHECKING:
    from .segmenter import FewShotSegmenter

__all__ = ["can_learn_planes", "plane_teacher"]

_ALONE = {"carried": False, "registered": False, "self_training": False, "choose": False}
"""Nothing was painted in these planes, and what was found in them is learned once."""


def can_learn_planes(learned: LearnedModel) -> bool:
    """Whether planes can be learned that nobody painted.

    Not those of points, whose edges are a convention, nor by adapters that learn nothing from
    strokes.
    """
    return learned.config.fuses and not learned.point_labels


def plane_teacher(model: FewShotSegmenter, learned: LearnedModel) -> PlaneTeacher | None:
    """Teach with the settings of a model; None where it cannot."""
    return partial(_learned, model) if can_learn_planes(learned) else None


def _learned(
    model: FewShotSegmenter,
    image: Volume,
    planes: Mapping[int, Array],
    axis: int,
    background: int,
    resampling: ResamplingConfig,
    progress: Progress,
) -> VolumePredictor:
    template = Template(image, planes, axis=axis, kind="scribble", background=background)
    pupil = model.with_settings(resampling=resampling, experts=_ALONE)
    return pupil.fit(template, progress).volume_predictor()
