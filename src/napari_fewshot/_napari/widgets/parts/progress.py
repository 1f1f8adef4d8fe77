"""What a job does now and how long it takes: bar, rate, remaining time, cancel; times in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from ...wording import is_followed, what_goes_on
from .forms import ActionButton, Note, put, row

if TYPE_CHECKING:
    from ...session import Job

__all__ = ["ProgressRow", "duration", "estimate", "size"]

REFRESH_MS = 200
STEPS = 1000


class ProgressRow(QWidget):
    """Row that is hidden until there is a job, and then keeps what became of the last one."""

    finished = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._job: Job | None = None
        self.bar = QProgressBar()
        self.bar.setRange(0, STEPS)
        self.bar.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.bar.setMinimumWidth(60)
        self.cancel = ActionButton("Cancel", "Stop within one batch; what is done is kept.")
        self.cancel.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.cancel.clicked.connect(self._on_cancel)
        self.text = Note()
        self._line = row(self.bar, self.cancel)
        put(QVBoxLayout(self), self._line, self.text)
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self.refresh)
        self.setVisible(False)

    @property
    def follows(self) -> bool:
        """Whether the job that is shown is not over."""
        return self._job is not None

    def follow(self, job: Job) -> None:
        """Show a job from now on."""
        self._job = job
        self.setVisible(True)
        self.refresh()

    def forget(self) -> None:
        """Say nothing of a job that is over."""
        if self._job is None:
            self.setVisible(False)

    def refresh(self) -> None:
        """Show the job as it is now; called by itself while the job runs."""
        job = self._job
        if job is None:
            return
        busy = job.state in ("waiting", "running")
        self._line.setVisible(busy)
        self.bar.setRange(0, STEPS if job.fraction > 0 else 0)  # 0 to 0: it moves to and fro
        self.bar.setValue(round(STEPS * min(max(job.fraction, 0.0), 1.0)))
        self.text.say(_sentence(job), wrong=job.state == "failed")
        if busy and not self._timer.isActive():
            self.cancel.block()
            self._timer.start()
        elif not busy:
            self._timer.stop()
            self._job = None
            self.finished.emit()

    def _on_cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self.cancel.block("it is stopping")
            self.refresh()


def _sentence(job: Job) -> str:
    ends = {
        "waiting": f"{job.name}: waiting for the job before it",
        "failed": f"{job.name} failed: {job.problem}",
        "cancelled": f"{job.name}: cancelled{f' ({job.note})' * bool(job.note)}",
        "done": f"{job.name}: {job.note or 'done'}",
    }
    if job.state in ends:
        return ends[job.state]
    step = job.steps[2]
    doing = what_goes_on(step)
    parts = [f"{job.name}: {doing}" if doing else job.name]
    if is_followed(step):  # by others: neither its rate nor its end are those of the job
        return parts[0] if job.remaining is None else f"{parts[0]}, {duration(job.remaining)} more"
    if job.rate:
        parts.append(f"{job.rate:.3g} per second")
    if job.remaining is not None:
        parts.append(f"{duration(job.remaining)} left")
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """Time in one unit, or two: ``"3 s"``, ``"2 min"``, ``"1 h 20 min"``."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 60:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def size(megabytes: float) -> str:
    """Size in MB, or in GB from 1000 MB on."""
    if megabytes < 1:
        return "less than 1 MB"
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def estimate(seconds: float | None, megabytes: float | None) -> str:
    """``"About 12 s, 40 MB."``; empty where nothing is known."""
    parts = [] if seconds is None else [duration(seconds)]
    parts += [] if megabytes is None else [size(megabytes)]
    if not parts:
        return ""
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text.startswith("less") else f"About {text}."
