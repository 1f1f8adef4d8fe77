"""Independent pieces of work side by side, with the same results whatever the number of threads.

Slices and tiles are shared out to threads, and each piece is computed by one thread alone. A
matrix product that is split among threads sums in another order for each number of them; and its
threads wait for each other at every step, so that one busy core stops them all.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from .errors import Cancelled
from .types import Progress

__all__ = ["beside", "one_thread_each", "ordered_map", "used_up", "worker_count"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_MAX_WORKERS = 8
"""More would take more memory than speed: each holds the activations of a network."""


@dataclass
class _Shared:
    """The workers of this process, and how many threads the libraries had before."""

    lock: Any = field(default_factory=threading.Lock)
    users: int = 0
    threads: int = 1
    limits: Any = None
    pool: ThreadPoolExecutor | None = None
    size: int = 0


_SHARED = _Shared()
_LOCAL = threading.local()


def worker_count() -> int:
    """Number of pieces that are worked on at once.

    As many as torch has threads (those that ``OMP_NUM_THREADS`` or ``torch.set_num_threads`` says,
    else the processors of this process), 8 at most; 1 within a worker.
    """
    import torch

    if getattr(_LOCAL, "is_worker", False):
        return 1
    with _SHARED.lock:
        threads = _SHARED.threads if _SHARED.users else _own_threads(torch)
    return max(1, min(threads, _MAX_WORKERS))


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Hold torch and BLAS to one thread for each thread that calls them.

    The limit is one of the process: where several jobs overlap, the last to end lifts it.
    """
    import torch

    with _SHARED.lock:
        if not _SHARED.users:
            _SHARED.threads = _own_threads(torch)
            _SHARED.limits = _hold_blas()
        _SHARED.users += 1
        torch.set_num_threads(1)
        _LOCAL.held = _SHARED.threads
    try:
        yield
    finally:
        with _SHARED.lock:
            _SHARED.users -= 1
            if not _SHARED.users:
                torch.set_num_threads(_SHARED.threads)
                _SHARED.limits.restore_original_limits()
                _SHARED.limits = _LOCAL.held = None


@contextmanager
def used_up(*streams: Iterable[Any]) -> Iterator[None]:
    """Close generators at the end, whatever comes.

    One that is left where it is holds its threads for as long as the traceback of an error keeps
    the frame that it was used in.
    """
    with ExitStack() as stack:
        for stream in streams:
            stack.callback(getattr(stream, "close", lambda: None))
        yield


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], side_by_side: bool = True
) -> Iterator[Result]:
    """Results of ``function`` on items, in their order, computed side by side.

    Few items are taken ahead of the result that is wanted, so that memory does not grow with
    their number. An error comes where its result would; what is not yet begun is then dropped.
    Within a worker, where there is one thread, and if not ``side_by_side``, all is done by the
    caller, none ahead. Items that a generator makes are its last: it is closed.
    """
    with one_thread_each(), used_up(items):
        count = worker_count() if side_by_side else 1
        if count == 1:
            yield from map(function, items)
            return
        pool = _workers(count)
        ahead: deque[Future[Result]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) > count:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
            for future in ahead:  # what runs on may use what the caller takes away
                if not future.cancelled():
                    future.exception()


@contextmanager
def beside(function: Callable[[Progress], Result]) -> Iterator[Callable[[], Result]]:
    """Compute something in a worker while the caller goes on; what is yielded waits for it.

    Where there is one thread, it is computed when it is asked for. The ``progress`` that the
    function is given tells nobody; it raises :class:`Cancelled` when the caller has failed.
    """
    failed = threading.Event()

    def progress(done: int, total: int, what: str) -> None:
        if failed.is_set():
            raise Cancelled

    with one_thread_each():
        count = worker_count()
        if count == 1:
            yield partial(function, progress)
            return
        future = _workers(count).submit(function, progress)
        try:
            yield future.result
        except BaseException:
            failed.set()
            raise
        finally:
            future.exception()  # what runs on may use what the caller takes away


def _workers(count: int) -> ThreadPoolExecutor:
    with _SHARED.lock:
        if _SHARED.pool is None or _SHARED.size != count:
            # The one of before ends by itself when nobody uses it any more.
            _SHARED.pool = ThreadPoolExecutor(count, "pieces of napari-fewshot", _become_worker)
            _SHARED.size = count
        return _SHARED.pool


def _become_worker() -> None:
    import torch

    _LOCAL.is_worker = True
    torch.set_num_threads(1)


def _own_threads(torch: Any) -> int:
    """Threads of the caller; one that is left with a limit of before has those of before."""
    held = getattr(_LOCAL, "held", None)
    return held if held is not None else int(torch.get_num_threads())


def _hold_blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().limit(limits=1, user_api="blas")


def _forget() -> None:
    """A forked child has the state of the workers, but not their threads."""
    _SHARED.lock = threading.Lock()
    _SHARED.pool, _SHARED.size = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
