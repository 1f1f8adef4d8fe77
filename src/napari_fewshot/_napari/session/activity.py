"""Jobs in napari's activity dock, with rate and remaining time; on the GUI thread only."""

from __future__ import annotations

import time
from typing import Any

from .jobs import Job

__all__ = ["Activity"]

_EVERY_S = 0.5
"""Each change of a bar draws the window anew."""


class Activity:
    """One bar for each job that runs."""

    def __init__(self) -> None:
        self._bars: dict[int, Any] = {}
        self._stages: dict[int, str] = {}
        self._shown = 0.0

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
            bar.set_description(f"{job.name}: {what}")
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
