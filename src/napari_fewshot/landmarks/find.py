"""Landmarks of an image, by what a model remembers of its templates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import numpy as np

from ..config import IntensityConfig, LandmarkConfig, Tolerance
from ..features.extract import FeatureExtractor
from ..geometry import Frame
from ..slices.stack import SliceStack
from ..types import Array, Landmark, Volume
from .known import KnownLandmarks
from .placed import Placed
from .planes import described_plane, place_in_plane
from .scores import LEAST_TEMPLATES, probabilities, sure_within, tolerance_share
from .volumes import place_in_volume

__all__ = ["find_known", "placing_stack"]

_LOGGER = logging.getLogger(__name__)


def placing_stack(volume: Volume, intensity: IntensityConfig) -> SliceStack:
    """Slices of a volume, whose channels were chosen, on its own grid along the first axis."""
    return SliceStack(volume, 0, intensity.model_copy(update={"channels": None}))


def find_known(
    volume: Volume,
    known: KnownLandmarks,
    extractor: FeatureExtractor,
    names: Mapping[int, str],
    intensity: IntensityConfig,
    config: LandmarkConfig,
    check: Callable[[], None] = lambda: None,
) -> dict[int, Landmark | None] | None:
    """Landmarks in file order by label, None for one that was not found.

    None where they cannot be placed so: no template has an image of as many axes, or none is like
    this one. Scores are probabilities that a landmark lies within ``config.tolerance``; those below
    ``config.min_score`` are not found, nor those outside of the image. With fewer than three
    templates they are none, which is warned of, and nothing is left out for its score. ``check``
    may raise ``Cancelled``.
    """
    if not known.fits(volume.ndim):
        return None
    stack = placing_stack(volume, intensity)
    if volume.ndim == 3:
        placed = place_in_volume(stack, known, check)
    else:
        placed = place_in_plane(described_plane(stack, known, extractor), known)
    if placed is None:
        return None
    is_calibrated = len(known.trials) > 0
    if not is_calibrated:
        _LOGGER.warning(
            "Scores of landmarks are not calibrated: that takes %d templates with them; got %d.",
            LEAST_TEMPLATES,
            len(known.images),
        )
    frame = Frame.of(volume.affine, volume.ndim)
    spacing = np.array(frame.canonical_spacing(volume.spacing))
    share = tolerance_share(Tolerance.of(config.tolerance), placed.extent, spacing)
    before = np.stack([sure_within(known.trials[:, :-1], share), known.trials[:, -1]], axis=1)
    scores = probabilities(sure_within(placed.sure, share), before, share)
    if is_calibrated:  # points of one image are right or wrong together: images count (Laplace)
        scores = np.minimum(scores, (len(known.images) + 1) / (len(known.images) + 2))
    places = _in_file(placed, volume, frame, spacing)
    limits = np.array(volume.shape) - 0.5
    found: dict[int, Landmark | None] = {}
    for label, at, score in zip(known.labels, places, scores, strict=True):
        there = bool(np.isfinite(at).all() and (at > -0.5).all() and (at < limits).all())
        if not there or (is_calibrated and score < config.min_score):
            found[label] = None
            continue
        z, y, x = (0.0, *map(float, at))[-3:]
        found[label] = Landmark(names.get(label, str(label)), label, (z, y, x), float(score))
    return found


def _in_file(placed: Placed, volume: Volume, frame: Frame, spacing: Array) -> Array:
    voxels = placed.places / spacing - 0.5
    return frame.points_from_canonical(voxels, volume.shape)
