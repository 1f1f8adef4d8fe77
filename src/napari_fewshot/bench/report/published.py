"""Published figures beside ours."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from ...errors import InputError, UnknownNameError
from ..config import BenchmarkConfig, PublishedConfig
from ..plan import select_cases
from .blocks import Block, Cell, Table, Text
from .results import Results
from .summary import Metric, summarise
from .tables import metrics_of, shots_of

__all__ = ["Figure", "check_published", "published_blocks", "published_figures"]

_METRICS = {
    "IoU %": ("iou", 0.01),
    "IoU": ("iou", 1.0),
    "DSC": ("dice", 1.0),
    "precision": ("precision", 1.0),
    "recall": ("recall", 1.0),
    "ASSD mm": ("assd_mm", 1.0),
    "Rand index": ("rand_index", 1.0),
    "localisation accuracy (10 px)": ("localised", 1.0),
}
"""Published name of a metric to ours, and its unit."""

_RADIUS_PX = 10.0
"""Of the published localisation accuracies."""

_MEAN = "mean"
"""Stands for all of our structures."""


@dataclass(frozen=True)
class Figure:
    """A published number, in our unit.

    Parameters
    ----------
    source, table : str
    dataset, structure, method, shots : str
        As they are called there.
    metric : str
        As we call it, where we have it too.
    mean : float
    sd : float, optional
    """

    source: str
    table: str
    dataset: str
    structure: str
    method: str
    shots: str
    metric: str
    mean: float
    sd: float | None


@cache
def published_figures() -> tuple[Figure, ...]:
    """Figures of ``published.csv``."""
    text = files("napari_fewshot.bench").joinpath("published.csv").read_text("utf-8")
    found = []
    for row in csv.DictReader(text.splitlines()):
        metric, unit = _METRICS.get(row["metric"], (row["metric"], 1.0))
        sd = float(row["sd"]) * unit if row["sd"] else None
        found.append(
            Figure(
                source=row["source"],
                table=row["table"],
                dataset=row["dataset"],
                structure=row["structure"],
                method=row["method"],
                shots=row["shots"],
                metric=metric,
                mean=float(row["mean"]) * unit,
                sd=sd,
            )
        )
    return tuple(found)


def check_published(config: BenchmarkConfig) -> None:
    """Refuse data sets and structures that no table has, and structures that are none of ours.

    Cases are read only where the configuration does not say how their structures are called.

    Raises
    ------
    UnknownNameError
        Names the key.
    """
    for one in config.published:
        here = [figure for figure in published_figures() if figure.dataset == one.dataset]
        if not here:
            datasets = {figure.dataset for figure in published_figures()}
            raise UnknownNameError("published.dataset", one.dataset, datasets)
        structures = {figure.structure for figure in here}
        for ours, theirs in one.structures.items():
            if theirs not in structures:
                raise UnknownNameError(f"published.structures.{ours}", theirs, structures)
    wanted = [ours for one in config.published for ours in one.structures if ours != _MEAN]
    known: set[str] = set()
    try:
        for names in _names(config):
            known |= names
            if known.issuperset(wanted):
                return
    except InputError:
        return  # what is wrong with the data is said where cases are looked for
    unknown = next(ours for ours in wanted if ours not in known)
    raise UnknownNameError("published.structures", unknown, {*known, _MEAN})


def _names(config: BenchmarkConfig) -> Iterator[set[str]]:
    """Names of our structures: those of the configuration, then those of each case."""
    labels, landmarks = config.labels, config.landmarks
    if landmarks is not None:
        if landmarks.use is not None:
            yield set(landmarks.use)
            return
    elif labels.merge is not None:
        yield {labels.merge}
        return
    else:
        used = {one for one in labels.use or () if isinstance(one, str)}
        yield used | set(labels.names.values())
    for case in select_cases(config).scored:
        if landmarks is not None and case.landmarks is not None:
            yield {point.name for point in case.landmarks()}
        elif landmarks is None and case.truth is not None:
            truth = case.truth()
            values = {str(value) for value in np.unique(truth.data) if value}
            yield values | set(truth.names.values())


def published_blocks(results: Results) -> list[Block]:
    """Make a table for each structure and metric: published figures, then ours.

    What cannot be compared is named, and why.
    """
    metrics = metrics_of(results.config, results.unit)
    tables: list[Block] = []
    reasons: list[str] = []
    for one in results.config.published:
        for structure in dict.fromkeys(one.structures.values()):
            found = [
                figure
                for figure in published_figures()
                if figure.dataset == one.dataset and figure.structure == structure
            ]
            for name in dict.fromkeys(figure.metric for figure in found):
                reason = _not_compared(results, name, metrics)
                if reason:
                    reasons.append(reason)
                    continue
                figures = [figure for figure in found if figure.metric == name]
                table = _table(results, one, structure, figures, metrics[name])
                if table is None:
                    reasons.append(
                        f"Published, but not shown: {structure}, which has no score here."
                    )
                else:
                    tables.append(table)
    return tables + ([Text(tuple(dict.fromkeys(reasons)), items=True)] if reasons else [])


def _not_compared(results: Results, name: str, metrics: Mapping[str, Metric]) -> str:
    """Why a published metric does not stand beside ours; empty where it does."""
    radius = results.config.metrics.radius_px
    if name not in metrics:
        ours = {metric for metric, _ in _METRICS.values()}
        why = "is of another task" if name in ours else "is not taken here"
        return f"Published, but not shown: {name}, which {why}."
    if name == "localised" and radius != _RADIUS_PX:
        return (
            f"Published, but not shown: localisation accuracy within {_RADIUS_PX:g} pixels; "
            f"here it is that within {radius:g}."
        )
    if name == "assd_mm" and results.unit != "mm":
        return f"Published, but not shown: ASSD in mm; here it is in {results.unit}."
    return ""


def _table(
    results: Results,
    given: PublishedConfig,
    structure: str,
    figures: list[Figure],
    metric: Metric,
) -> Table | None:
    ours = {name for name, theirs in given.structures.items() if theirs == structure}
    body = [
        (
            Cell(figure.method),
            Cell(figure.shots or "–"),
            Cell(_number(figure.mean, figure.sd, metric.digits)),
            Cell(f"{figure.source}, {figure.table}"),
        )
        for figure in figures
    ]
    published = len(body)
    for method in results.config.methods:
        for shot in shots_of(results.config):
            part = results.part(method.name, shot)
            part = part if _MEAN in ours else [row for row in part if row["name"] in ours]
            if part:
                text = summarise(part, metric).text(metric.digits)
                name = results.marked(method.name, shot)
                body.append((Cell(name), Cell(str(shot)), Cell(text), Cell("this report")))
    if len(body) == published:
        return None
    caption = f"{given.dataset}, {structure} (ours: {', '.join(sorted(ours))}): {metric.title}"
    return Table(("method", "shots", metric.title, "source"), tuple(body), 2, caption)


def _number(mean: float, sd: float | None, digits: int) -> str:
    return f"{mean:.{digits}f}" + (f" ± {sd:.{digits}f}" if sd is not None else "")
