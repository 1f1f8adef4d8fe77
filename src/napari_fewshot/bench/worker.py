"""A process of its own for one method: its memory is measured, and its crash is no one else's.

``python -m napari_fewshot.bench.worker`` reads a job as JSON from standard input
and writes one JSON line for each event to standard output.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..io.outputs import Outputs
from .cases import select_cases
from .config import BenchmarkConfig
from .executing import MethodRun
from .fingerprints import Fingerprints
from .plan import Unit, make_plan
from .records import Record

__all__ = ["main", "work"]

_SELDOM = 0.2
"""Seconds between two reports of progress."""


def work(job: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> None:
    """Run the fits of a job.

    Parameters
    ----------
    job : dict
        ``config`` and ``folder`` of the benchmark, ``fits``: keys of the fits to run, and
        ``outputs``: the arguments of :class:`~napari_fewshot.io.outputs.Outputs`.
    emit : callable
        Takes events: ``{"fit": key}``, ``{"unit": key}`` and ``{"progress": [...]}``.
    """
    config = BenchmarkConfig.model_validate(job["config"])
    selection = select_cases(config)
    folder = Path(job["folder"])
    fingerprints = Fingerprints(folder)
    parameter, inputs, overwrite = job["outputs"]
    outputs = Outputs(parameter, map(Path, inputs), overwrite=overwrite)
    run = MethodRun(config, selection, folder, fingerprints, outputs, own_process=True)
    last = 0.0

    def progress(done: int, total: int, what: str) -> None:
        nonlocal last
        now = time.monotonic()
        if done >= total or now - last > _SELDOM:
            last = now
            emit({"progress": [done, total, what]})

    def finished(unit: Unit, record: Record) -> None:
        emit({"unit": unit.key})

    wanted = set(job["fits"])
    for fit in make_plan(config, selection, fingerprints):
        if fit.key in wanted:
            emit({"fit": fit.key})
            run.run(fit, finished, progress)


def main() -> int:
    """Read the job, and keep standard output for events: libraries print to the log."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def emit(event: dict[str, Any]) -> None:
        try:
            events.write(json.dumps(event) + "\n")
            events.flush()
        except OSError:  # nobody listens any more: the benchmark was killed
            os._exit(1)

    try:
        work(json.load(sys.stdin), emit)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
