"""What napari shows of a session: bars in the activity dock, failures, warnings.

On the GUI thread only, but for warnings.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from ..wording import what_goes_on
from .jobs import Job
from .state import SessionEvents

__all__ = ["Activity", "LibraryWarnings"]

_EVERY_S = 0.5
"""Each change of a bar draws the window anew."""
_LIBRARY = logging.getLogger(__name__.partition(".")[0])


class Activity:
    """One bar for each job that runs; tells of jobs that change or fail."""

    def __init__(self, events: SessionEvents) -> None:
        self._events = events
        self._bars: dict[int, Any] = {}
        self._stages: dict[int, str] = {}
        self._shown = 0.0

    def tell(self, job: Job) -> None:
        """The state of a job has changed."""
        self.show(job)
        self._events.job.emit(job)
        if job.state == "failed":
            from napari.utils.notifications import show_error

            text = f"{job.name} failed: {job.problem}"
            show_error(text)
            self._events.failed.emit(text)

    def show(self, job: Job) -> None:
        """Show a job as it is now."""
        if job.is_over or job.state == "waiting":
            self._close(job)
            return
        done, total, what = job.steps
        now = time.perf_counter()
        if not total or now - self._shown < _EVERY_S:
            return
        self._shown = now
        bar = self._bars.get(id(job))
        if bar is None:
            from napari.utils import progress

            bar = self._bars[id(job)] = progress(total=total, desc=job.name, leave=False)
            self._close_if_over(job)  # a bar lets events through
            if id(job) not in self._bars:
                return
        if self._stages.get(id(job)) != what or bar.total != total:
            self._stages[id(job)] = what
            bar.reset(total=total)
            bar.set_description(f"{job.name}: {what_goes_on(what) or what}")
        if done != bar.n:
            bar.update(done - bar.n)

    def close(self) -> None:
        """Take all bars away."""
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()

    def _close_if_over(self, job: Job) -> None:
        if job.is_over:
            self._close(job)

    def _close(self, job: Job) -> None:
        bar = self._bars.pop(id(job), None)
        self._stages.pop(id(job), None)
        if bar is not None:
            bar.close()


class LibraryWarnings(logging.Handler):
    """Shows each warning of the library once, from any thread: nobody sees a log there."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._shown: set[str] = set()
        _LIBRARY.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a warning; what a session reports by itself stays in the log."""
        from napari.utils.notifications import show_warning

        if record.levelno > logging.WARNING:
            if logging.lastResort is not None:
                logging.lastResort.handle(record)
            return
        message = record.getMessage()
        if message not in self._shown:
            self._shown.add(message)
            show_warning(message)

    def close(self) -> None:
        """Leave warnings to the log again."""
        _LIBRARY.removeHandler(self)
        super().close()
