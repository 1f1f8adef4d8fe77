"""Means over cases and seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from .tidy import Row

__all__ = [
    "LABEL_METRICS",
    "LANDMARK_METRICS",
    "Metric",
    "Summary",
    "case_means",
    "in_unit",
    "summarise",
]


@dataclass(frozen=True)
class Metric:
    """A number that is compared.

    Parameters
    ----------
    title : str
    value : callable
        Its value over the rows of one case and seed; None where it is not defined.
    higher : bool
        Whether more is better.
    digits : int
    """

    title: str
    value: Callable[[Sequence[Row]], float | None]
    higher: bool = True
    digits: int = 3


def _mean_of(column: str) -> Callable[[Sequence[Row]], float | None]:
    def value(rows: Sequence[Row]) -> float | None:
        known = [float(row[column]) for row in rows if row[column] is not None]
        return fmean(known) if known else None

    return value


def _ratio_of(part: str, whole: str) -> Callable[[Sequence[Row]], float | None]:
    def value(rows: Sequence[Row]) -> float | None:
        total = sum(row[whole] for row in rows)
        return sum(row[part] for row in rows) / total if total else None

    return value


LABEL_METRICS = {
    "dice": Metric("Dice", _mean_of("dice")),
    "iou": Metric("IoU", _mean_of("iou")),
    "assd_mm": Metric("ASSD mm", _mean_of("assd_mm"), higher=False, digits=2),
    "precision": Metric("precision", _mean_of("precision")),
    "recall": Metric("recall", _mean_of("recall")),
    "absent_kept": Metric("absent slices kept", _ratio_of("empty_slices_kept", "empty_slices")),
    "false_pixels": Metric(
        "false pixels per absent slice",
        _ratio_of("false_pixels", "empty_slices"),
        higher=False,
        digits=1,
    ),
    "false_mm3": Metric(
        "false mm³ per absent slice",
        _ratio_of("false_mm3", "empty_slices"),
        higher=False,
        digits=1,
    ),
    "rand_index": Metric("Rand index", _mean_of("rand_index")),
    "adjusted_rand_index": Metric("adjusted Rand index", _mean_of("adjusted_rand_index")),
}

LANDMARK_METRICS = {
    "localised": Metric("localisation accuracy", _mean_of("localised")),
    "error_mm": Metric("radial error mm", _mean_of("error_mm"), higher=False, digits=2),
    "error_px": Metric("radial error px", _mean_of("error_px"), higher=False, digits=1),
    "found": Metric("found", _mean_of("found")),
}


def in_unit(metrics: dict[str, Metric], unit: str) -> dict[str, Metric]:
    """Name the unit of distances, where it is not mm.

    In pixels, ``false_mm3`` and ``error_mm`` say what the columns in pixels say, and are left out.
    """
    if unit == "mm":
        return metrics
    doubled = {"false_mm3", "error_mm"} if unit == "px" else {"false_mm3"}
    return {
        name: replace(metric, title=metric.title.replace("mm", unit))
        for name, metric in metrics.items()
        if name not in doubled
    }


@dataclass(frozen=True)
class Summary:
    """Mean and spread of a metric.

    Parameters
    ----------
    mean, sd : float
        nan where there is nothing, or one value.
    cases : int
    """

    mean: float
    sd: float
    cases: int

    def text(self, digits: int) -> str:
        """``0.812 ± 0.034``."""
        if math.isnan(self.mean):
            return "–"
        spread = "" if math.isnan(self.sd) else f" ± {self.sd:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


def case_means(rows: Iterable[Row], metric: Metric) -> dict[str, dict[int, float]]:
    """Value of each case and seed, where it is defined."""
    grouped: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["case"], row["seed"]].append(row)
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for (case, seed), part in grouped.items():
        value = metric.value(part)
        if value is not None:
            found[case][seed] = value
    return found


def summarise(rows: Iterable[Row], metric: Metric) -> Summary:
    """Mean over cases of their means over seeds.

    The standard deviation is that of the cases; of a single case, that of its seeds.
    """
    values = case_means(rows, metric)
    means = [fmean(seeds.values()) for seeds in values.values()]
    if not means:
        return Summary(math.nan, math.nan, 0)
    spread = means if len(means) > 1 else list(next(iter(values.values())).values())
    return Summary(fmean(means), stdev(spread) if len(spread) > 1 else math.nan, len(means))
