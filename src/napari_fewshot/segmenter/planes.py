"""How planes of a volume are learned that nobody painted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from ..config import ResamplingConfig
from ..predict.learned import LearnedModel
from ..predict.planes import can_learn_planes
from ..predict.predictor import PlaneTeacher, VolumePredictor
from ..templates.template import Template
from ..types import Array, Progress, Volume

__all__ = ["plane_teacher"]

_ALONE = {"carried": False, "registered": False, "self_training": False, "choose": False}
"""Nothing was painted in these planes, and what was found in them is learned once."""


class Pupil(Protocol):
    """A segmenter, as far as it is needed here."""

    def with_settings(self, **changes: Any) -> Pupil:
        """Return an unfitted one with other settings."""
        ...

    def fit(self, templates: Template, progress: Progress) -> Pupil:
        """Learn."""
        ...

    def volume_predictor(self) -> VolumePredictor:
        """Return what volumes are predicted with."""
        ...


def plane_teacher(model: Pupil, learned: LearnedModel) -> PlaneTeacher | None:
    """Teach with the settings of a model; None where it cannot."""
    return partial(_learned, model) if can_learn_planes(learned) else None


def _learned(
    model: Pupil,
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
