"""Fits as tasks of ``dask.distributed``.

Workers read images and tell what they found; only the client writes the results. A fit is a task,
or, where templates come from the scored case itself, all fits of a method in a case, which have
what is known of its slices in common.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import FewShotError, SchedulerError
from ..io.formats import absolute
from ..io.outputs import Outputs, replacing
from ..jobs.scheduler import resources_for
from ..jobs.tasks import (
    ONE_AT_A_TIME,
    check_version,
    check_wanted,
    each,
    outcome_of,
    take_threads,
)
from ..types import Progress
from .execute import Finished, MethodRun, Part, needs_no_templates
from .plan import Fit, Unit
from .records import Record, Records
from .templates import CaseAreas, looked_at

if TYPE_CHECKING:
    from distributed import Client, Future, Queue

__all__ = ["on_cluster"]

_OFTEN = 0.1
"""Seconds between two looks at what workers have to tell."""


def on_cluster(
    client: Client,
    part: Part,
    fits: Sequence[Fit],
    outputs: Outputs,
    finished: Finished,
    progress: Progress,
) -> None:
    """Run fits on the workers of a cluster and keep a record of each unit that is not done.

    What fails is recorded. A task whose worker is lost goes to another one, which leaves out what
    was told before; no unit is recorded twice. ``progress`` counts predictions.

    Raises
    ------
    SchedulerError
        If the scheduler is lost, or workers lack the device or have another version.
    """
    from distributed import Queue, as_completed

    results = _Results(part.folder, fits, outputs, finished, progress)
    part = replace(part, folder=absolute(part.folder))
    _find_areas(client, part, fits, outputs, progress)
    name = f"napari-fewshot-{uuid.uuid4().hex}"
    queue = Queue(name, client)
    run = partial(client.submit, pure=False, resources=resources_for(client, part.config.device))
    tasks: dict[Future[Any], tuple[Fit, ...]] = {}
    for group in _groups(part, fits):
        tasks[run(_run_fits, part.of(group), group, name, __version__)] = group
    ended = as_completed(list(tasks), loop=client.loop)
    try:
        while tasks:
            over = [next(ended)] if ended.has_ready() else []
            results.take(_told(queue))  # all that a task tells is there when it ends
            for task in over:
                group = tasks.pop(task)
                results.end(group, outcome_of(task, group[0].method.name, "a method"))
            if not over:
                time.sleep(_OFTEN)
    finally:
        client.cancel(list(tasks))
        queue.close()


@dataclass
class _Results:
    """What workers tell, written as a process of this machine would have."""

    folder: Path
    fits: Sequence[Fit]
    outputs: Outputs
    finished: Finished
    progress: Progress

    def __post_init__(self) -> None:
        self.records = Records(self.folder)
        units = (unit for fit in self.fits for unit in fit.units)
        self.left = {unit.key: unit for unit in units if not self.records.done(unit)}
        self.total = len(self.left)

    def take(self, messages: Iterable[dict[str, Any]]) -> None:
        """Keep what is told of units, each once."""
        for message in messages:
            unit = self.left.get(message["unit"])
            if unit is not None:
                self._keep(unit, Record(**json.loads(message["record"])), message["files"])

    def end(self, fits: Sequence[Fit], outcome: Exception | None) -> None:
        """Record the error of units that nothing was told of."""
        if isinstance(outcome, SchedulerError):
            raise outcome
        for unit in (unit for fit in fits for unit in fit.units):
            if unit.key in self.left:
                error = outcome or SchedulerError("The worker told nothing of it.")
                self._keep(unit, Record.of_error(error, {}), {})

    def _keep(self, unit: Unit, record: Record, contents: dict[str, bytes]) -> None:
        with self.outputs.writing():
            try:
                for path in self.records.files(unit):
                    if path.name in contents:
                        with replacing(path) as temporary:
                            temporary.write_bytes(contents[path.name])
            except Exception as error:
                record = Record.of_error(error, record.machine)
            self.records.write(unit, record)
        del self.left[unit.key]
        self.finished(unit, record)
        self.progress(self.total - len(self.left), self.total, "predictions")


def _groups(part: Part, fits: Sequence[Fit]) -> Iterator[tuple[Fit, ...]]:
    """Fits that are one task."""
    if part.config.templates.scope == "across":
        yield from ((fit,) for fit in fits)
        return
    for _, group in groupby(fits, lambda fit: (fit.method.name, fit.units[0].case)):
        yield tuple(group)


def _find_areas(
    client: Client, part: Part, fits: Sequence[Fit], outputs: Outputs, progress: Progress
) -> None:
    """Look where labels are in cases of the pool, each once; a bad one fails in its fits."""
    if part.config.templates.scope == "within":
        return
    pool, wanted = [case.name for case in part.selection.pool], set[str]()
    for fit in fits:
        if not needs_no_templates(part.config, fit):
            with suppress(FewShotError):
                wanted.update(looked_at(pool, fit.shot, part.config, fit.seed))
    store = part.areas()
    cases = [part.selection.case(name) for name in pool if name in wanted]
    missing = [case.name for case in cases if store.read(case) is None]
    look = partial(_areas, part.of([]), __version__)
    for name, found in each(client, look, missing, progress, "labels of the pool"):
        if isinstance(found, CaseAreas):
            with outputs.writing():
                store.write(part.selection.case(name), found)


def _told(queue: Queue) -> list[dict[str, Any]]:
    """All that is in a queue by now."""
    try:
        return list(queue.get(batch=True))
    except OSError as error:
        raise SchedulerError(
            f"The scheduler does not answer any more ({error}). What is finished is kept; the same "
            "command goes on from there."
        ) from None


def _areas(part: Part, version: str, name: str) -> CaseAreas:
    """Where the labels of a case are, in the process of a worker."""
    check_version(version)
    with TemporaryDirectory() as aside:
        return _method_run(part, "", Path(aside)).areas(name)


def _run_fits(part: Part, fits: Sequence[Fit], queue: str, version: str) -> None:
    """Run fits in the process of a worker; units are told as they end."""
    check_version(version)
    with ONE_AT_A_TIME:
        take_threads()
        run = _kept_run(part, fits[0].method.name, queue)
        for fit in fits:
            run.run(fit)


def _kept_run(part: Part, method: str, queue: str) -> MethodRun:
    """Run of the method that a worker is at: what it knows of cases serves the next fits, too."""
    from distributed import get_worker

    key = queue, method, *(case.name for case in part.selection.scored)
    if key not in _KEPT:
        _KEPT.clear()
        aside = TemporaryDirectory(dir=get_worker().local_directory)
        _KEPT[key] = _method_run(part, queue, Path(aside.name)), aside
    return _KEPT[key][0]


_KEPT: dict[tuple[str, ...], tuple[MethodRun, TemporaryDirectory[str]]] = {}


def _method_run(part: Part, queue: str, aside: Path) -> MethodRun:
    """What runs fits here, and tells of each unit with what its files hold."""
    from distributed import Queue

    written = Records(aside)

    def tell(unit: Unit, record: Record) -> None:
        files = [path for path in written.files(unit) if path.is_file()]
        contents = {path.name: path.read_bytes() for path in files}
        check_wanted()
        message = {"unit": unit.key, "record": json.dumps(asdict(record)), "files": contents}
        Queue(queue).put(message)
        for path in files:
            path.unlink()

    def progress(done: int, total: int, what: str) -> None:
        check_wanted()

    return MethodRun(part, Outputs("--out"), tell, progress, aside=aside)
