"""Dice on real labelled data beside pixel classifiers: all tables of docs/accuracy.md.

    python benchmarks/speed_peers.py --make-environments ENVIRONMENTS      # once, for convpaint
    python benchmarks/accuracy.py DATA --results accuracy.jsonl --environments ENVIRONMENTS
                                  [--tasks 'mr_*' ct_torso-3 ...] [--shots 3 ...] [--methods ...]
                                  [--seeds 0 1 2] [--hours H] [--tag TEXT] [--pictures FOLDER]
    python benchmarks/accuracy.py --report --results accuracy.jsonl --page docs/accuracy.md
                                  [--tag TEXT] [--before TEXT]

A run with ``--shots 3`` compares the methods; one with ``--methods default forest`` and all shots
shows what more paint brings. DATA is a folder with the sets of ``accuracy_tasks.py``. Every task is
solved by every method with every seed, the first seed and the usual number of shots first. A row of
``--results`` (JSON lines) is written as soon as it is there; what is there for ``--tag`` (default:
version and commit of the package) is not run again, and rows of the forest and of convpaint, which
do not depend on what is developed here, count for every tag. ``--hours`` starts no row after that
time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from accuracy_methods import METHODS, runnable
from accuracy_pictures import draw_worst
from accuracy_report import DEFAULT, report, split
from accuracy_scores import score
from accuracy_tasks import Task, tasks
from page import write_sections
from results import Results, Row, of_tag, version

LONG = ("label_dice", "reliability")
"""What of a row is not printed."""
ORDER = (3, 1, 5, 2, 8)
"""Shots, the most telling first: a run that is stopped has the best part."""


def planned(
    names: list[str], methods: list[str], seeds: list[int]
) -> Iterator[tuple[str, str, int]]:
    """Task, method and seed of every row, in the order in which they are run."""
    order = sorted(names, key=lambda name: ORDER.index(split(name)[1]))
    for seed in seeds:
        for name in order:
            for method in methods:
                if METHODS[method].seeded or seed == seeds[0]:
                    yield name, method, seed


def run(options: argparse.Namespace, results: Results, tag: str) -> list[str]:
    """Add the rows that are missing; return what failed."""
    loaders = tasks(options.data)
    names = [name for name in loaders if _wanted(name, options)]
    methods, failed = runnable(options.methods, options.environments), []
    end = time.monotonic() + 3600 * options.hours
    loaded: tuple[str, Task] | None = None
    for name, method, seed in planned(names, methods, options.seeds):
        if results.has(name, method, seed, tag):
            continue
        if time.monotonic() > end:
            print(f"stopped after {options.hours:g} h; the same command goes on", flush=True)
            break
        if loaded is None or loaded[0] != name:
            loaded = name, loaders[name]()
        task = loaded[1]
        try:
            found = METHODS[method].solve(task, seed, options.environments)
        except Exception as error:  # the other rows are still worth their time
            failed.append(f"{name}, {method}, seed {seed}: {type(error).__name__}: {error}")
            print(f"failed: {failed[-1]}", file=sys.stderr, flush=True)
            continue
        row: Row = {"task": name, "method": method, "seed": seed, "tag": tag}
        row |= _rounded(
            score(task, found)
            | {
                key: getattr(found, key)
                for key in ("fit_seconds", "seconds_per_slice", "memory_mb")
            }
        )
        results.add(row)
        print(json.dumps({k: v for k, v in row.items() if k not in LONG}), flush=True)
        if options.pictures is not None and seed == options.seeds[0]:
            draw_worst(task, found.labels, options.pictures / f"{name} {method}.png")
    return failed


def _wanted(name: str, options: argparse.Namespace) -> bool:
    if options.shots and split(name)[1] not in options.shots:
        return False
    return any(fnmatch(name, pattern) for pattern in options.tasks)


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}


def main() -> None:
    """Measure, print the report, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder of the labelled sets")
    parser.add_argument("--tasks", nargs="+", default=["*"], metavar="PATTERN", help="default: all")
    parser.add_argument("--shots", nargs="+", type=int, choices=sorted(ORDER))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--hours", type=float, default=float("inf"))
    parser.add_argument("--results", type=Path, metavar="FILE", help="JSON lines, added to")
    parser.add_argument("--tag", help="name of this state of the package")
    parser.add_argument(
        "--environments", type=Path, default=Path(), metavar="FOLDER", help="of other tools"
    )
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="worst slices of new rows")
    parser.add_argument("--list", action="store_true", help="list tasks and methods, run nothing")
    parser.add_argument("--report", action="store_true", help="of --results; run nothing")
    parser.add_argument("--before", metavar="TAG", help="the default of that tag beside ours")
    parser.add_argument("--page", type=Path, help="page whose tables are written anew")
    options = parser.parse_args()
    if options.report and options.results is None:
        parser.error("--report needs --results")
    if not options.report and options.data is None:
        parser.error("DATA is needed, or --report")
    if not options.report and not tasks(options.data):
        parser.error(f"there is no set of accuracy_tasks.py in DATA, {options.data}")
    options.methods = options.methods or [name for name, m in METHODS.items() if m.always]
    if options.list:
        print(*(name for name in tasks(options.data) if _wanted(name, options)), sep="\n")
        print("methods:", ", ".join(METHODS))
        return
    references = [name for name, method in METHODS.items() if method.reference]
    results = Results(options.results, references, ["dice"])
    tag, failed = options.tag, []
    if not options.report:
        tag = tag or version()
        failed = run(options, results, tag)
    rows, tag = results.of(tag)
    if options.before is not None:
        earlier = [
            row for row in of_tag(results.rows, options.before)[0] if row["method"] == DEFAULT
        ]
        rows += [row | {"method": f"{DEFAULT}, {options.before}"} for row in earlier]
    sections = report(rows, tag)
    for name, lines in sections.items():
        print(f"\n## {name}\n", *lines, sep="\n")
    if options.page is not None:
        write_sections(options.page, "accuracy.py", sections)
    sys.exit(f"{len(failed)} rows failed" if failed else 0)


if __name__ == "__main__":
    main()
