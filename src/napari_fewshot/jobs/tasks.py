"""Tasks of ``dask.distributed``: how they are handed out, and what a worker does around each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .. import __version__
from ..errors import Cancelled, InputError, SchedulerError
from ..types import Progress, no_progress

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["ONE_AT_A_TIME", "check_version", "check_wanted", "each", "outcome_of", "take_threads"]

ONE_AT_A_TIME = threading.Lock()
"""Models are not used by two tasks of a process at once, whatever threads a worker has."""

_OFTEN = 0.05
"""Seconds between two looks at a task."""

T = TypeVar("T")
R = TypeVar("R")


def each(
    client: Client,
    work: Callable[[T], R],
    items: Sequence[T],
    progress: Progress = no_progress,
    what: str = "images",
) -> Iterator[tuple[T, R | Exception]]:
    """Do the same work on each of some items; yields each item as it ends, with what came of it.

    A task whose worker is lost goes to another one. What is not done when the iteration ends is
    cancelled.

    Raises
    ------
    SchedulerError
        If the scheduler is lost.
    """
    from distributed import as_completed

    tasks = dict(zip(client.map(work, list(items), pure=False), items, strict=True))
    try:
        for task in as_completed(list(tasks), loop=client.loop):
            item = tasks.pop(task)
            yield item, outcome_of(task, str(item), "an image")
            progress(len(items) - len(tasks), len(items), what)
    finally:
        client.cancel(list(tasks))


def outcome_of(task: Future[Any], name: str, kind: str) -> Any:
    """Result of a task that has ended, or its error; ``name`` and ``kind`` say what it was for.

    Raises
    ------
    SchedulerError
        If the scheduler is lost.
    """
    from distributed.scheduler import KilledWorker

    while task.status in ("lost", "pending"):  # its worker died with the result: it is done again
        time.sleep(_OFTEN)
    if task.status == "cancelled":
        raise SchedulerError(
            "The scheduler does not answer any more. What is finished is kept; the same command "
            "goes on from there."
        )
    error: BaseException | None
    if task.status == "error":
        error = task.exception().with_traceback(task.traceback())
    else:
        try:
            return task.result()
        except Exception as failed:  # its worker died just now, and it was done again
            error = failed
    if isinstance(error, KilledWorker):
        remedy = "As when memory runs out: give workers more of it, or take fewer of them."
        limit = f"be {kind} that a worker survives"
        return InputError(name, limit, "workers that died of it", remedy)
    return error


def check_version(version: str) -> None:
    """Raise :class:`SchedulerError` in a worker that has another version than its client."""
    if version != __version__:
        raise SchedulerError(
            f"workers must have napari-fewshot {version}, as this process; got {__version__}. "
            "Install the same version."
        )


def take_threads() -> None:
    """Use as many threads as the worker has: dask tells libraries to use one."""
    import torch
    from distributed import get_worker

    threads = get_worker().state.nthreads
    if threads > 1:
        torch.set_num_threads(threads)


def check_wanted() -> None:
    """Raise :class:`Cancelled` in a task that nobody waits for any more."""
    from distributed import get_worker

    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    if task is None or task.state == "cancelled":
        raise Cancelled
