"""What is kept of a session besides labels: points, scores of slices, held-out scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....predict.suggestion import SliceScore
from ....segmenter import HeldOutScore
from ....types import Array
from ..slicing import Key

__all__ = [
    "SavedScores",
    "about_image",
    "about_points",
    "held_out_from",
    "held_out_to",
    "points_of",
    "scores_from",
]

_PLACED = ("scale", "translate", "rotate", "shear")


def about_image(image: Any) -> dict[str, Any]:
    """What an image is recognised by."""
    source = image.metadata.get("source") or image.source.path
    return {
        "name": image.name,
        "source": None if source is None else str(source),
        "shape": [int(n) for n in np.shape(image.data[0] if image.multiscale else image.data)],
    }


def about_points(layer: Any, image: Any, role: str, axis: int) -> dict[str, Any]:
    """A points layer as it is at this moment, ready for JSON; ``role`` is template or landmarks."""
    return {
        "name": layer.name,
        "role": role,
        "axis": axis,
        "image": about_image(image),
        "ndim": int(layer.ndim),
        "data": np.asarray(layer.data, float).tolist(),
        "features": {str(c): [_plain(v) for v in layer.features[c]] for c in layer.features},
        "units": [str(unit) for unit in layer.units],
        "affine": np.asarray(layer.affine.affine_matrix, float).tolist(),
        **{name: np.asarray(getattr(layer, name), float).tolist() for name in _PLACED},
    }


def points_of(saved: Mapping[str, Any]) -> tuple[Array, dict[str, list[Any]], dict[str, Any]]:
    """Points, features, and what places a layer, of :func:`about_points`."""
    points = np.asarray(saved["data"], float).reshape(-1, int(saved["ndim"]))
    features = {
        name: [math.nan if value is None else value for value in column]
        for name, column in saved["features"].items()
    }
    placed = {name: np.asarray(saved[name], float) for name in (*_PLACED, "affine")}
    return points, features, {**placed, "units": saved["units"], "ndim": int(saved["ndim"])}


@dataclass(frozen=True)
class SavedScores:
    """What a prediction noted of the slices of one image, at one place, along one axis."""

    image: dict[str, Any]
    lead: Key
    axis: int
    scores: tuple[SliceScore, ...]

    @property
    def about(self) -> dict[str, Any]:
        """All but the descriptors, ready for JSON."""
        return {
            "image": self.image,
            "lead": list(self.lead),
            "axis": self.axis,
            "slices": [int(one.index) for one in self.scores],
            "uncertainty": [float(one.uncertainty) for one in self.scores],
        }

    @property
    def descriptors(self) -> Array:
        """Descriptors of the slices, float32 (slices, D)."""
        return np.stack([np.asarray(one.descriptor, np.float32) for one in self.scores])


def scores_from(about: Mapping[str, Any], descriptors: Array) -> SavedScores:
    """Scores of what :class:`SavedScores` gave; ValueError if the two do not fit."""
    rows = zip(about["slices"], about["uncertainty"], descriptors, strict=True)
    scores = tuple(SliceScore(int(k), float(unsure), row) for k, unsure, row in rows)
    lead = tuple(int(k) for k in about["lead"])
    return SavedScores(dict(about["image"]), lead, int(about["axis"]), scores)


def held_out_to(score: HeldOutScore | None) -> dict[str, Any] | None:
    """A held-out score ready for JSON; its weights are in the model."""
    if score is None:
        return None
    dice = [[value, None if math.isnan(d) else d] for value, d in score.dice.items()]
    return {
        "dice": dice,
        "folds": score.folds,
        "grouped_by": score.grouped_by,
        "doubtful": sorted(score.doubtful),
        "too_few": [list(pair) for pair in score.too_few.items()],
    }


def held_out_from(saved: Mapping[str, Any] | None, weights: Any) -> HeldOutScore | None:
    """A held-out score of what :func:`held_out_to` gave, with the weights of the model."""
    if saved is None:
        return None
    dice = {int(value): math.nan if d is None else float(d) for value, d in _pairs(saved["dice"])}
    doubtful = frozenset(int(value) for value in saved.get("doubtful", ()))
    few = {int(value): float(d) for value, d in _pairs(saved.get("too_few", ()))}
    about = int(saved["folds"]), str(saved["grouped_by"])
    return HeldOutScore(dice, *about, weights, doubtful, too_few=few)


def _pairs(given: Iterable[Sequence[Any]]) -> Iterable[tuple[Any, Any]]:
    return ((one, other) for one, other in given)


def _plain(value: Any) -> Any:
    """A value of a table as JSON has it; NaN becomes None."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if isinstance(value, str | int | float) else str(value)
