"""The scores that a report compares: one tidy table, how complete it is, and its means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from ...errors import FewShotError
from ..config import BenchmarkConfig, MethodConfig, Shot
from ..datasets import Case
from ..plan import Selection, Unit
from ..records import Record
from ..runner import Benchmark
from ..scoring import LABEL_COLUMNS, LANDMARK_COLUMNS

__all__ = [
    "LABEL_METRICS",
    "LANDMARK_METRICS",
    "Coverage",
    "Metric",
    "Results",
    "Summary",
    "metrics_of",
    "summarise",
]

LengthUnit = Literal["mm", "px", "mm or px"]
_KEYS = ("method", "shot", "seed", "case", "label", "name")


@dataclass(frozen=True)
class Metric:
    """A number that is compared: the mean of a column, or its sum over that of another one.

    ``higher`` says whether more is better.
    """

    title: str
    column: str
    per: str = ""
    higher: bool = True
    digits: int = 3

    def values(
        self, scores: pd.DataFrame, by: Sequence[str] = ("case", "seed")
    ) -> pd.Series[float]:
        """Its value in each group of rows, where it is defined."""
        keys = [scores[key] for key in by]
        columns = [self.column, self.per] if self.per else [self.column]
        groups = scores[columns].astype(float).groupby(keys, sort=False)
        if not self.per:
            return groups[self.column].mean().dropna()
        sums = groups.sum()
        return (sums[self.column] / sums[self.per]).where(sums[self.per] > 0).dropna()

    def of(self, rows: Sequence[Mapping[str, Any]]) -> float:
        """Value over the rows of one case and seed; nan where it is not defined."""
        return summarise(pd.DataFrame(rows).assign(case="", seed=0), self).mean


LABEL_METRICS = {
    "dice": Metric("Dice", "dice"),
    "iou": Metric("IoU", "iou"),
    "assd_mm": Metric("ASSD mm", "assd_mm", higher=False, digits=2),
    "precision": Metric("precision", "precision"),
    "recall": Metric("recall", "recall"),
    "absent_kept": Metric("absent slices kept", "empty_slices_kept", "empty_slices"),
    "false_pixels": Metric(
        "false pixels per absent slice", "false_pixels", "empty_slices", higher=False, digits=1
    ),
    "false_mm3": Metric(
        "false mm³ per absent slice", "false_mm3", "empty_slices", higher=False, digits=1
    ),
    "rand_index": Metric("Rand index", "rand_index"),
    "adjusted_rand_index": Metric("adjusted Rand index", "adjusted_rand_index"),
}

LANDMARK_METRICS = {
    "localised": Metric("localisation accuracy", "localised"),
    "error_mm": Metric("radial error mm", "error_mm", higher=False, digits=2),
    "error_px": Metric("radial error px", "error_px", higher=False, digits=1),
    "found": Metric("found", "found"),
}


def metrics_of(config: BenchmarkConfig, unit: LengthUnit = "mm") -> dict[str, Metric]:
    """Metrics of the task, the first one is the score; titles name the unit of distances.

    In pixels, ``false_mm3`` and ``error_mm`` say what the columns in pixels say, and are left out.
    """
    metrics = LABEL_METRICS if config.landmarks is None else LANDMARK_METRICS
    doubled = {"mm": set(), "px": {"false_mm3", "error_mm"}, "mm or px": {"false_mm3"}}[unit]
    return {
        name: replace(metric, title=metric.title.replace("mm", unit))
        for name, metric in metrics.items()
        if name not in doubled
    }


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation of a metric; nan where there is nothing, or one value."""

    mean: float
    sd: float
    cases: int

    def text(self, digits: int) -> str:
        """``0.812 ± 0.034``."""
        if math.isnan(self.mean):
            return "–"
        spread = "" if math.isnan(self.sd) else f" ± {self.sd:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


def summarise(scores: pd.DataFrame, metric: Metric) -> Summary:
    """Mean over cases of their means over seeds.

    The standard deviation is that of the cases; of a single case, that of its seeds.
    """
    if scores.empty:
        return Summary(math.nan, math.nan, 0)
    values = metric.values(scores)
    cases = values.groupby("case", sort=False).mean()
    spread = cases if len(cases) > 1 else values
    return Summary(float(cases.mean()), float(spread.std()), len(cases))


@dataclass(frozen=True)
class Coverage:
    """How many of the pairs of a case and a seed have scores."""

    done: int
    planned: int

    @property
    def whole(self) -> bool:
        """Whether all have."""
        return self.done == self.planned


