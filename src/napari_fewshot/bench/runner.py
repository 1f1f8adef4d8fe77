"""Runs what is left of a benchmark, a process for each method."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.outputs import Outputs
from ..types import Progress, no_progress
from .areas import AreaStore
from .cases import Selection, select_cases
from .checking import check_case, check_methods, check_shots, missing_modules
from .config import BenchmarkConfig
from .executing import Finished, MethodRun, prediction_files
from .fingerprints import Fingerprints
from .plan import Fit, Unit, make_plan, weight_files
from .records import Record, Records, slug
from .unrecorded import take_over

__all__ = ["Benchmark", "open_benchmark"]

_LOGGER = logging.getLogger(__name__)
_WORKER = "napari_fewshot.bench.worker"


def _ignored(unit: Unit, record: Record) -> None:
    """Take no notice."""


@dataclass(frozen=True)
class Benchmark:
    """A configuration, its cases and its plan, in a folder.

    Parameters
    ----------
    config : BenchmarkConfig
    selection : Selection
    folder : Path
    plan : tuple of Fit
    fingerprints : Fingerprints
        Those that the plan was made with.
    outputs : Outputs
        What files are written with.
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
    def records(self) -> Records:
        """What is finished."""
        return Records(self.folder)

    def pending(self) -> list[Fit]:
        """Fits with units that are not done, or that failed."""
        return [fit for fit in self.plan if not all(self.records.done(unit) for unit in fit.units)]

    def failures(self) -> list[tuple[Unit, Record]]:
        """Units that failed."""
        return [pair for pair in self.records.all(self.units) if pair[1].error]

    def check(self) -> None:
        """Hold the configuration against one case, and warn of what looks wrong there.

        Raises
        ------
        InputError
            For what is surely wrong.
        """
        for words in check_case(self.config, self.selection):
            _LOGGER.warning("napari-fewshot: %s", words)

    def check_outputs(self, only: Sequence[str] | None = None, more: Iterable[Path] = ()) -> None:
        """Check the files that a run writes; those of version 0.1.0 are recorded.

        Parameters
        ----------
        only : sequence of str, optional
            Methods that are run.
        more : iterable of Path
            Further files, such as those of the report.

        Raises
        ------
        InputError
            As :meth:`~napari_fewshot.io.outputs.Outputs.check`, and if the folder is a file.
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
        areas = AreaStore(self.folder, self.config, self.fingerprints)
        yield from (areas.path(case) for case in self.selection.pool)
        for unit in (unit for fit in left for unit in fit.units if not self.records.done(unit)):
            yield self.records.path(unit)
            yield self.records.path(unit).with_suffix(".png")
            if self.config.output.predictions:
                yield from prediction_files(self.folder, unit)

    def run(
        self,
        finished: Finished = _ignored,
        progress: Progress = no_progress,
        *,
        only: Sequence[str] | None = None,
        own_processes: bool = True,
    ) -> None:
        """Run what is left; what fails is recorded, and the rest goes on.

        Parameters
        ----------
        finished : callable
            ``finished(unit, record)`` after each unit.
        progress : callable
            ``progress(done, total, what)`` within a unit.
        only : sequence of str, optional
            Names of the methods to run; None: all.
        own_processes : bool
            Whether each method gets a process. Else its memory is not measured, and its crash
            ends all.

        Raises
        ------
        InputError
            As :meth:`check`, where there is something to run, and as :meth:`check_outputs`.
        """
        self.check_outputs(only)
        wanted = {method.name for method in self.config.methods} if only is None else set(only)
        if any(fit.method.name in wanted for fit in self.pending()):
            self.check()
        with self.outputs.writing():
            self.fingerprints.save()
        for method in self.config.methods:
            if method.name not in wanted:
                continue
            pending = [fit for fit in self.pending() if fit.method.name == method.name]
            missing = missing_modules(method)
            if missing:
                words = f"needs {', '.join(missing)}, which is not installed"
                self._fail([unit for fit in pending for unit in fit.units], words, finished)
            elif own_processes:
                self._in_processes(pending, finished, progress)
            else:
                run = MethodRun(
                    self.config, self.selection, self.folder, self.fingerprints, self.outputs
                )
                for fit in pending:
                    run.run(fit, finished, progress)

    def _in_processes(self, pending: Sequence[Fit], finished: Finished, progress: Progress) -> None:
        """Run fits in a process; where it dies, that fit has failed and a new one goes on."""
        left = list(pending)
        while left:
            current, code, log = self._in_process(left, finished, progress)
            if code == 0:
                return
            if code == -signal.SIGINT or code == 130:
                raise KeyboardInterrupt
            reason = f"ended by signal {-code}" if code < 0 else f"exit status {code}"
            if code == -signal.SIGKILL:
                reason += " (as when memory runs out)"
            broken = left[current]
            words = f"its process died: {reason}; see {log.relative_to(self.folder)}"
            self._fail(broken.units, words, finished)
            left = left[current + 1 :]

    def _in_process(
        self, fits: Sequence[Fit], finished: Finished, progress: Progress
    ) -> tuple[int, int, Path]:
        """Run fits; returns the one it was at, the exit status, and the log."""
        units = {unit.key: unit for fit in fits for unit in fit.units}
        order = {fit.key: number for number, fit in enumerate(fits)}
        job = {
            "config": self.config.model_dump(mode="json"),
            "folder": str(self.folder),
            "fits": list(order),
            "outputs": [
                self.outputs.parameter,
                [str(path) for path in self.outputs.inputs],
                self.outputs.overwrite,
            ],
        }
        log = _new_log(self.folder / "logs", slug(fits[0].method.name))
        current = 0
        with _worker(job, log) as process:
            for event in _events(process):
                if "progress" in event:
                    done, total, what = event["progress"]
                    progress(done, total, what)
                elif "unit" in event:
                    unit = units[event["unit"]]
                    record = self.records.read(unit)
                    if record is not None:
                        finished(unit, record)
                else:
                    current = order[event["fit"]]
            code = process.wait()
        return current, code, log

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

    Parameters
    ----------
    config : BenchmarkConfig
        What is compared.
    folder : Path
        Of the results.
    progress : callable
        Counts the files that are looked through.
    dry_run : bool
        Whether it is not going to be run. Where there are no results yet, files are then not read.
    overwrite : bool
        Whether files in the folder that are not ours may be replaced.
    inputs : iterable of Path
        Files beside those of the data set that are never replaced, such as the configuration.

    Raises
    ------
    InputError
        If the data set is not there, a method or setting does not exist, or shots are more than
        the pool has cases.
    """
    selection = select_cases(config)
    check_shots(config, selection)
    check_methods(config, folder)
    unread = dry_run and not any((folder / "units").glob("*.json"))
    fingerprints = Fingerprints(folder, unread=unread)
    cases = (*selection.pool, *selection.scored)
    files = [path for case in cases for path in case.files]
    fingerprints.read(files, progress)
    plan = tuple(make_plan(config, selection, fingerprints))
    weights = [path for method in config.methods for path in weight_files(method.settings)]
    outputs = Outputs("--out", [*files, *weights, *inputs], overwrite=overwrite)
    return Benchmark(config, selection, folder, plan, fingerprints, outputs)


def _new_log(folder: Path, stem: str) -> Path:
    """Make a log under a name that nothing has: what is there may be somebody's."""
    folder.mkdir(parents=True, exist_ok=True)
    log, number = folder / f"{stem}.log", 1
    while True:
        try:
            log.touch(exist_ok=False)
        except FileExistsError:
            number += 1
            log = folder / f"{stem}-{number}.log"
        else:
            return log


@contextmanager
def _worker(job: dict[str, Any], log: Path) -> Iterator[subprocess.Popen[str]]:
    with log.open("a", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
        )
        try:
            if process.stdin is not None:
                with process.stdin as stdin:
                    json.dump(job, stdin)
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
            if not log.stat().st_size:
                log.unlink()


def _events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    parse: Callable[[str], dict[str, Any]] = json.loads
    if process.stdout is not None:
        yield from map(parse, process.stdout)
