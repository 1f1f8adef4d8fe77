"""Scores of a task: Dice of each label, and how true the confidence is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from accuracy_tasks import Task

BINS = 15
LEAST_COMMON = 3


@dataclass(frozen=True)
class Found:
    """What a method made of the cases of a task.

    ``labels`` and ``confidence`` (None where it gives none) have the shapes of the cases; seconds
    are of training, and of predicting a slice.
    """

    labels: list[np.ndarray]
    confidence: list[np.ndarray] | None
    fit_seconds: float
    seconds_per_slice: float
    memory_mb: float | None = None


def score(task: Task, found: Found) -> dict[str, Any]:
    """Values of a row: ``dice``, ``label_dice``, ``dice_common``, ``ece``, ``reliability``.

    Dice of a label is the mean over the cases that have it, ``dice`` the mean over labels.
    ``dice_common`` counts slices alone that no task of the set paints, and is None where fewer than
    three of them have labels. ``reliability`` has, for each bin of confidence, the share of all
    pixels, and what they have of confidence and of right ones. Everything leaves painted slices
    out.
    """
    by_label = np.array([_dice(task, found, number) for number in range(len(task.cases))])
    means = _mean(by_label)
    return {
        "dice": float(np.nanmean(means)),
        "label_dice": {
            str(label): round(float(mean), 4)
            for label, mean in zip(task.labels, means, strict=True)
            if not np.isnan(mean)
        },
        "dice_common": _common(task, found),
        **_calibration(task, found),
    }


def dice_by_label(found: np.ndarray, truth: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Dice of each label; NaN where the truth has none of it."""
    values = []
    for label in labels:
        one, other = found == label, truth == label
        true = int(other.sum())
        values.append(2 * int((one & other).sum()) / (int(one.sum()) + true) if true else np.nan)
    return np.array(values)


def reliability(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Shares of pixels, of confidence and of right pixels in bins of equal width, (BINS, 3)."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    sums = [np.bincount(bins, values, BINS) for values in (None, confidence, right)]
    return np.stack(sums, axis=1) / max(1, len(bins))


def calibration_error(bins: np.ndarray) -> float:
    """Expected calibration error of :func:`reliability`."""
    return float(np.abs(bins[:, 1] - bins[:, 2]).sum())


def _stack(data: np.ndarray) -> np.ndarray:
    return data.reshape(-1, *data.shape[-2:])


def _kept(count: int, without: Sequence[int]) -> np.ndarray:
    keep = np.ones(count, bool)
    keep[list(without)] = False
    return keep


def _dice(task: Task, found: Found, number: int, *, common: bool = False) -> np.ndarray:
    case = task.cases[number]
    labels, truth = _stack(found.labels[number]), _stack(case.truth.data)
    keep = _kept(len(truth), case.ever_painted if common else case.painted)
    return dice_by_label(labels[keep], truth[keep], task.labels)


def _common(task: Task, found: Found) -> float | None:
    case = task.cases[0]
    if not case.painted:
        return None
    left = _kept(len(case.truth.data), case.ever_painted)
    if case.truth.data[left].any(axis=(1, 2)).sum() < LEAST_COMMON:
        return None
    return float(np.nanmean(_dice(task, found, 0, common=True)))


def _calibration(task: Task, found: Found) -> dict[str, Any]:
    if found.confidence is None:
        return {"ece": None, "reliability": None}
    believed, right = [], []
    for case, labels, confidence in zip(task.cases, found.labels, found.confidence, strict=True):
        truth = _stack(case.truth.data)
        keep = _kept(len(truth), case.painted)
        believed.append(_stack(confidence)[keep].ravel())
        right.append((_stack(labels)[keep] == truth[keep]).ravel())
    bins = reliability(np.concatenate(believed), np.concatenate(right))
    return {"ece": calibration_error(bins), "reliability": bins.round(6).tolist()}


def _mean(by_label: np.ndarray) -> np.ndarray:
    """Mean over the cases (rows) of each label, NaN where no case has it."""
    there = ~np.isnan(by_label)
    sums = np.where(there, by_label, 0).sum(axis=0)
    count = there.sum(axis=0)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)
