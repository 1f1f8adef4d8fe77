"""Rows of scores of one predicted case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..errors import InputError
from ..metrics.contingency import present_labels
from ..metrics.labels import evaluate_labels
from ..metrics.landmarks import evaluate_landmarks
from ..types import Array, Landmark
from .methods import Predicted
from .prepare import PreparedCase

__all__ = ["LABEL_COLUMNS", "LANDMARK_COLUMNS", "landmarks_of_labels", "points_of", "score_case"]

_RATIOS = ("dice", "iou", "precision", "recall", "assd_mm")
_COUNTS = ("truth_voxels", "pred_voxels", "empty_slices", "empty_slices_kept")
LABEL_COLUMNS = (
    *_RATIOS, *_COUNTS, "false_pixels", "false_mm3", "rand_index", "adjusted_rand_index"
)  # fmt: skip
LANDMARK_COLUMNS = ("found", "localised", "error_px", "error_mm")

Row = dict[str, Any]


def score_case(
    found: Predicted,
    case: PreparedCase,
    painted: Sequence[int],
    *,
    taught: Mapping[int, str] = MappingProxyType({}),
    min_voxels: int = 1,
    radius_px: float | None = None,
) -> list[Row]:
    """Score a case: a row for each label, or for each landmark where a radius is given.

    Slices that were ``painted`` do not count. Labels that were ``taught`` have a row in every case,
    as those that the configuration lists, so that what a method leaves out where it is absent
    counts as what it puts there. Labels of fewer than ``min_voxels`` in the whole case are not
    scored. A landmark within the radius is localised.
    """
    if radius_px is not None:
        return _score_landmarks(found, case, radius_px)
    if found.labels is None:
        raise InputError("method", "predict labels", "landmarks only")
    truth = case.truth
    if truth is None:
        raise InputError("dataset", "have labels", f"case {case.name} has none")
    exclude = (case.axis, list(painted)) if painted else None
    whole = {value: sum(line.values()) for value, line in case.areas.items()}
    predicted = {int(value) for value in present_labels(found.labels)}
    scores = evaluate_labels(
        found.labels,
        truth.data,
        truth.spacing,
        labels={*whole, *case.listed, *taught, *predicted},
        names={**taught, **truth.names},
        exclude=exclude,
        axis=case.axis,
    )
    voxel = math.prod(truth.spacing)
    rows = []
    for one in scores.labels:
        # A label that the case lacks is scored: wherever it was predicted, it is false.
        if 0 < whole.get(one.label, 0) < min_voxels:
            continue
        row: Row = {"label": one.label, "name": one.name or str(one.label)}
        row |= {name: _plain(getattr(one, name)) for name in _RATIOS}
        row |= {name: getattr(one, name) for name in _COUNTS}
        row |= {
            "false_pixels": one.false_voxels,
            "false_mm3": round(one.false_voxels * voxel, 6),
            # Of the whole label map: the same for all labels of a case.
            "rand_index": _plain(scores.rand_index),
            "adjusted_rand_index": _plain(scores.adjusted_rand_index),
        }
        rows.append(row)
    return rows


def landmarks_of_labels(labels: Array, names: dict[int, str]) -> tuple[Landmark, ...]:
    """Middle of the largest component of each label, for methods that know no landmarks."""
    from skimage.measure import label, regionprops

    found = []
    for value, name in names.items():
        parts = regionprops(label(labels == value, connectivity=1))
        if parts:
            middle = max(parts, key=lambda part: part.num_pixels).centroid
            z, y, x = (0.0,) * (3 - labels.ndim) + tuple(map(float, middle))
            found.append(Landmark(name, value, (z, y, x), 1.0))
    return tuple(found)


def points_of(found: Predicted, case: PreparedCase) -> Sequence[Landmark]:
    """Landmarks that were predicted; of a method that knows none, the middles of its labels."""
    if found.landmarks or found.labels is None:
        return found.landmarks
    return landmarks_of_labels(found.labels, {point.label: point.name for point in case.landmarks})


def _score_landmarks(found: Predicted, case: PreparedCase, radius_px: float) -> list[Row]:
    points, spacing = points_of(found, case), case.image.spacing
    scores = evaluate_landmarks(
        points, case.landmarks, spacing, axis=case.axis, radius_px=radius_px
    )
    return [
        {
            "label": one.label,
            "name": one.name,
            "found": one.found,
            "localised": one.hit,
            "error_px": _plain(one.error_px),
            "error_mm": _plain(one.error_mm),
        }
        for one in scores.landmarks
    ]


def _plain(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
