"""Published figures beside ours."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd

from ...errors import InputError, UnknownNameError
from ..config import BenchmarkConfig, PublishedConfig
from ..plan import select_cases
from .results import Metric, Results, summarise
from .tables import Table

__all__ = ["check_published", "published_figures", "published_tables"]

_METRICS = {
    "IoU %": "iou",
    "IoU": "iou",
    "DSC": "dice",
    "precision": "precision",
    "recall": "recall",
    "ASSD mm": "assd_mm",
    # 0.0067, said to be no better than chance, is that of the adjusted one: the plain one is far
    # above 0 for any two label maps.
    "Rand index": "adjusted_rand_index",
    "localisation accuracy (10 px)": "localised",
}
"""Published name of a metric to ours."""

_RADIUS_PX = 10.0
"""Of the published localisation accuracies."""

_MEAN = "mean"
"""Stands for all of our structures."""


@cache
def published_figures() -> pd.DataFrame:
    """Figures of ``published.csv``, their metrics and units as ours where we have them too."""
    with files("napari_fewshot.bench").joinpath("published.csv").open(encoding="utf-8") as stream:
        figures = pd.read_csv(stream, dtype={"shots": str}, keep_default_na=False, na_values=[""])
    units = np.where(figures["metric"] == "IoU %", 0.01, 1.0)
    return figures.assign(
        metric=figures["metric"].replace(_METRICS),
        mean=figures["mean"] * units,
        sd=figures["sd"] * units,
        shots=figures["shots"].fillna("–"),
    )


def check_published(config: BenchmarkConfig) -> None:
    """Refuse data sets and structures that no table has, and structures that are none of ours.

    Cases are read only where the configuration does not say how their structures are called.

    Raises
    ------
    UnknownNameError
        Names the key.
    """
    figures = published_figures()
    for one in config.published:
        here = figures[figures["dataset"] == one.dataset]
        if here.empty:
            raise UnknownNameError("published.dataset", one.dataset, set(figures["dataset"]))
        structures = set(here["structure"])
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
            yield {labels.joined.get(name, name) for name in landmarks.use}
            return
    elif labels.merge is not None:
        yield {labels.merge}
        return
    else:
        used = {one for one in labels.use or () if isinstance(one, str)}
        yield {labels.joined.get(name, name) for name in used | set(labels.names.values())}
    for case in select_cases(config).scored:
        if landmarks is not None and case.landmarks is not None:
            yield {labels.joined.get(point.name, point.name) for point in case.landmarks()}
        elif landmarks is None and case.truth is not None:
            truth = case.truth()
            values = {str(value) for value in np.unique(truth.data) if value}
            yield values | {labels.joined.get(name, name) for name in truth.names.values()}


def published_tables(results: Results) -> tuple[list[Table], list[str]]:
    """Make a table for each structure and metric: published figures, then ours.

    The second list says what cannot be compared, and why.
    """
    tables: list[Table] = []
    reasons: dict[str, None] = {}
    for one in results.config.published:
        figures = published_figures()
        figures = figures[figures["dataset"] == one.dataset]
        for structure in dict.fromkeys(one.structures.values()):
            found = figures[figures["structure"] == structure]
            for name, rows in found.groupby("metric", sort=False):
                reason = _not_compared(results, str(name))
                table = None
                if not reason:
                    table = _table(results, one, structure, rows, results.metrics[str(name)])
                    reason = f"{structure}, which has no score here"
                if table is None:
                    reasons[f"Published, but not shown: {reason}."] = None
                else:
                    tables.append(table)
    return tables, list(reasons)


def _not_compared(results: Results, name: str) -> str:
    """Why a published metric does not stand beside ours; empty where it does."""
    radius = results.config.metrics.radius_px
    if name not in results.metrics:
        ours = name in _METRICS.values()
        return f"{name}, which {'is of another task' if ours else 'is not taken here'}"
    if name == "localised" and radius != _RADIUS_PX:
        return (
            f"localisation accuracy within {_RADIUS_PX:g} pixels; here it is that within {radius:g}"
        )
    if name == "assd_mm" and results.unit != "mm":
        return f"ASSD in mm; here it is in {results.unit}"
    return ""


def _table(
    results: Results,
    given: PublishedConfig,
    structure: str,
    figures: pd.DataFrame,
    metric: Metric,
) -> Table | None:
    """None where nothing of ours is scored."""
    digits = metric.digits
    ours = sorted(name for name, theirs in given.structures.items() if theirs == structure)
    rows = [
        [
            one.method,
            one.shots,
            _number(one.mean, one.sd, metric.digits),
            f"{one.source}, {one.table}",
        ]
        for one in figures.itertuples()
    ]
    published = len(rows)
    for method in (method.name for method in results.config.methods):
        for shot in results.shots:
            part = results.part(method, shot)
            part = part if _MEAN in ours else part[part["name"].isin(ours)]
            if not part.empty:
                text = summarise(part, metric).text(digits)
                rows.append([results.marked(method, shot), str(shot), text, "this report"])
    if len(rows) == published:
        return None
    caption = f"{given.dataset}, {structure} (ours: {', '.join(ours)}): {metric.title}"
    return Table(["method", "shots", metric.title, "source"], rows, 2, caption)


def _number(mean: float, sd: float, digits: int) -> str:
    return f"{mean:.{digits}f}" + ("" if np.isnan(sd) else f" ± {sd:.{digits}f}")
