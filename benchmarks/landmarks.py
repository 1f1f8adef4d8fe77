"""Distances of landmarks that were found in real images, beside simpler ways to place them.

    python benchmarks/landmarks.py DATA --results landmarks.jsonl [--tasks 'spine*' ...]
                                   [--shots 3 ...] [--methods default ...] [--seeds 0 1] [--quick]
                                   [--hours H] [--tag TEXT] [--pictures DIR]
    python benchmarks/landmarks.py --report --results landmarks.jsonl --page docs/accuracy.md
                                   [--tag TEXT] [--before TEXT]

DATA is a folder with the sets of ``landmarks_tasks.py``. Seed 0 learns from the first images,
others from others out of the same pool; what is scored is always the same. A row of ``--results``
(JSON lines) is written as soon as it is there; what is there for ``--tag`` (default: version and
commit of the package) is not run again. ``--quick`` has three templates and one seed, and leaves
out the 45 and 68 points.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from landmarks_methods import KNOWN, METHODS, REFERENCES, UNSEEDED, absent, errors, given, run
from landmarks_pictures import draw_cases
from landmarks_tasks import Example, tasks
from page import write_sections
from results import Results, Row, version

from napari_fewshot.landmarks.scores import LEAST_TEMPLATES

LONG = ("errors", "scores")
QUICK = ("spine8-3", "mice12-3", "torso-3", "joint-3")


def measure(options: argparse.Namespace, results: Results, tag: str) -> int:
    """Add the rows that are missing; return how many failed."""
    loaders = tasks(options.data)
    names = [name for name in loaders if _wanted(name, options)]
    end, failed = time.monotonic() + 3600 * options.hours, 0
    for seed in options.seeds[:1] if options.quick else options.seeds:
        for name in names:
            for method in options.methods:
                if seed != options.seeds[0] and (method in UNSEEDED and name.endswith("-10")):
                    continue
                if results.has(name, method, seed, tag):
                    continue
                if time.monotonic() > end:
                    print("stopped; the same command goes on", flush=True)
                    return failed
                try:
                    row = one_row(loaders[name](seed), name, method, seed, tag, options.pictures)
                except Exception as error:  # the other rows are still worth their time
                    failed += 1
                    what = f"{type(error).__name__}: {error}"
                    print(f"failed: {name}, {method}: {what}", file=sys.stderr, flush=True)
                    continue
                results.add(row)
                print(json.dumps({k: v for k, v in row.items() if k not in LONG}), flush=True)
    return failed


def one_row(
    task: Any, name: str, method: str, seed: int, tag: str, pictures: Path | None = None
) -> Row:
    """Solve a task and count its errors; of the default, with the first seed, draw some cases."""
    found = run(task, method, seed)
    others = [without_given(case, method) for case in task.cases]
    each = [errors(c, p, task.unit) for c, p in zip(others, found.places, strict=True)]
    if pictures is not None and method == "default" and seed == 0:
        drawn = [e for e, _ in each]
        draw_cases(pictures / f"{name}.png", task.cases, found.places, drawn, task.unit)
    gone = [absent(c, task, p) for c, p in zip(task.cases, found.places, strict=True)]
    row: Row = {"task": name, "method": method, "seed": seed, "tag": tag, "unit": task.unit}
    row |= {"limits": list(task.limits), "errors": [e for e, _ in each]}
    row |= {"scores": [s for _, s in each], "absent": [sum(x) for x in zip(*gone, strict=True)]}
    row |= {"fit_seconds": round(found.fit_seconds, 2), "seconds": round(found.seconds, 2)}
    return row | summary([row])


def without_given(case: Example, method: str) -> Example:
    """The case without the points that the method was told."""
    told = {point.name for point in given(case, KNOWN.get(method, 0))}
    return replace(case, points=tuple(p for p in case.points if p.name not in told))


def summary(rows: Sequence[Row]) -> Row:
    """Median and 90th percentile of what was found, and shares of all points within limits."""
    every = [e for row in rows for case in row["errors"] for e in case]
    found = [e for e in every if e is not None]
    limits = rows[0]["limits"]
    return {
        "median": round(float(np.median(found)), 3) if found else math.nan,
        "p90": round(float(np.percentile(found, 90)), 3) if found else math.nan,
        "within": [
            round(sum(e <= limit for e in found) / max(1, len(every)), 3) for limit in limits
        ],
        "found": [len(found), len(every)],
    }


def _wanted(name: str, options: argparse.Namespace) -> bool:
    if options.quick:
        return name in QUICK
    if options.shots and int(name.rpartition("-")[2]) not in options.shots:
        return False
    return any(fnmatch(name, pattern) for pattern in options.tasks)


def report(rows: Sequence[Row], tag: str | None, before: str | None) -> dict[str, list[str]]:
    """Sections of the page: distances of each task and method, and what scores are worth."""
    if tag is None:
        tag = next((row["tag"] for row in reversed(rows) if row["method"] == "default"), None)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        method = row["method"]
        if row["tag"] == before != tag and method == "default":
            method = "default before"
        elif row["tag"] != tag and method not in REFERENCES:
            continue
        groups.setdefault((row["task"], method), []).append(row)
    order = ["default", "default before", *(m for m in list(METHODS)[1:] if m not in KNOWN)]
    lines = [
        "| task | method | found | median | 90th percentile | within | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in dict.fromkeys(row["task"] for row in rows):
        for method in order:
            if own := groups.get((task, method)):
                lines.append(_line(task, method, own))
    scored = [
        own
        for (task, method), own in groups.items()
        if method == "default" and int(task.rpartition("-")[2]) >= LEAST_TEMPLATES
    ]
    return {
        "landmarks": lines,
        "scores": calibration([row for own in scored for row in own]),
        "known": effect_of_known(groups),
    }


def effect_of_known(groups: dict[tuple[str, str], list[Row]]) -> list[str]:
    """Errors of the other points where some are known, beside those of the same without."""
    lines = [
        "| task | known | others | median | 90th percentile | within |",
        "|---|---|---|---|---|---|",
    ]
    for (task, method), rows in groups.items():
        alone = {row["seed"]: row for row in groups.get((task, "default"), ())}
        if method not in KNOWN or not all(row["seed"] in alone for row in rows):
            continue
        same = [_others(alone[row["seed"]], KNOWN[method]) for row in rows]
        for known, own in ((0, same), (KNOWN[method], rows)):
            values, unit = summary(own), rows[0]["unit"]
            within = ", ".join(
                f"{limit:g} {unit}: {share:.2f}"
                for limit, share in zip(rows[0]["limits"], values["within"], strict=True)
            )
            lines.append(
                f"| {task} | {known} | {values['found'][1]} | {values['median']:.2f} {unit} | "
                f"{values['p90']:.2f} {unit} | {within} |"
            )
    return lines


def _others(row: Row, known: int) -> Row:
    """A row without the points that are known to another method, which are told by their place."""

    def rest(errors: list[float | None]) -> list[float | None]:
        told = {int(len(errors) * (k + 0.5) / known) for k in range(known)}
        return [error for k, error in enumerate(errors) if k not in told]

    return row | {"errors": [rest(case) for case in row["errors"]]}


def _line(task: str, method: str, rows: Sequence[Row]) -> str:
    values, unit = summary(rows), rows[0]["unit"]
    found, every = values["found"]
    within = ", ".join(
        f"{limit:g} {unit}: {share:.2f}"
        for limit, share in zip(rows[0]["limits"], values["within"], strict=True)
    )
    seconds = np.mean([row["seconds"] for row in rows])
    return (
        f"| {task} | {method} | {found}/{every} | {values['median']:.2f} {unit} | "
        f"{values['p90']:.2f} {unit} | {within} | {seconds:.1f} |"
    )


def calibration(rows: Sequence[Row]) -> list[str]:
    """How many of the points with a score lie within the middle limit, score by score."""
    pairs = []
    for row in rows:
        limit = row["limits"][1 if row["unit"] == "mm" else 2]
        for case, scores in zip(row["errors"], row["scores"], strict=True):
            found = [e for e in case if e is not None]
            pairs += [(s, e <= limit) for s, e in zip(scores, found, strict=True)]
    lines = ["| score | points | within |", "|---|---|---|"]
    for low in np.arange(0, 1, 0.2):
        some = [hit for s, hit in pairs if low <= s < low + 0.2 + 1e-6 * (low > 0.7)]
        if some:
            lines.append(f"| {low:.1f} to {low + 0.2:.1f} | {len(some)} | {np.mean(some):.2f} |")
    return lines


def main() -> None:
    """Measure, print the report, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder of the labelled sets")
    parser.add_argument("--tasks", nargs="+", default=["*"], metavar="PATTERN", help="default: all")
    parser.add_argument("--shots", nargs="+", type=int)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--quick", action="store_true", help="few tasks, one seed")
    parser.add_argument("--hours", type=float, default=float("inf"))
    parser.add_argument("--results", type=Path, metavar="FILE", required=True, help="JSON lines")
    parser.add_argument("--tag", help="name of this state of the package")
    parser.add_argument("--report", action="store_true", help="of --results; run nothing")
    parser.add_argument("--before", metavar="TAG", help="the default of that tag beside ours")
    parser.add_argument("--pictures", type=Path, help="folder for some cases of the default")
    parser.add_argument("--page", type=Path, help="page whose tables are written anew")
    options = parser.parse_args()
    if not options.report and options.data is None:
        parser.error("DATA is needed, or --report")
    results = Results(options.results, REFERENCES, LONG)
    failed = 0 if options.report else measure(options, results, options.tag or version())
    sections = report(results.rows, options.tag, options.before)
    for lines in sections.values():
        print("\n".join(lines), end="\n\n")
    if options.page is not None:
        write_sections(options.page, "landmarks.py", sections)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
