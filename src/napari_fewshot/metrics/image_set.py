"""Scores of many label maps: each image, each label over the images, and the means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .scores import LabelScore, LabelScores, MeanScores, Record, format_number, format_rows

__all__ = ["ImageSetScores", "LabelMeans"]

_SCORES = ("dice", "iou", "precision", "recall", "assd_mm", "empty_kept")
_TITLES = ("Dice", "IoU", "precision", "recall", "ASSD mm", "empty kept")


@dataclass(frozen=True)
class LabelMeans(Record):
    """Means of a label, or of the means of images, over the images for which a score is defined.

    Parameters
    ----------
    label : int or None
        None of the means over images.
    name : str
    images : int
        Images with a Dice: those whose truth or prediction has the label.
    dice, iou, precision, recall, assd_mm, empty_kept : float
        nan where a score is defined for no image.
    """

    label: int | None
    name: str
    images: int
    dice: float
    iou: float
    precision: float
    recall: float
    assd_mm: float
    empty_kept: float


@dataclass(frozen=True)
class ImageSetScores:
    """Scores of the label maps of many images.

    Parameters
    ----------
    images : mapping of str to LabelScores
        By the name of the image.
    """

    images: Mapping[str, LabelScores]

    def labels(self) -> tuple[LabelMeans, ...]:
        """Each label over the images, in ascending order."""
        rows: dict[int, list[Any]] = {}
        for scores in self.images.values():
            for row in scores.labels:
                rows.setdefault(row.label, []).append(row)
        named = {
            label: next((r.name for r in found if r.name), "") for label, found in rows.items()
        }
        return tuple(_means(label, named[label], rows[label]) for label in sorted(rows))

    def mean(self) -> LabelMeans:
        """Mean of the means of the images, each of which counts once."""
        return _means(None, "", [scores.mean for scores in self.images.values()])

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: nan becomes None."""
        return {
            "images": {name: scores.as_dict() for name, scores in self.images.items()},
            "labels": [row.as_dict() for row in self.labels()],
            "mean": self.mean().as_dict(),
        }

    def format_table(self) -> str:
        """Return the scores as text: the mean of each image, then each label over the images."""
        mean = self.mean()
        by_image = [
            [name, f"{scores.mean.scored} scored", *_numbers(scores.mean)]
            for name, scores in self.images.items()
        ]
        by_image.append(["mean", f"{mean.images} images", *_numbers(mean)])
        by_label = [
            [str(row.label), row.name, *_numbers(row), str(row.images)] for row in self.labels()
        ]
        return "\n\n".join(
            (
                format_rows(["image", "labels", *_TITLES], by_image),
                format_rows(["label", "name", *_TITLES, "images"], by_label),
            )
        )


def _means(label: int | None, name: str, rows: Sequence[LabelScore | MeanScores]) -> LabelMeans:
    def mean(score: str) -> float:
        values = [value for value in (getattr(row, score) for row in rows) if math.isfinite(value)]
        return math.fsum(values) / len(values) if values else math.nan

    count = sum(math.isfinite(row.dice) for row in rows)
    return LabelMeans(label, name, count, *(mean(score) for score in _SCORES))


def _numbers(row: LabelMeans | MeanScores) -> list[str]:
    digits = {"assd_mm": 2}
    return [format_number(getattr(row, score), digits.get(score, 3)) for score in _SCORES]
