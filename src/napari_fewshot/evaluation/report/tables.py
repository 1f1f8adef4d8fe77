"""Tables of scores: methods beside each other, structures below each other, time and memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from ..benchmark.config import BenchmarkConfig, Shot
from ..benchmark.plan import Unit
from ..benchmark.records import Record
from .blocks import Cell, Table
from .summary import LABEL_METRICS, LANDMARK_METRICS, Metric, Summary, summarise
from .tidy import Row

__all__ = ["cost_table", "method_table", "metrics_of", "named_shot", "shots_of", "structure_table"]


def metrics_of(config: BenchmarkConfig) -> dict[str, Metric]:
    """Metrics of the task; the first one is the score."""
    return LABEL_METRICS if config.landmarks is None else LANDMARK_METRICS


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


def method_table(config: BenchmarkConfig, rows: Sequence[Row], shot: Shot) -> Table:
    """Methods below each other, metrics beside each other."""
    metrics = metrics_of(config)
    names = _methods_with(config, rows, shot)
    parts = {name: _part(rows, name, shot) for name in names}
    columns = [
        _column([summarise(parts[name], metric) for name in names], metric)
        for metric in metrics.values()
    ]
    score = next(iter(metrics.values()))
    reference = summarise(_part(rows, config.reference, shot), score).mean
    errors = [_ratio(summarise(parts[name], score).mean, reference) for name in names]
    columns.insert(1, [Cell("–" if math.isnan(e) else f"{e:.2f}") for e in errors])
    titles = [metric.title for metric in metrics.values()]
    titles.insert(1, "errors ÷ baseline")
    body = tuple(
        (Cell(name), *(column[number] for column in columns)) for number, name in enumerate(names)
    )
    return Table(("method", *titles), body, caption=named_shot(config, shot))


def structure_table(config: BenchmarkConfig, rows: Sequence[Row], shot: Shot) -> Table:
    """Structures below each other, methods beside each other; the score of each."""
    score = next(iter(metrics_of(config).values()))
    names = _methods_with(config, rows, shot)
    structures = list(dict.fromkeys(row["name"] for row in rows))
    body = []
    for structure in structures:
        summaries = [
            summarise((r for r in _part(rows, name, shot) if r["name"] == structure), score)
            for name in names
        ]
        if any(one.cases for one in summaries):
            body.append((Cell(structure), *_column(summaries, score)))
    return Table(("structure", *names), tuple(body), caption=named_shot(config, shot))


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


def _part(rows: Sequence[Row], method: str, shot: Shot) -> list[Row]:
    return [row for row in rows if row["method"] == method and row["shot"] == shot]


def _methods_with(config: BenchmarkConfig, rows: Sequence[Row], shot: Shot) -> list[str]:
    present = {row["method"] for row in rows if row["shot"] == shot}
    return [method.name for method in config.methods if method.name in present]


def _column(summaries: Sequence[Summary], metric: Metric) -> list[Cell]:
    def rounded(one: Summary) -> float:
        return one.mean if math.isnan(one.mean) else round(one.mean, metric.digits)

    means = [rounded(one) for one in summaries if not math.isnan(one.mean)]
    best = (max(means) if metric.higher else min(means)) if len(set(means)) > 1 else None
    # Nothing is nan, which equals nothing.
    return [Cell(one.text(metric.digits), rounded(one) == best) for one in summaries]


def _ratio(score: float, reference: float) -> float:
    """Share that is wrong, in relation to that of the baseline."""
    if math.isnan(score) or math.isnan(reference) or reference >= 1:
        return math.nan
    return (1 - score) / (1 - reference)
