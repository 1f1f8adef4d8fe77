"""Published figures beside ours."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ...errors import UnknownNameError
from ..benchmark.config import BenchmarkConfig
from ..benchmark.sections import PublishedConfig
from .blocks import Cell, Table
from .summary import summarise
from .tables import metrics_of, shots_of
from .tidy import Row

__all__ = ["Figure", "check_published", "published_figures", "published_tables"]

_METRICS = {
    "IoU %": ("iou", 0.01),
    "IoU": ("iou", 1.0),
    "DSC": ("dice", 1.0),
    "precision": ("precision", 1.0),
    "recall": ("recall", 1.0),
    "ASSD mm": ("assd_mm", 1.0),
    "localisation accuracy (10 px)": ("localised", 1.0),
}
"""Published name of a metric to ours, and its unit."""


@dataclass(frozen=True)
class Figure:
    """A published number, in our unit.

    Parameters
    ----------
    source, table : str
    dataset, structure, method, shots : str
        As they are called there.
    metric : str
        As we call it.
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
    """Figures of ``published.csv`` whose metrics we have too."""
    text = files("napari_fewshot.evaluation").joinpath("published.csv").read_text("utf-8")
    found = []
    for row in csv.DictReader(text.splitlines()):
        if row["metric"] in _METRICS:
            metric, unit = _METRICS[row["metric"]]
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
    """Refuse data sets and structures that no table has.

    Raises
    ------
    UnknownNameError
        Names the key.
    """
    for one in config.published:
        here = [figure for figure in published_figures() if figure.dataset == one.dataset]
        if not here:
            known = {figure.dataset for figure in published_figures()}
            raise UnknownNameError("published.dataset", one.dataset, known)
        known = {figure.structure for figure in here}
        for ours, theirs in one.structures.items():
            if theirs not in known:
                raise UnknownNameError(f"published.structures.{ours}", theirs, known)


def published_tables(config: BenchmarkConfig, rows: Sequence[Row]) -> list[Table]:
    """Make a table for each structure and metric: published figures, then ours."""
    return [
        table
        for one in config.published
        for structure in dict.fromkeys(one.structures.values())
        for table in _tables(config, one, structure, rows)
    ]


def _tables(
    config: BenchmarkConfig, given: PublishedConfig, structure: str, rows: Sequence[Row]
) -> list[Table]:
    figures = [
        figure
        for figure in published_figures()
        if figure.dataset == given.dataset and figure.structure == structure
    ]
    ours = {name for name, theirs in given.structures.items() if theirs == structure}
    # The structure "mean" stands for all of ours.
    own = [row for row in rows if "mean" in ours or row["name"] in ours]
    metrics = metrics_of(config)
    tables = []
    for name in dict.fromkeys(figure.metric for figure in figures):
        if name not in metrics or not own:
            continue
        metric = metrics[name]
        body = [
            (
                Cell(figure.method),
                Cell(figure.shots or "–"),
                Cell(_number(figure.mean, figure.sd, metric.digits)),
                Cell(f"{figure.source}, {figure.table}"),
            )
            for figure in figures
            if figure.metric == name
        ]
        for method in config.methods:
            for shot in shots_of(config):
                part = [r for r in own if r["method"] == method.name and r["shot"] == shot]
                if part:
                    text = summarise(part, metric).text(metric.digits)
                    cells = (Cell(method.name), Cell(str(shot)), Cell(text), Cell("this report"))
                    body.append(cells)
        caption = f"{given.dataset}, {structure} (ours: {', '.join(sorted(ours))}): {metric.title}"
        tables.append(Table(("method", "shots", metric.title, "source"), tuple(body), 2, caption))
    return tables


def _number(mean: float, sd: float | None, digits: int) -> str:
    return f"{mean:.{digits}f}" + (f" ± {sd:.{digits}f}" if sd is not None else "")
