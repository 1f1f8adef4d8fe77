"""Landmarks of templates as arrangements, and landmarks of an image placed by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..config import LandmarkConfig
from ..slices.stack import SliceStack
from ..types import Array, Landmark
from .collect import LabelProbabilities
from .constellation import LEAST_POINTS, Candidates, place_together

if TYPE_CHECKING:
    from .learned import LearnedModel

__all__ = ["find_points"]

_PEAKS = 8
_LEAST_SCORE = 0.02
_PEAKS_APART = 0.1
"""Distance of two peaks of a landmark, as a share of the arrangement's radius."""


def find_points(
    kept: LabelProbabilities, learned: LearnedModel, config: LandmarkConfig, stack: SliceStack
) -> list[Landmark]:
    """Landmarks of a stack, positions in its order: each by itself, or placed together."""
    values, names = learned.label_values, learned.names
    together: dict[int, Landmark | None] = {}
    if config.arrangement and config.per_label == 1:
        together = _placed(kept, learned, stack)
    alone = [value for value in values if value not in together]
    found = kept.landmarks(values, names, config, stack.spacing, alone)
    order = {value: number for number, value in enumerate(values)}
    placed = [point for point in together.values() if point is not None]
    return sorted([*found, *placed], key=lambda point: order[point.label])


def _placed(
    kept: LabelProbabilities, learned: LearnedModel, stack: SliceStack
) -> dict[int, Landmark | None]:
    """Landmarks by label, None for those whose place is outside of the image."""
    labels = sorted(learned.point_labels & {v for one in learned.arrangements for v in one})
    if len(labels) < LEAST_POINTS:
        return {}
    axes = stack.volume.ndim
    templates = [
        np.array([one.get(value, (np.nan,) * axes) for value in labels])
        for one in learned.arrangements
        if all(len(place) == axes for place in one.values())
    ]
    templates = [t for t in templates if np.isfinite(t[:, 0]).sum() >= LEAST_POINTS]
    if not templates:
        return {}
    radius = max(float(np.sqrt(np.nanvar(template, axis=0).sum())) for template in templates)
    found = kept.peaks(
        learned.label_values, labels, _PEAKS, _LEAST_SCORE, _PEAKS_APART * radius, stack.spacing
    )
    sizes = _in_canonical(np.array([stack.spacing]), stack)
    candidates = Candidates(
        np.repeat(np.arange(len(labels)), [len(found[value][1]) for value in labels]),
        np.concatenate([found[value][1] for value in labels]),
        _in_canonical(np.concatenate([found[value][0] for value in labels]), stack) * sizes,
    )
    placed = place_together(candidates, templates)
    if placed is None:
        return {}
    voxels = _in_stack(placed[0] / sizes, stack)
    limits = np.array(stack.grid.shape) - 0.5
    return {
        value: Landmark(learned.names[value], value, _position(at), float(score))
        if (at > -0.5).all() and (at < limits).all()
        else None
        for value, at, score in zip(labels, voxels, placed[1], strict=True)
    }


def _in_canonical(places: Array, stack: SliceStack) -> Array:
    """From (slice, row, column) to the canonical order of axes; (row, column) in 2D."""
    if stack.volume.ndim == 2:
        return places[:, 1:]
    return np.insert(places[:, 1:], stack.axis, places[:, 0], axis=1)


def _in_stack(places: Array, stack: SliceStack) -> Array:
    if stack.volume.ndim == 2:
        return np.insert(places, 0, 0.0, axis=1)
    rest = np.delete(places, stack.axis, axis=1)
    return np.insert(rest, 0, places[:, stack.axis], axis=1)


def _position(at: Array) -> tuple[float, float, float]:
    return float(at[0]), float(at[1]), float(at[2])