@dataclass(frozen=True, eq=False)
class Results:
    """What is finished of a benchmark."""

    benchmark: Benchmark

    @property
    def config(self) -> BenchmarkConfig:
        """What was compared."""
        return self.benchmark.config

    @cached_property
    def records(self) -> list[tuple[Unit, Record]]:
        """Finished units, those that failed too."""
        return self.benchmark.records.all(self.benchmark.units)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """A row for each method, shot, seed, case and structure; what failed has none."""
        columns = LABEL_COLUMNS if self.config.landmarks is None else LANDMARK_COLUMNS
        taught = ["taught"] if self.config.dataset.test == "all" else []
        return pd.DataFrame(self.rows, columns=[*_KEYS, *columns, *taught])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The same as plain values."""
        return [
            {"method": unit.method, "shot": unit.shot, "seed": unit.seed, "case": unit.case, **row}
            for unit, record in self.records
            for row in record.rows
        ]

    @property
    def taught(self) -> list[str]:
        """Scored cases that templates are of as well; none where this was not asked for."""
        if self.config.dataset.test != "all":
            return []
        found = {unit.case for unit, record in self.records if unit.case in record.painted}
        return sorted(found)

    @cached_property
    def coverage(self) -> dict[tuple[str, Shot], Coverage]:
        """Of each method and shot that is planned."""
        scored = {unit for unit, record in self.records if not record.error}
        groups: dict[tuple[str, Shot], list[bool]] = {}
        for unit in self.benchmark.units:
            groups.setdefault((unit.method, unit.shot), []).append(unit in scored)
        return {key: Coverage(sum(found), len(found)) for key, found in groups.items()}

    def of_first_seed(self, method: MethodConfig) -> list[tuple[Unit, Record]]:
        """What pictures are made of."""
        wanted = method.name, self.config.seeds_of(method)[0]
        return [
            (unit, record)
            for unit, record in self.records
            if (unit.method, unit.seed) == wanted and not record.error
        ]

    def largest_shot(self, pairs: Sequence[tuple[Unit, Record]]) -> list[Shot]:
        """Largest shot of some records; none of none."""
        there = {unit.shot for unit, _ in pairs}
        return [shot for shot in self.shots if shot in there][-1:]

    @cached_property
    def unit(self) -> LengthUnit:
        """What distances are in."""
        return _length_unit(self.benchmark.selection)

    @property
    def metrics(self) -> dict[str, Metric]:
        """Metrics of the task; the first one is the score."""
        return metrics_of(self.config, self.unit)

    @property
    def score(self) -> Metric:
        """The metric that counts most."""
        return next(iter(self.metrics.values()))

    @property
    def shots(self) -> list[Shot]:
        """All that are planned: numbers in their order, then ``all``."""
        found = {shot for _, shot in self.coverage}
        return sorted(found, key=lambda shot: (shot == "all", 0 if shot == "all" else shot))

    @property
    def scored_shots(self) -> list[Shot]:
        """Those with any score."""
        return [shot for shot in self.shots if (self.scores["shot"] == shot).any()]

    def shot_name(self, shot: Shot) -> str:
        """``3 template slices``, ``1 template case``, ``all templates``."""
        if shot == "all":
            within = self.config.templates.scope == "within"
            return "all other slices (five folds)" if within else "all templates"
        what = "case" if self.config.templates.choice == "cases" else "slice"
        return f"{shot} template {what}{'s' * (shot != 1)}"

    def part(self, method: str, shot: Shot) -> pd.DataFrame:
        """Scores of a method and shot."""
        return self.scores[(self.scores["method"] == method) & (self.scores["shot"] == shot)]

    def methods(self, shot: Shot) -> list[str]:
        """Methods that are planned for a shot."""
        names = (method.name for method in self.config.methods)
        return [name for name in names if (name, shot) in self.coverage]

    def whole(self, method: str, shot: Shot) -> bool:
        """Whether a method has all scores that are planned for a shot."""
        found = self.coverage.get((method, shot))
        return found is not None and found.whole

    def marked(self, method: str, shot: Shot) -> str:
        """Name of a method, with what it lacks."""
        found = self.coverage.get((method, shot))
        if found is None or found.whole:
            return method
        return f"{method} ({found.done} of {found.planned} cases × seeds)"


def _length_unit(selection: Selection) -> LengthUnit:
    """Find out whether images say how large their pixels are; the first of each kind is read.

    Sizes of 1 without an orientation are what a file without sizes is read as. Where they are
    meant all the same, millimetres and pixels are the same numbers.
    """
    kinds: dict[str, Case] = {}
    for case in selection.scored:
        # A folder, such as a DICOM series, has no ending.
        whole = case.files and case.files[0].is_file()
        kinds.setdefault(case.files[0].suffix if whole else "", case)
    found = set()
    for case in kinds.values():
        try:
            image = case.image()
        except (FewShotError, OSError):
            return "mm or px"
        found.add(image.affine is not None or any(size != 1 for size in image.spacing))
    if len(found) != 1:
        return "mm or px"
    return "mm" if found.pop() else "px"
