"""Compare methods on a folder of labelled images, and write a report.

CONFIG is a TOML file, or the name of one that comes with the package. Each finished prediction is
kept: after an interruption, or a change of the configuration, the same command makes only what is
missing. The exit status is 1 where a method failed; the report then says why.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, UnknownNameError
from . import shared
from .reporting import ProgressBars

if TYPE_CHECKING:
    from ..bench.plan import Unit
    from ..bench.records import Record
    from ..bench.runner import Benchmark

NAME = "benchmark"
HELP = "compare methods on labelled images and write a report"
EXAMPLE = "napari-fewshot benchmark benchmark.toml -o report --dry-run"

FAILED = 1

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("config", metavar="CONFIG", help="what is compared: a TOML file, or a name")
    add("-o", "--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    add(
        "--data",
        type=Path,
        metavar="ROOT",
        help="folder that the root of the data set is relative to (default: that of CONFIG)",
    )
    add(
        "--dry-run",
        action="store_true",
        help="print the plan with its time and room on the disk, and write nothing",
    )
    add(
        "--only",
        action="append",
        metavar="NAME",
        help="run this method only; may be given several times",
    )
    add("--report-only", action="store_true", help="run nothing, write the report again")
    shared.add_options(parser, "--overwrite")
    shared.add_scheduler_options(parser, "fits")


def run(options: argparse.Namespace) -> int:
    """Run what is left, and write the report."""
    from ..bench import load_config, ready_config
    from ..bench.estimate import format_plan
    from ..bench.report import report_files, write_report
    from ..bench.report.published import check_published
    from ..bench.runner import open_benchmark

    path = ready_config(options.config)
    config = load_config(path, options.data)
    shared.check_scheduler(options, config.device)
    check_published(config)
    names = [method.name for method in config.methods]
    for name in options.only or ():
        if name not in names:
            raise UnknownNameError("--only", name, names)
    with ProgressBars() as bars:
        benchmark = open_benchmark(
            config,
            options.out,
            bars,
            dry_run=options.dry_run,
            overwrite=options.overwrite,
            inputs=[path],
        )
    if options.dry_run:
        benchmark.check()
        print(format_plan(benchmark))
        return 0
    if options.report_only and not benchmark.records.all(benchmark.units):
        remedy = "Run it without --report-only first."
        raise InputError("--report-only", "stand beside results of a run", options.out, remedy)
    benchmark.check_outputs([] if options.report_only else options.only, report_files(benchmark))
    if not options.report_only:
        with ProgressBars() as bars, ExitStack() as stack:
            client = None
            if benchmark.pending():
                client = stack.enter_context(shared.scheduler_client(options, config.device))
            lines = _Lines(benchmark, bars)
            benchmark.run(lines, bars, only=options.only, client=client)
    report = write_report(benchmark, _command(options))
    wanted = options.only or names
    failures = [pair for pair in benchmark.failures() if pair[0].method in wanted]
    for words in dict.fromkeys(f"{unit.method}: {record.error}" for unit, record in failures):
        print(f"napari-fewshot: failed: {words}", file=sys.stderr)
    print(report)
    return FAILED if failures else 0


class _Lines:
    """A line for each finished prediction."""

    def __init__(self, benchmark: Benchmark, bars: ProgressBars) -> None:
        self.benchmark, self.bars = benchmark, bars
        units = benchmark.units
        self.total = len({unit.key for unit in units})
        self.done = sum(benchmark.records.done(unit) for unit in units)

    def __call__(self, unit: Unit, record: Record) -> None:
        self.done += 1
        self.bars.close()
        what = f"{unit.method}, shots {unit.shot}, seed {unit.seed}, {unit.case}"
        print(f"[{self.done}/{self.total}] {what}: {self._outcome(record)}", file=sys.stderr)

    def _outcome(self, record: Record) -> str:
        from ..bench.report.results import metrics_of

        if record.error:
            return f"failed: {record.error}"
        score = next(iter(metrics_of(self.benchmark.config).values()))
        value = score.of(record.rows)
        shown = "–" if math.isnan(value) else f"{value:.3f}"
        fit, predict = record.fit_seconds or 0.0, record.predict_seconds or 0.0
        return f"{score.title} {shown} (fit {fit:.1f} s, predict {predict:.1f} s)"


def _command(options: argparse.Namespace) -> str:
    words = ["napari-fewshot", NAME, str(options.config), "-o", str(options.out)]
    if options.data is not None:
        words += ["--data", str(options.data)]
    return shlex.join(words)
