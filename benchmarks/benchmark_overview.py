"""One table over several benchmarks: a row for each data set and number of templates.

    python benchmarks/benchmark_overview.py FOLDER [FOLDER ...] [--methods NAME ...]
                                            [--compare A B]

FOLDER is what ``napari-fewshot benchmark`` wrote. Numbers are the means of its report: Dice of
label maps, localisation accuracy (and radial error in pixels) of landmarks. What lacks cases says
how many it has, and is not compared. ``--compare`` adds how often the first of two methods is
better, by cases and by structures.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from napari_fewshot.bench.report.results import (
    LABEL_METRICS,
    LANDMARK_METRICS,
    Coverage,
    Metric,
    summarise,
)


class Results:
    """Rows of one benchmark."""

    def __init__(self, folder: Path) -> None:
        found = json.loads((folder / "results.json").read_text())
        self.name = folder.name
        self.rows = pd.DataFrame(found["rows"])
        self.landmarks = "localised" in self.rows
        self.methods = [method["name"] for method in found["config"]["methods"]]
        # Results that were written before this was counted have none.
        self.coverage = {
            (one["method"], one["shot"]): Coverage(one["done"], one["planned"])
            for one in found.get("coverage", ())
        }
        shots = set() if self.rows.empty else set(self.rows["shot"])
        self.shots = sorted((s for s in shots if s != "all"), key=int) + ["all"] * ("all" in shots)

    def part(self, method: str, shot: Any) -> pd.DataFrame:
        """Rows of a method at a number of templates."""
        return self.rows[(self.rows["method"] == method) & (self.rows["shot"] == shot)]

    def lacking(self, method: str, shot: Any) -> str:
        """``11 of 12``, where a method lacks cases or seeds; else nothing."""
        found = self.coverage.get((method, shot))
        return "" if found is None or found.whole else f"{found.done} of {found.planned}"

    def mean(self, method: str, shot: Any, metric: Metric) -> float:
        """Mean of a metric as the report has it; nan without rows."""
        return summarise(self.part(method, shot), metric).mean


def _table(
    results: Sequence[Results], methods: Sequence[str], metrics: Sequence[Metric]
) -> list[str]:
    lines = [f"| | templates | {' | '.join(methods)} |", "|---|--:|" + "--:|" * len(methods)]
    columns: dict[str, list[float]] = {method: [] for method in methods}
    for one in results:
        for shot in one.shots:
            values = {method: one.mean(method, shot, metrics[0]) for method in methods}
            if all(map(math.isnan, values.values())):
                continue
            lacking = {method: one.lacking(method, shot) for method in methods}
            known = [
                round(value, metrics[0].digits)
                for method, value in values.items()
                if not math.isnan(value) and not lacking[method]
            ]
            cells = []
            for method, value in values.items():
                if math.isnan(value):
                    cells.append("–")
                    continue
                text = f"{value:.{metrics[0].digits}f}"
                best = len(known) > 1 and round(value, metrics[0].digits) == max(known)
                text = f"**{text}**" if best and not lacking[method] else text
                for more in metrics[1:]:
                    text += f" ({one.mean(method, shot, more):.{more.digits}f})"
                cells.append(f"{text} [{lacking[method]}]" if lacking[method] else text)
            lines.append(f"| {one.name} | {shot} | {' | '.join(cells)} |")
            for method, value in values.items():
                columns[method].append(math.nan if lacking[method] else value)
    whole = {m: v for m, v in columns.items() if v and sum(map(math.isnan, v)) == 0}
    means = [f"{fmean(whole[m]):.3f}" if m in whole else "" for m in methods]
    return [*lines, f"| **mean** | | {' | '.join(means)} |"]


def _compared(results: Sequence[Results], first: str, second: str) -> list[str]:
    lines = [
        f"| {first} − {second} | templates | mean | cases better / worse | "
        "structures better / worse |",
        "|---|--:|--:|--:|--:|",
    ]
    for one in results:
        metric = LANDMARK_METRICS["localised"] if one.landmarks else LABEL_METRICS["dice"]
        for shot in one.shots:
            a, b = one.part(first, shot), one.part(second, shot)
            if a.empty or b.empty:
                continue
            if one.lacking(first, shot) or one.lacking(second, shot):
                lines.append(f"| {one.name} | {shot} | not complete | – | – |")
                continue
            better = _wins(a, b, metric, "case"), _wins(a, b, metric, "name")
            worse = _wins(b, a, metric, "case"), _wins(b, a, metric, "name")
            change = summarise(a, metric).mean - summarise(b, metric).mean
            lines.append(
                f"| {one.name} | {shot} | {change:+.3f} | {better[0]} / {worse[0]} | "
                f"{better[1]} / {worse[1]} |"
            )
    return lines


def _wins(first: pd.DataFrame, second: pd.DataFrame, metric: Metric, of: str) -> int:
    """Cases, or structures, that the first method has a higher score of."""
    means = [
        {value: summarise(part, metric).mean for value, part in scores.groupby(of)}
        for scores in (first, second)
    ]
    return sum(means[0][value] > means[1][value] for value in means[0] if value in means[1])


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="these, in this order")
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"))
    options = parser.parse_args()
    results = [Results(folder) for folder in options.folders]
    labels = [one for one in results if not one.landmarks]
    points = [one for one in results if one.landmarks]
    kinds = (
        (labels, [LABEL_METRICS["dice"]]),
        (points, [LANDMARK_METRICS["localised"], LANDMARK_METRICS["error_px"]]),
    )
    for part, metrics in kinds:
        methods = list(dict.fromkeys(m for one in part for m in one.methods))
        chosen = [m for m in options.methods or methods if m in methods]
        if part:
            titles = f"{metrics[0].title}" + "".join(f" ({m.title})" for m in metrics[1:])
            print(f"{titles}\n\n" + "\n".join(_table(part, chosen, metrics)) + "\n")
    if options.compare:
        print("\n".join(_compared(results, *options.compare)))


if __name__ == "__main__":
    main()
