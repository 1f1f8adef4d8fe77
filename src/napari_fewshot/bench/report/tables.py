"""Tables of scores: methods beside each other, structures below each other, time and memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from ..config import Shot
from .results import Metric, Results, Summary, summarise

__all__ = [
    "Best",
    "Table",
    "cost_table",
    "failure_table",
    "method_table",
    "structure_table",
    "taught_table",
]


class Best(str):
    """Text of the cell that is best of its kind; reports show it in bold."""

    __slots__ = ()
    bold = True


@dataclass(frozen=True)
class Table:
    """A table; its first ``left`` columns are words, the others numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    caption: str = ""


def method_table(results: Results, shot: Shot) -> Table:
    """Methods below each other, metrics beside each other.

    What lacks cases is averaged over others than its rivals are, so it is not compared.
    """
    names, score = results.methods(shot), results.score
    parts = [results.part(name, shot) for name in names]
    whole = [results.whole(name, shot) for name in names]
    columns = {
        metric.title: _column([summarise(part, metric) for part in parts], metric, whole)
        for metric in results.metrics.values()
    }
    reference, other = results.config.reference, _baseline_shot(results, shot)
    wrong = math.nan
    if other is not None and results.whole(reference, other):
        wrong = 1 - summarise(results.part(reference, other), score).mean
    ratios = [
        (1 - summarise(part, score).mean) / wrong if compared and wrong > 0 else math.nan
        for part, compared in zip(parts, whole, strict=True)
    ]
    shot_shown = "" if other in (shot, None) else f" ({results.shot_name(other)})"
    columns = {
        score.title: columns.pop(score.title),
        f"errors ÷ baseline{shot_shown}": [_number(ratio, 2) for ratio in ratios],
        **columns,
    }
    first = [results.marked(name, shot) for name in names]
    rows = list(zip(first, *columns.values(), strict=True))
    return Table(["method", *columns], rows, caption=results.shot_name(shot))


def structure_table(results: Results, shot: Shot) -> Table:
    """Structures below each other, methods beside each other; the score of each."""
    parts = {name: results.part(name, shot) for name in results.methods(shot)}
    parts = {name: part for name, part in parts.items() if not part.empty}
    whole = [results.whole(name, shot) for name in parts]
    rows = []
    for structure in results.scores["name"].unique():
        own = (part[part["name"] == structure] for part in parts.values())
        summaries = [summarise(part, results.score) for part in own]
        if any(one.cases for one in summaries):
            rows.append([structure, *_column(summaries, results.score, whole)])
    head = ["structure", *(results.marked(name, shot) for name in parts)]
    return Table(head, rows, caption=results.shot_name(shot))


def taught_table(results: Results, shot: Shot) -> Table:
    """Methods below each other; the score of cases that taught beside that of the others."""
    rows = []
    for name in results.methods(shot):
        part = results.part(name, shot)
        taught = part["taught"].eq(True)
        own = [summarise(part[which], results.score) for which in (taught, ~taught)]
        rows.append([results.marked(name, shot), *(one.text(results.score.digits) for one in own)])
    title = results.score.title
    head = ["method", f"{title} of cases that taught", f"{title} of the others"]
    return Table(head, rows, caption=results.shot_name(shot))


def cost_table(results: Results) -> Table:
    """Time and memory of each method; the time to predict is that of first runs."""
    rows = []
    for method in results.config.methods:
        own = [pair for pair in results.records if pair[0].method == method.name]
        own = [(unit, record) for unit, record in own if not record.error]
        if not own:
            continue
        fits = [
            {r.fit_seconds for u, r in own if u.shot == shot and r.fit_seconds}
            for shot in results.shots
        ]
        first = [r for _, r in own if r.first] or [r for _, r in own]
        slices = [r.predict_seconds / max(1, r.slices) for r in first if r.predict_seconds]
        memory = [r.memory_mb for _, r in own if r.memory_mb is not None]
        device = [r.device_memory_mb for _, r in own if r.device_memory_mb is not None]
        rows.append(
            [
                method.name,
                *(_number(median(seconds) if seconds else math.nan, 1) for seconds in fits),
                _number(median(slices) if slices else math.nan, 3),
                _number(max(memory, default=math.nan), 0),
                _number(max(device, default=math.nan), 0),
            ]
        )
    fitting = [f"fit s ({shot})" for shot in results.shots]
    return Table(["method", *fitting, "predict s a slice", "memory MB", "device MB"], rows)


def failure_table(results: Results) -> Table:
    """Why predictions failed, and how many."""
    reasons = Counter((unit.method, r.error) for unit, r in results.records if r.error)
    rows = [[method, error, str(count)] for (method, error), count in reasons.items()]
    return Table(["method", "reason", "predictions"], rows, left=2)


def _baseline_shot(results: Results, shot: Shot) -> Shot | None:
    """Shot at which the baseline is compared with: this one, else its largest one."""
    shots = [s for s in results.shots if (results.config.reference, s) in results.coverage]
    return shot if shot in shots else next(reversed(shots), None)


def _column(
    summaries: Sequence[Summary], metric: Metric, compared: Sequence[bool]
) -> Sequence[str]:
    """Cells of a metric; the best of those that are compared is bold."""
    digits = _digits(summaries, metric)
    # Nothing is nan, which equals nothing.
    means = [
        round(one.mean, digits) if fair and one.cases else math.nan
        for one, fair in zip(summaries, compared, strict=True)
    ]
    known = {mean for mean in means if not math.isnan(mean)}
    best = (max(known) if metric.higher else min(known)) if len(known) > 1 else None
    texts = [one.text(digits) for one in summaries]
    return [Best(text) if mean == best else text for text, mean in zip(texts, means, strict=True)]


def _digits(summaries: Sequence[Summary], metric: Metric) -> int:
    """Digits of a column: more where all is small, as distances of micrographs in mm are."""
    largest = max((one.mean for one in summaries if one.cases), default=0.0)
    if metric.higher or not 0 < largest < 1:
        return metric.digits
    return max(metric.digits, 1 - math.floor(math.log10(largest)))


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
