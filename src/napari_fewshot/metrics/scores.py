"""Records of scores: frozen, ready for JSON, and readable as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "LabelScore",
    "LabelScores",
    "LandmarkScore",
    "LandmarkScores",
    "MeanScores",
    "Record",
    "format_number",
    "format_rows",
]


class Record:
    """Base of the records of scores; each is a frozen dataclass."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: nan becomes None, nested records become dicts."""
        return {name: _plain(value) for name, value in vars(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_dict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@dataclass(frozen=True)
class LabelScore(Record):
    """Scores of one label over the compared voxels; nan where a score is undefined.

    Parameters
    ----------
    label, name : int, str
        The name is empty where none is known.
    truth_voxels, pred_voxels : int
    iou, dice, precision, recall : float
        In 0..1.
    assd_mm : float
        Average symmetric surface distance.
    empty_slices, empty_slices_kept, false_voxels : int
        Compared slices in which the truth does not have the label, those of them in which the
        prediction does not have it either, and voxels predicted in the others.
    empty_kept : float
        Fraction of the truly empty slices that were kept empty; nan where there are none.
    """

    label: int
    name: str
    truth_voxels: int
    pred_voxels: int
    iou: float
    dice: float
    precision: float
    recall: float
    assd_mm: float
    empty_slices: int
    empty_slices_kept: int
    false_voxels: int
    empty_kept: float


@dataclass(frozen=True)
class MeanScores(Record):
    """Means over the labels for which a score is defined (nan where it is for none).

    Parameters
    ----------
    iou, dice, precision, recall, assd_mm, empty_kept : float
    scored, with_surface : int
        Labels with a Dice, i.e. those that the truth or the prediction has, and labels with an
        ASSD, i.e. those that both have.
    """

    iou: float
    dice: float
    precision: float
    recall: float
    assd_mm: float
    empty_kept: float
    scored: int
    with_surface: int


@dataclass(frozen=True)
class LabelScores(Record):
    """Scores of a predicted label map.

    Parameters
    ----------
    labels : tuple of LabelScore
        In ascending order of the label value.
    mean : MeanScores
    rand_index, adjusted_rand_index : float
        Over all compared voxels and all values, background being one more cluster.
    compared_voxels : int
    empty_slices, empty_slices_kept, false_voxels, empty_kept
        As those of a label, of slices in which the truth has none of the scored labels.
    """

    labels: tuple[LabelScore, ...]
    mean: MeanScores
    rand_index: float
    adjusted_rand_index: float
    compared_voxels: int
    empty_slices: int
    empty_slices_kept: int
    false_voxels: int
    empty_kept: float

    def format_table(self) -> str:
        """Return the scores as text: a row for each label, then the means."""
        head = ["label", "name", "Dice", "IoU", "precision", "recall", "ASSD mm", "empty kept"]
        rows = [[str(row.label), row.name, *_numbers(row), _kept_empty(row)] for row in self.labels]
        mean = self.mean
        rows.append(
            ["mean", f"{mean.scored} scored", *_numbers(mean), format_number(mean.empty_kept)]
        )
        lines = [
            format_rows(head, rows),
            f"Rand index {format_number(self.rand_index)}, adjusted "
            f"{format_number(self.adjusted_rand_index)}, over {self.compared_voxels} voxels",
        ]
        if self.empty_slices:
            lines.append(
                f"slices without any of the labels kept empty: {self.empty_slices_kept} of "
                f"{self.empty_slices} ({self.false_voxels} false voxels in the others)"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class LandmarkScore(Record):
    """How far one true landmark was missed.

    Parameters
    ----------
    name, label : str, int
    found : bool
        Whether a prediction was matched to it.
    error_mm, error_px : float
        Distance in mm and in pixels of the working plane; nan where it was not found.
    hit : bool
        Whether ``error_px`` is below the radius.
    """

    name: str
    label: int
    found: bool
    error_mm: float
    error_px: float
    hit: bool


@dataclass(frozen=True)
class LandmarkScores(Record):
    """Scores of predicted landmarks.

    Parameters
    ----------
    landmarks : tuple of LandmarkScore
        One for each true landmark, in their order.
    accuracy : float
        Localisation accuracy: fraction of the true landmarks that were hit; nan without truth.
    radius_px : float
        Radius of a hit in pixels of the working plane.
    mean_error_mm, sd_error_mm, median_error_mm : float
        Radial error of the landmarks that were found; nan where none was. The standard
        deviation is that of a sample, and nan for fewer than two.
    missing : int
        True landmarks without a prediction; they are no hits and have no error.
    extra : int
        Predictions whose name (or label) no true landmark has.
    """

    landmarks: tuple[LandmarkScore, ...]
    accuracy: float
    radius_px: float
    mean_error_mm: float
    sd_error_mm: float
    median_error_mm: float
    missing: int
    extra: int

    def format_table(self) -> str:
        """Return the scores as text: a row for each true landmark, then the summary."""
        rows = [
            [
                str(row.label),
                row.name,
                format_number(row.error_mm, 2),
                format_number(row.error_px, 1),
                "yes" if row.hit else ("no" if row.found else "missing"),
            ]
            for row in self.landmarks
        ]
        head = ["label", "name", "error mm", "error px", f"below {self.radius_px:g} px"]
        return (
            f"{format_rows(head, rows)}\nlocalisation accuracy {format_number(self.accuracy)}, "
            f"mean radial error {format_number(self.mean_error_mm, 2)} ± "
            f"{format_number(self.sd_error_mm, 2)} mm "
            f"(median {format_number(self.median_error_mm, 2)}), "
            f"{self.missing} missing, {self.extra} extra"
        )


def _numbers(row: LabelScore | MeanScores) -> list[str]:
    values = (row.dice, row.iou, row.precision, row.recall)
    return [*map(format_number, values), format_number(row.assd_mm, 2)]


def _kept_empty(row: LabelScore) -> str:
    return f"{row.empty_slices_kept}/{row.empty_slices}" if row.empty_slices else "-"


def format_number(value: float, digits: int = 3) -> str:
    """Return a score as text; ``-`` where it is undefined."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def format_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns; the first two of them to the left, the others to the right."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = "<<" + ">" * (len(head) - 2)
    return "\n".join(
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True)
        ).rstrip()
        for line in lines
    )
