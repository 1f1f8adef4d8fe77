"""Runs what is left of a benchmark, a process for each method."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..io.outputs import Outputs
from ..io.temporaries import sweep, temporary_for
from ..types import Progress, no_progress
from .checking import CaseCheck, check_case, check_methods, check_shots, missing_modules
from .cluster import on_cluster
from .config import BenchmarkConfig
from .execute import Finished, MethodRun, Part
from .plan import Fingerprints, Fit, Selection, Unit, make_plan, select_cases, weight_files
from .records import Record, Records, prediction_files, slug, take_over

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Benchmark", "open_benchmark"]

_LOGGER = logging.getLogger(__name__)
_SELDOM = 0.2
"""Seconds between two reports of progress from a process."""
_KILLED, _INTERRUPTED = -9, 130


def _ignored(unit: Unit, record: Record) -> None:
    """Take no notice."""


@dataclass(frozen=True)
class Benchmark:
    """A configuration, its cases and its plan, in a folder.

    The plan was made with the ``fingerprints``, and files are written with ``outputs``.
    """

    config: BenchmarkConfig
    selection: Selection
    folder: Path
    plan: tuple[Fit, ...]
    fingerprints: Fingerprints
    outputs: Outputs

    @property
    def units(self) -> tuple[Unit, ...]:
        """All units of the plan."""
        return tuple(unit for fit in self.plan for unit in fit.units)

    @property
    def _logs(self) -> Path:
        """Folder of what methods print."""
        return self.folder / "logs"

    @property
    def records(self) -> Records:
        """What is finished."""
        return Records(self.folder)

    def pending(self) -> list[Fit]:
        """Fits with units that are not done, or that failed."""
        return [fit for fit in self.plan if not all(self.records.done(unit) for unit in fit.units)]

    def failures(self) -> list[tuple[Unit, Record]]:
        """Units that failed."""
        return [pair for pair in self.records.all(self.units) if pair[1].error]

    @property
    def part(self) -> Part:
        """All that a process needs to run fits."""
        return Part(self.config, self.selection, self.folder, self.fingerprints)

    @cached_property
    def first_case(self) -> CaseCheck:
        """The configuration, held against the first case that is scored."""
        return check_case(self.config, self.selection)

    def check(self) -> None:
        """Warn of what looks wrong in the first case; what is surely wrong raises."""
        for words in self.first_case.warnings:
            _LOGGER.warning("napari-fewshot: %s", words)

    def check_outputs(self, only: Sequence[str] | None = None, more: Iterable[Path] = ()) -> None:
        """Check the files that a run of some methods (None: all) writes, and ``more`` files.

        Files of version 0.1.0 are recorded.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(self.outputs.parameter, "be a folder", self.folder)
        take_over(self.folder)
        self.outputs.check([*self._files(only), *more])

    def _files(self, only: Sequence[str] | None) -> Iterator[Path]:
        """All files that a run may write, but for the report."""
        left = [fit for fit in self.pending() if only is None or fit.method.name in only]
        if not left:
            return
        yield self.folder / "fingerprints.json"
        areas = self.part.areas()
        yield from (areas.path(case) for case in self.selection.pool)
        for unit in (unit for fit in left for unit in fit.units if not self.records.done(unit)):
            yield self.records.path(unit)
            yield self.records.path(unit).with_suffix(".png")
            yield self.records.kept_path(unit)
            if self.config.output.predictions:
                yield from prediction_files(self.folder, unit)

    def run(
        self,
        finished: Finished = _ignored,
        progress: Progress = no_progress,
        *,
        only: Sequence[str] | None = None,
        own_processes: bool = True,
        client: Client | None = None,
    ) -> None:
        """Run what is left of some methods (None: all); what fails is recorded, the rest goes on.

        ``progress`` counts within a unit. Without processes of their own the memory of methods is
        not measured, and a crash ends all. With the ``client`` of a cluster, fits are run there
        side by side, with the same results; memory is not measured, and ``progress`` counts
        predictions. Before, it is checked as by :meth:`check_outputs`, and by :meth:`check` where
        there is something to run.
        """
        self.check_outputs(only)
        sweep(self._logs)
        wanted = {method.name for method in self.config.methods} if only is None else set(only)
        if any(fit.method.name in wanted for fit in self.pending()):
            self.check()
        with self.outputs.writing():
            self.fingerprints.save()
        shared: list[Fit] = []
        for method in self.config.methods:
            if method.name not in wanted:
                continue
            pending = [fit for fit in self.pending() if fit.method.name == method.name]
            missing = missing_modules(method)
            if missing:
                words = f"needs {', '.join(missing)}, which is not installed"
                self._fail([unit for fit in pending for unit in fit.units], words, finished)
            elif client is not None:
                shared += pending
            elif own_processes:
                self._in_processes(pending, finished, progress)
            else:
                run = self.method_run(finished, progress, own_process=False)
                for fit in pending:
                    run.run(fit)
        if client is not None and shared:
            on_cluster(client, self.part, shared, self.outputs, finished, progress)

    def method_run(self, finished: Finished, progress: Progress, *, own_process: bool) -> MethodRun:
        """What runs the fits of a method."""
        return MethodRun(self.part, self.outputs, finished, progress, own_process=own_process)

    def _in_processes(self, pending: Sequence[Fit], finished: Finished, progress: Progress) -> None:
        """Run fits in a process; where it dies, that fit has failed and a new one goes on."""
        left = list(pending)
        while left:
            broken, code, log = self._in_process(left, finished, progress)
            if code == 0:
                return
            if code in (-signal.SIGINT, _INTERRUPTED):
                raise KeyboardInterrupt
            reason = f"ended by signal {-code}" if code < 0 else f"exit status {code}"
            if code == _KILLED:
                reason += " (as when memory runs out)"
            words = f"its process died: {reason}; see {log.relative_to(self.folder)}"
            self._fail(left[broken].units, words, finished)
            left = left[broken + 1 :]

    def _in_process(
        self, fits: Sequence[Fit], finished: Finished, progress: Progress
    ) -> tuple[int, int, Path]:
        """Run fits; returns the number of the one it was at, the exit status, and the log.

        The memory of the process is that of the method, and its crash is no one else's.
        """
        log = self._logs / f"{slug(fits[0].method.name)}.log"
        self._logs.mkdir(parents=True, exist_ok=True)
        printed = temporary_for(log)
        printed.touch()
        context = multiprocessing.get_context("spawn")
        events, end = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(self, fits, end, printed))
        current = 0
        try:
            process.start()
            end.close()
            for event in _received(events):
                if isinstance(event, int):
                    current = event
                elif isinstance(event, Unit):
                    record = self.records.read(event)
                    if record is not None:
                        finished(event, record)
                else:
                    progress(*event)
            process.join()
        finally:
            if process.is_alive():
                process.kill()
                process.join()
            events.close()
            log = _kept_log(printed, log)
        return current, process.exitcode or 0, log

    def _fail(self, units: Sequence[Unit], words: str, finished: Finished) -> None:
        for unit in units:
            if not self.records.done(unit):
                record = Record(error=words)
                with self.outputs.writing():
                    self.records.write(unit, record)
                finished(unit, record)


