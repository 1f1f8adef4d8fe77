"""Rows of scores of one predicted case."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ..config import LandmarkConfig
from ..errors import InputError
from ..metrics.contingency import present_labels
from ..metrics.instances import compare_partitions, score_each_instance
from ..metrics.labels import evaluate_labels
from ..metrics.landmarks import evaluate_landmarks
from ..metrics.scores import LabelScore, LabelScores
from ..predict.landmarks import component_centres
from ..types import Array, Landmark
from .methods import Predicted
from .prepare import PreparedCase

__all__ = ["LABEL_COLUMNS", "LANDMARK_COLUMNS", "points_of", "score_case"]

_RATIOS = ("dice", "iou", "precision", "recall", "assd_mm")
_MEANS = ("dice", "iou", "precision", "recall", "rand_index", "adjusted_rand_index")
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
    scored. A landmark within the radius is localised. A case that was painted whole has no row.
    """
    if not set(range(case.slices)) - set(painted):
        return []
    if radius_px is not None:
        return _score_landmarks(found, case, radius_px, painted)
    if found.labels is None:
        raise InputError("method", "predict labels", "landmarks only")
    truth = case.truth
    if truth is None:
        raise InputError("dataset", "have labels", f"case {case.name} has none")
    exclude = (case.axis, list(painted)) if painted else None
    values = {*case.areas, *case.listed, *taught}
    predicted = {int(value) for value in present_labels(found.labels)}
    if found.scored == "each" or (found.scored == "union" and (values | predicted) - {0, 1}):
        label, name = 0, "foreground"
        if not values - {1}:
            label, name = 1, {**taught, **truth.names}.get(1, "1")
        return [
            row | {"label": label, "name": name}
            for row in _score_regions(found.labels, case, painted, each=found.scored == "each")
        ]
    whole = {value: sum(line.values()) for value, line in case.areas.items()}
    scores = evaluate_labels(
        found.labels,
        truth.data,
        truth.spacing,
        labels={*whole, *case.listed, *taught, *predicted},
        names={**taught, **truth.names},
        exclude=exclude,
        axis=case.axis,
    )
    # A label that the case lacks is scored: wherever it was predicted, it is false.
    return [
        _row(one, scores, truth.spacing)
        for one in scores.labels
        if not 0 < whole.get(one.label, 0) < min_voxels
    ]


def _row(one: LabelScore, scores: LabelScores, spacing: Sequence[float]) -> Row:
    row: Row = {"label": one.label, "name": one.name or str(one.label)}
    row |= {name: _plain(getattr(one, name)) for name in _RATIOS}
    row |= {name: getattr(one, name) for name in _COUNTS}
    return row | {
        "false_pixels": one.false_voxels,
        "false_mm3": round(one.false_voxels * math.prod(spacing), 6),
        # Of the whole label map: the same for all labels of a case.
        "rand_index": _plain(scores.rand_index),
        "adjusted_rand_index": _plain(scores.adjusted_rand_index),
    }


def _score_regions(
    labels: Array, case: PreparedCase, painted: Sequence[int], *, each: bool
) -> list[Row]:
    """One row for all structures as one region, which is no label, whatever the numbers of labels.

    The Rand indices are those of the labels as they are. ``each``: ratios and Rand indices are
    means over the labels, taken one by one; the counts stay those of all.
    """
    kept = np.setdiff1d(np.arange(case.slices), painted)
    true = case.planes[kept]
    found = (labels[None] if labels.ndim == 2 else np.moveaxis(labels, case.axis, 0))[kept]
    # Slices lie along the first axis here.
    spacing = [1.0, *case.image.spacing][-3:]
    spacing.insert(0, spacing.pop(case.axis))
    scores = evaluate_labels(found > 0, true > 0, spacing, labels=[1])
    row = _row(scores.labels[0], scores, spacing)
    if each:
        means = score_each_instance(found, true)
        return [row | {"assd_mm": None} | {name: _plain(getattr(means, name)) for name in _MEANS}]
    rand, adjusted = compare_partitions(found, true)
    return [row | {"rand_index": _plain(rand), "adjusted_rand_index": _plain(adjusted)}]


def points_of(found: Predicted, case: PreparedCase) -> Sequence[Landmark]:
    """Landmarks that were predicted; of a method that knows none, the middles of its labels.

    These are the largest components of each label, as many as the case has landmarks of it.
    """
    if found.landmarks or found.labels is None:
        return found.landmarks
    counts = Counter((point.label, point.name) for point in case.landmarks)
    volume = found.labels if found.labels.ndim == 3 else found.labels[None]
    sure = np.ones(volume.shape, np.uint8)
    return [
        point
        for (label, name), count in counts.items()
        for point in component_centres(
            volume,
            sure,
            label=label,
            name=name,
            config=LandmarkConfig(per_label=count),
            spacing=(1.0, *case.image.spacing)[-3:],
        )
    ]


def _score_landmarks(
    found: Predicted, case: PreparedCase, radius_px: float, painted: Sequence[int]
) -> list[Row]:
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
        for one, true in zip(scores.landmarks, case.landmarks, strict=True)
        if case.slice_of(true) not in painted
    ]


def _plain(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
