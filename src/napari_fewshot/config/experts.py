"""Settings of the experts that label slices together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from pydantic import Field

from .base import StageConfig

__all__ = ["HAND_MADE", "Companion", "ExpertsConfig", "hand_made_of"]

Companion = Literal["hand_made", "hand_made_3d", "grey"]
"""Adapters that learn beside the one on the features of the backbone."""

HAND_MADE: Mapping[Companion, str] = {
    "hand_made": "multiscale",
    "hand_made_3d": "multiscale-3d",
}
"""Adapters on hand-made features, of which a model has one at most, and their backbones."""


def hand_made_of(names: Collection[Companion]) -> Companion | None:
    """That among these adapters which is on hand-made features, if one is."""
    return next((name for name in HAND_MADE if name in names), None)


class ExpertsConfig(StageConfig):
    """What labels slices beside the adapter on the features of the backbone.

    The log-probabilities of all of them are averaged.
    """

    hand_made: bool = Field(default=True, title="Hand-made features")
    """Train the same adapter on the features of the backbone multiscale too, or in volumes on those
    of multiscale-3d: grey values, edges and textures as they are, which matter in micrographs."""
    grey: bool = Field(default=True, title="Colour images in grey")
    """Where images have three colours, train the same adapter on the embedded features of their
    brightness too, which stays where stains and scanners vary."""
    carried: bool = Field(default=True, title="Carried labels")
    """In the painted image itself, carry painted labels from slice to slice, the way that pixels
    move between neighbouring slices."""
    flow: Literal["auto", "dis", "lucas-kanade"] = "auto"
    """How the motion between slices is found. dis: dense inverse search of OpenCV, quicker.
    lucas-kanade: iterative Lucas-Kanade of scikit-image, as exact. auto: dis where OpenCV is
    installed."""
    registered: bool = Field(default=True, title="Registered labels")
    """Where most slices of a volume are painted, bring its labels to other volumes by registration,
    if SimpleITK is installed. The model file then holds the volume itself, coarsely."""
    self_training: bool = Field(default=True, title="Self-training")
    """Train twice: the second time with what the first training is sure of, of other slices of the
    painted volumes, or of what is not painted on scribbled slices."""
    choose: bool = Field(default=True, title="Choose weights")
    """Choose the weights of the experts on template slices that are left out, where these say
    clearly that others than the usual ones are better."""
    polish_minutes: float = Field(
        default=3.0, gt=0, title="Polish for", json_schema_extra={"unit": "min", "step": 1}
    )
    """Most time for polishing, which is done when it is asked for alone: the embedded network
    learns from the painted slices too, as one more expert."""
