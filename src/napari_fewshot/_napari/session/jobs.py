"""Long work off the GUI thread, one job after the other, with progress, cancel and errors.

Nothing of the viewer is touched off the GUI thread: a job is given what it needs, hands pieces of
its result over, and a timer on the GUI thread takes them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from traceback import clear_frames
from typing import Any, Literal

from ...device import avoid_llvm_clash
from ...errors import Cancelled, FewShotError
from ..preferences import open_store
from ..wording import in_viewer
from .generations import Generations

__all__ = ["KEEPING", "Callbacks", "Job", "JobRunner", "Stage", "single_shot"]

Stage = Literal[
    "extract",
    "train",
    "polish",
    "finetune",
    "score",
    "propagate",
    "landmarks",
    "update",
    "renew",
    "refine",
    "sam",
    "measure",
    "save",
    "restore",
    "batch",
]
JobState = Literal["waiting", "running", "done", "failed", "cancelled"]

_TICK_MS = 15
_BUSY_S = 0.02
"""Longest time for pieces in one tick: the viewer draws between two."""
_UNASKED: tuple[Stage, ...] = ("score", "renew")
"""Stages that nobody asked for ..."""
_MAKE_WAY: tuple[Stage, ...] = (*_UNASKED, "polish")
"""... which make way for others, as does one that takes minutes and keeps what it has."""
KEEPING: tuple[Stage, ...] = ("save", "restore")
"""Stages that nobody waits for, and that stop no other."""
_LOG = logging.getLogger(__name__)


def single_shot(ms: int, act: Callable[[], None], owner: Any = None) -> Any:
    """A timer of Qt that acts once, so long after its last start; it goes with its owner."""
    from qtpy.QtCore import QTimer

    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(ms)
    timer.timeout.connect(act)
    return timer


@dataclass
class Callbacks:
    """What becomes of a job on the GUI thread: before it runs, with each piece, and at the end."""

    start: Callable[[], None] = lambda: None
    piece: Callable[[Any], None] = lambda piece: None
    done: Callable[[Any], None] = lambda result: None
    end: Callable[[], None] = lambda: None


class Job:
    """One piece of long work; made by the session, for callers to watch, wait for and cancel.

    Attributes
    ----------
    name : str
        For people.
    stage : Stage
    state : {"waiting", "running", "done", "failed", "cancelled"}
    fraction : float
        Of the work that is done, 0 to 1; 0 while it is not known.
    rate, remaining : float or None
        Steps (slices, training steps) per second, and seconds left at this rate.
    result, error : object or None
        What the work gave, or why it failed.
    steps : (int, int, str)
        Steps done, all steps (0: not known), and of what: slices, training; empty at first.
    layers : list of napari.layers.Layer
        Layers that it works on; it ends when one is removed.
    keeps_result : bool
        Whether its work has a result when it is cancelled too.
    note : str
        For people, once it is over: why it was cancelled, or what it has done.
    """

    def __init__(
        self,
        name: str,
        stage: Stage,
        work: Callable[[Job], Any],
        callbacks: Callbacks | None = None,
        *,
        layers: Sequence[Any] = (),
        stores_features: bool = False,
        keeps_result: bool = False,
        is_outdated: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = name
        self.stage: Stage = stage
        self.state: JobState = "waiting"
        self.fraction = 0.0
        self.rate: float | None = None
        self.remaining: float | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.steps = (0, 0, "")
        self.layers = list(layers)
        self._work, self._stores_features, self._is_outdated = work, stores_features, is_outdated
        self.keeps_result = keeps_result
        self.note = ""
        self._callbacks = callbacks or Callbacks()
        self._stop = threading.Event()
        self._pieces: SimpleQueue[Any] = SimpleQueue()
        self._outcome: tuple[JobState, Any] | None = None  # set by the worker when it ends
        self._wait_for: Callable[[float | None], None] = lambda timeout: None
        self._clock = (0.0, 0, "")
        self._over: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<Job {self.name}: {self.state}>"

    @property
    def is_over(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def is_wanted(self) -> bool:
        """Whether nobody cancelled it, and no newer request replaced it."""
        return not (self._stop.is_set() or self._is_outdated())

    def cancel(self, why: str = "") -> None:
        """Ask it to stop: it does within one batch. What it has not handed over is dropped."""
        self.note = self.note or why
        self._stop.set()

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for the end while the viewer goes on, for scripts; at most so many seconds.

        Returns the result, None if it was cancelled. Raises TimeoutError if it takes longer, else
        what made it fail.
        """
        self._wait_for(timeout)
        if self.error is not None:
            raise self.error
        return self.result

    @property
    def problem(self) -> str:
        """Why it failed, for people at the viewer; empty if it did not."""
        return "" if self.error is None else in_viewer(self.error)

    # On the worker's side

    def send(self, piece: Any) -> None:
        """Hand a part of the result over; raises :class:`Cancelled` when nobody wants it."""
        self.check()
        self._pieces.put(piece)

    def check(self) -> None:
        """Raise :class:`Cancelled` if nobody wants the job any more."""
        if not self.is_wanted:
            raise Cancelled("cancelled")

    def progress(self, done: int, total: int, what: str) -> None:
        """Callback for the stages of the core; also where a cancelled job stops."""
        self.check()
        now = time.perf_counter()
        start, first, before = self._clock
        if what != before or done < first:
            self._clock = (now, done, what)
            self.rate = self.remaining = None
        elif done > first and now > start:
            self.rate = (done - first) / (now - start)
            self.remaining = (total - done) / self.rate
        self.fraction = done / total if total else 0.0
        self.steps = (done, total, what)

    def run(self) -> None:
        """Do the work and note how it ended; never raises."""
        try:
            self.check()
            avoid_llvm_clash()
            result = self._work(self)
            if self._stores_features:  # keep the store below the limit of all runs
                open_store().prune()
            self._outcome = ("done", result)
        except Cancelled:
            self._outcome = ("cancelled", None)
        except BaseException as error:
            if not self.is_wanted:  # its layers may be gone
                _LOG.debug("%s failed after it was cancelled", self.name, exc_info=error)
                self._outcome = ("cancelled", None)
            else:
                clear_frames(error.__traceback__)  # it is kept; what the work held is not
                self._outcome = ("failed", error)