def open_benchmark(
    config: BenchmarkConfig,
    folder: Path,
    progress: Progress = no_progress,
    *,
    dry_run: bool = False,
    overwrite: bool = False,
    inputs: Iterable[Path] = (),
) -> Benchmark:
    """Find the cases, check the methods and make the plan; nothing is written.

    ``progress`` counts the files that are looked through; for a dry run, where there are no results
    yet, they are not read. With ``overwrite``, files in the folder that are not ours may be
    replaced; those of the data set, weights and ``inputs``, such as the configuration, never are.
    """
    selection = select_cases(config)
    check_shots(config, selection)
    check_methods(config, folder)
    unread = dry_run and not any((folder / "units").glob("*.json"))
    fingerprints = Fingerprints(folder, unread=unread)
    files = [path for case in (*selection.pool, *selection.scored) for path in case.files]
    fingerprints.read(files, progress)
    plan = make_plan(config, selection, fingerprints)
    weights = [path for method in config.methods for path in weight_files(method.settings)]
    outputs = Outputs("--out", [*files, *weights, *inputs], overwrite=overwrite)
    return Benchmark(config, selection, folder, plan, fingerprints, outputs)


def _work(benchmark: Benchmark, fits: Sequence[Fit], events: Connection, log: Path) -> None:
    """Run fits in this process, which is their own: libraries print to the log."""
    try:
        stream = os.open(log, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:  # the benchmark was killed, and another one removed what it left
        os._exit(1)
    for output in (1, 2):
        os.dup2(stream, output)
    os.close(stream)

    def emit(event: object) -> None:
        try:
            events.send(event)
        except OSError:  # nobody listens any more: the benchmark was killed
            os._exit(1)

    last = 0.0

    def progress(done: int, total: int, what: str) -> None:
        nonlocal last
        now = time.monotonic()
        if done >= total or now - last > _SELDOM:
            last = now
            emit((done, total, what))

    run = benchmark.method_run(lambda unit, _: emit(unit), progress, own_process=True)
    try:
        for number, fit in enumerate(fits):
            emit(number)
            run.run(fit)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _received(events: Connection) -> Iterator[Any]:
    """What a process says, until it ends."""
    with suppress(EOFError, OSError):
        while True:
            yield events.recv()


def _kept_log(printed: Path, wanted: Path) -> Path:
    """Keep what a process printed, if anything; what has the name may be somebody's."""
    if not printed.stat().st_size:
        printed.unlink()
        return wanted
    log, number = wanted, 1
    while True:
        try:
            log.touch(exist_ok=False)
        except FileExistsError:
            number += 1
            log = wanted.with_stem(f"{wanted.stem}-{number}")
        else:
            printed.replace(log)
            return log
