"""Landmarks of an image, by what a model remembers of its templates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..config import IntensityConfig, LandmarkConfig, Tolerance
from ..features.extract import FeatureExtractor
from ..geometry import Frame
from ..slices.stack import SliceStack
from ..types import Array, Candidate, Landmark, Located, Volume
from .described import Described, seen_plane
from .known import KnownLandmarks
from .placed import Placed
from .planes import place_in_plane
from .scores import LEAST_TEMPLATES, probabilities, tolerance_share
from .volumes import RegisteredVolume, registered_volume

__all__ = ["SeenImage", "find_known", "placing_stack"]

_LOGGER = logging.getLogger(__name__)


def placing_stack(volume: Volume, intensity: IntensityConfig) -> SliceStack:
    """Slices of a volume, whose channels were chosen, on its own grid along the first axis."""
    return SliceStack(volume, 0, intensity.model_copy(update={"channels": None}))


@dataclass(eq=False)
class SeenImage:
    """What is known of an image, and what was computed of it, to place landmarks again at once.

    Parameters
    ----------
    given : mapping of int to sequence of float
        Places (z, y, x) in voxels of the file of landmarks that somebody placed, by label: the
        others are placed so that they lie to them as in the templates.
    image : Described or RegisteredVolume, optional
    """

    given: Mapping[int, Sequence[float]] = field(default_factory=dict)
    image: Described | RegisteredVolume | None = None


def find_known(
    volume: Volume,
    known: KnownLandmarks,
    extractor: FeatureExtractor,
    names: Mapping[int, str],
    intensity: IntensityConfig,
    config: LandmarkConfig,
    check: Callable[[], None] = lambda: None,
    seen: SeenImage | None = None,
) -> dict[int, Located] | None:
    """Landmarks in file order by label, or the candidates of one that was not found.

    None where they cannot be placed so: no template has an image of as many axes, or none is like
    this one. Scores are probabilities that a landmark lies within ``config.tolerance``; those below
    ``config.min_score`` are not found, nor those outside of the image. With fewer than three
    templates they are none, which is warned of, and nothing is left out for its score. ``check``
    may raise ``Cancelled``. ``seen`` says what is known of this image, and keeps for the next time
    what is computed of it and these templates.
    """
    if not known.fits(volume.ndim):
        return None
    seen = SeenImage() if seen is None else seen
    frame = Frame.of(volume.affine, volume.ndim)
    spacing = np.array(frame.canonical_spacing(volume.spacing))
    fixed = _fixed(seen.given, known, volume, frame, spacing)
    if seen.image is None:
        stack = placing_stack(volume, intensity)
        if volume.ndim == 3:
            seen.image = registered_volume(stack, known, check)
        else:
            seen.image = seen_plane(stack, known, extractor)
    if seen.image is None:
        return None
    if isinstance(seen.image, Described):
        placed: Placed | None = place_in_plane(seen.image, known, fixed)
    else:
        placed = seen.image.placed(fixed, check)
    if placed is None:
        return None
    trials = known.trials[known.trials[:, 2] == placed.is_part, :2]
    is_calibrated = len(trials) > 0
    if not is_calibrated:
        _LOGGER.warning(
            "Scores of landmarks are not calibrated: that takes %d templates with them; got %d.",
            LEAST_TEMPLATES,
            len(known.images),
        )
    share = tolerance_share(Tolerance.of(config.tolerance), placed.extent, spacing)
    scores = probabilities(placed.sure, trials, share)
    if is_calibrated:  # points of one image are right or wrong together: images count (Laplace)
        scores = np.minimum(scores, (len(known.images) + 1) / (len(known.images) + 2))
    found: dict[int, Located] = {}
    for number, (label, score) in enumerate(zip(known.labels, scores.tolist(), strict=True)):
        at, *others = (
            _in_file(place, volume, frame, spacing)
            for place in (placed.places[number], *placed.others[number])
        )
        shares = (1 - score) * placed.shares[number]
        candidates = tuple(
            Candidate(place, float(share))
            for place, share in zip(others, shares, strict=True)
            if place is not None
        )
        if at is not None and is_calibrated and score < config.min_score:
            found[label] = (Candidate(at, score), *candidates)
        elif at is None:
            found[label] = candidates
        else:
            found[label] = Landmark(names.get(label, str(label)), label, at, score, candidates)
    return found


def _fixed(
    given: Mapping[int, Sequence[float]],
    known: KnownLandmarks,
    volume: Volume,
    frame: Frame,
    spacing: Array,
) -> Array:
    """Given places (L, D) in mm from the corner in canonical order; nan where none is given."""
    fixed = np.full((len(known.labels), volume.ndim), np.nan)
    for number, label in enumerate(known.labels):
        if label in given:
            at = np.array([given[label][-volume.ndim :]], float)
            fixed[number] = (frame.points_to_canonical(at, volume.shape)[0] + 0.5) * spacing
    return fixed


def _in_file(
    place: Array, volume: Volume, frame: Frame, spacing: Array
) -> tuple[float, float, float] | None:
    """A place in mm in voxels of the file, None where it is none, or outside of the image."""
    if not np.isfinite(place).all():
        return None
    at = frame.points_from_canonical((place / spacing - 0.5)[None], volume.shape)[0]
    if (at < -0.5).any() or (at >= np.array(volume.shape) - 0.5).any():
        return None
    z, y, x = (0.0, *map(float, at))[-3:]
    return z, y, x
