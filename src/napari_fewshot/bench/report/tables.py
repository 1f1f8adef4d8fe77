"""Tables of scores: methods beside each other, structures below each other, time and memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from ..config import BenchmarkConfig, Shot
from ..plan import Unit
from ..records import Record
from .blocks import Cell, Table
from .results import LengthUnit, Results
from .summary import LABEL_METRICS, LANDMARK_METRICS, Metric, Summary, in_unit, summarise

__all__ = ["cost_table", "method_table", "metrics_of", "named_shot", "shots_of", "structure_table"]


def metrics_of(config: BenchmarkConfig, unit: LengthUnit = "mm") -> dict[str, Metric]:
    """Metrics of the task; the first one is the score."""
    return in_unit(LABEL_METRICS if config.landmarks is None else LANDMARK_METRICS, unit)


def shots_of(config: BenchmarkConfig) -> list[Shot]:
    """All shots, numbers in their order, then ``all``."""
    found = {shot for method in config.methods for shot in config.shots_of(method)}
    return sorted(found, key=lambda shot: (shot == "all", 0 if shot == "all" else shot))


def named_shot(config: BenchmarkConfig, shot: Shot) -> str:
    """``3 template slices``, ``1 template case``, ``all``."""
    if shot == "all":
        within = config.templates.scope == "within"
        return "all other slices (five folds)" if within else "all templates"
    what = "case" if config.templates.choice == "cases" else "slice"
    return f"{shot} template {what}{'s' * (shot != 1)}"


def method_table(results: Results, shot: Shot) -> Table:
    """Methods below each other, metrics beside each other.

    What lacks cases is averaged over others than its rivals are, so it is not compared.
    """
    config, names = results.config, results.methods(shot)
    metrics = metrics_of(config, results.unit)
    parts = [results.part(name, shot) for name in names]
    whole = [results.whole(name, shot) for name in names]
    columns = [
        _column([summarise(part, metric) for part in parts], metric, whole)
        for metric in metrics.values()
    ]
    score = next(iter(metrics.values()))
    other = _baseline_shot(results, shot)
    reference = math.nan
    if other is not None and results.whole(config.reference, other):
        reference = summarise(results.part(config.reference, other), score).mean
    errors = [
        _ratio(summarise(part, score).mean, reference) if compared else math.nan
        for part, compared in zip(parts, whole, strict=True)
    ]
    columns.insert(1, [Cell("–" if math.isnan(e) else f"{e:.2f}") for e in errors])
    titles = [metric.title for metric in metrics.values()]
    with_what = "" if other in (shot, None) else f" ({named_shot(config, other)})"
    titles.insert(1, f"errors ÷ baseline{with_what}")
    body = tuple(
        (Cell(results.marked(name, shot)), *(column[number] for column in columns))
        for number, name in enumerate(names)
    )
    return Table(("method", *titles), body, caption=named_shot(config, shot))


def structure_table(results: Results, shot: Shot) -> Table:
    """Structures below each other, methods beside each other; the score of each."""
    config = results.config
    score = next(iter(metrics_of(config).values()))
    names = [name for name in results.methods(shot) if results.part(name, shot)]
    whole = [results.whole(name, shot) for name in names]
    structures = list(dict.fromkeys(row["name"] for row in results.rows))
    body = []
    for structure in structures:
        summaries = [
            summarise((r for r in results.part(name, shot) if r["name"] == structure), score)
            for name in names
        ]
        if any(one.cases for one in summaries):
            body.append((Cell(structure), *_column(summaries, score, whole)))
    head = ("structure", *(results.marked(name, shot) for name in names))
    return Table(head, tuple(body), caption=named_shot(config, shot))


def cost_table(config: BenchmarkConfig, pairs: Sequence[tuple[Unit, Record]]) -> Table:
    """Time and memory of each method; the time to predict is that of first runs."""
    shots = shots_of(config)
    body = []
    for method in config.methods:
        own = [(unit, r) for unit, r in pairs if unit.method == method.name and not r.error]
        if not own:
            continue
        fits = [{r.fit_seconds for u, r in own if u.shot == s and r.fit_seconds} for s in shots]
        first = [r for _, r in own if r.first] or [r for _, r in own]
        slices = [r.predict_seconds / max(1, r.slices) for r in first if r.predict_seconds]
        body.append(
            (
                Cell(method.name),
                *(Cell(f"{median(seconds):.1f}" if seconds else "–") for seconds in fits),
                Cell(f"{median(slices):.3f}" if slices else "–"),
                Cell(_largest(r.memory_mb for _, r in own)),
                Cell(_largest(r.device_memory_mb for _, r in own)),
            )
        )
    fitting = (f"fit s ({shot})" for shot in shots)
    return Table(("method", *fitting, "predict s a slice", "memory MB", "device MB"), tuple(body))


def _largest(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):.0f}" if known else "–"


def _baseline_shot(results: Results, shot: Shot) -> Shot | None:
    """Shot at which the baseline is compared with: this one, else its largest one."""
    shots = [
        s for s in shots_of(results.config) if (results.config.reference, s) in results.coverage
    ]
    return shot if shot in shots else next(reversed(shots), None)


def _column(summaries: Sequence[Summary], metric: Metric, compared: Sequence[bool]) -> list[Cell]:
    """Cells of a metric; the best of those that are compared is bold."""
    digits = _digits(summaries, metric)

    def rounded(one: Summary) -> float:
        return one.mean if math.isnan(one.mean) else round(one.mean, digits)

    pairs = list(zip(summaries, compared, strict=True))
    means = [rounded(one) for one, fair in pairs if fair and not math.isnan(one.mean)]
    best = (max(means) if metric.higher else min(means)) if len(set(means)) > 1 else None
    # Nothing is nan, which equals nothing.
    return [Cell(one.text(digits), fair and rounded(one) == best) for one, fair in pairs]


def _digits(summaries: Sequence[Summary], metric: Metric) -> int:
    """Digits of a column: more where all is small, as distances of micrographs in mm are."""
    largest = max((one.mean for one in summaries if not math.isnan(one.mean)), default=0.0)
    if metric.higher or not 0 < largest < 1:
        return metric.digits
    return max(metric.digits, 1 - math.floor(math.log10(largest)))


def _ratio(score: float, reference: float) -> float:
    """Share that is wrong, in relation to that of the baseline."""
    if math.isnan(score) or math.isnan(reference) or reference >= 1:
        return math.nan
    return (1 - score) / (1 - reference)