class JobRunner:
    """Runs jobs on one worker thread, and their callbacks on the GUI thread.

    ``changed`` is told of every change of a job's state, ``moved`` of a running job with every
    tick; both on the GUI thread.
    """

    def __init__(self, changed: Callable[[Job], None], moved: Callable[[Job], None]) -> None:
        self.generations = Generations()
        self._changed = changed
        self._moved = moved
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._thread: threading.Thread | None = None
        self._timer: Any = None
        self._closed = False
        self._moving = False

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Jobs that run or wait."""
        running = () if self._running is None else (self._running,)
        return (*running, *self._waiting)

    def start(self, job: Job) -> Job:
        """Run a job, after those that are there already; what nobody asked for makes way."""
        if self._closed:
            job.cancel()
            job.state = "cancelled"
            return job
        if job.stage not in (*_UNASKED, *KEEPING):
            self.cancel(*_MAKE_WAY, why=f"it made way for {job.name}")
        job._wait_for = lambda timeout: self._wait(job, timeout)
        self._waiting.append(job)
        self._tell(job)
        if self._timer is None:
            self._timer = single_shot(_TICK_MS, self.tick)
            self._timer.setSingleShot(False)
        self._timer.start()
        self._next()
        return job

    def cancel(self, *stages: Stage, why: str = "") -> None:
        """Cancel jobs of some stages; of all without any. ``why`` is for people."""
        for job in self.jobs:
            if not stages or job.stage in stages:
                job.cancel(why)
        self.tick()

    def close(self, timeout: float = 10.0) -> None:
        """Cancel all but what saves, and wait until the worker has ended (within one batch)."""
        self._closed = True
        for job in self.jobs:
            if job.stage != "save":
                job.cancel()
        if self._thread is not None:
            self._thread.join(timeout)
        for job in self._waiting:
            if job.stage == "save":  # strokes that are nowhere else
                job.run()
        ended, self._running = self.jobs, None
        self._waiting.clear()
        for job in ended:
            job.state = "cancelled"
            self._tell(job)
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def tick(self) -> None:
        """Take what the worker has handed over. Called by a timer while there are jobs."""
        job = self._running
        if job is not None:
            self._move(job)
            self._take(job)
            over = job._outcome is not None and (job._pieces.empty() or not job.is_wanted)
            if over and self._running is job:
                self._end(job)
        self._drop_unwanted()
        self._next()
        if self._running is None and self._timer is not None:
            self._timer.stop()

    def _move(self, job: Job) -> None:
        """Tell that a job moves on; bars let events through, and with them the next tick."""
        if self._moving:
            return
        self._moving = True
        try:
            self._moved(job)
        finally:
            self._moving = False

    def _next(self) -> None:
        if self._running is not None or not self._waiting or self._closed:
            return
        job = self._running = self._waiting.popleft()
        job.state = "running"
        if job.is_wanted:
            self._guarded(job, job._callbacks.start)
        name = f"napari-fewshot {job.stage}"
        self._thread = threading.Thread(target=job.run, name=name, daemon=True)
        self._thread.start()
        self._tell(job)

    def _take(self, job: Job) -> None:
        until = time.perf_counter() + _BUSY_S
        while job.is_wanted and time.perf_counter() < until:
            try:
                piece = job._pieces.get_nowait()
            except Empty:
                return
            self._guarded(job, job._callbacks.piece, piece)

    def _end(self, job: Job) -> None:
        self._running = None  # first: who is told of the end may start and wait for the next
        state, value = job._outcome or ("cancelled", None)
        if state == "done" and not job.is_wanted and not job.keeps_result:
            state, value = "cancelled", None
        if state == "done":
            self._guarded(job, job._callbacks.done, value)
        if job.error is None:
            job.state = state
            job.result = value if state == "done" else None
            job.error = value if state == "failed" else None
            job.fraction = 1.0 if state == "done" else job.fraction
        else:  # while its result was shown
            job.state = "failed"
        _note_why(job)
        job._callbacks.end()
        if job.error is not None and not isinstance(job.error, FewShotError):
            _LOG.error("%s failed", job.name, exc_info=job.error)
        self._tell(job)

    def _guarded(self, job: Job, act: Callable[..., None], *given: Any) -> None:
        """Run a callback; an error in it fails the job, and nothing else."""
        try:
            act(*given)
        except Exception as error:
            job.error = error
            job.cancel()

    def _drop_unwanted(self) -> None:
        for job in [job for job in self._waiting if not job.is_wanted]:
            self._waiting.remove(job)
            job.state = "cancelled"
            _note_why(job)
            job._callbacks.end()
            self._tell(job)

    def _wait(self, job: Job, timeout: float | None) -> None:
        """Let Qt's loop run until a job is over: one of our own would starve the worker."""
        from qtpy.QtCore import QEventLoop

        if not job.is_over:
            loop = QEventLoop()
            job._over.append(loop.quit)
            limit = single_shot(round(1000 * (timeout or 0)), loop.quit)
            if timeout is not None:
                limit.start()
            loop.exec()
            limit.stop()
            job._over.remove(loop.quit)
        if not job.is_over:
            raise TimeoutError(f"{job.name} has not ended within {timeout} s")

    def _tell(self, job: Job) -> None:
        self._changed(job)
        if job.is_over:
            for quit_loop in list(job._over):
                quit_loop()


def _note_why(job: Job) -> None:
    """A job that nobody cancelled was replaced."""
    if job.state == "cancelled" and not job.note and job._is_outdated():
        job.note = "a newer request took its place"
