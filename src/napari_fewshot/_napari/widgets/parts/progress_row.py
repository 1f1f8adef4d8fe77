"""What a job does now: bar, rate, remaining time, and a button that cancels it."""

from __future__ import annotations

from typing import Protocol

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from .action_button import ActionButton
from .forms import MARGIN, note, row
from .words import duration

__all__ = ["ProgressRow", "Running"]

REFRESH_MS = 200
STEPS = 1000


class Running(Protocol):
    """What is shown of a job."""

    name: str
    fraction: float
    rate: float | None
    remaining: float | None
    error: BaseException | None

    @property
    def state(self) -> str:
        """``waiting``, ``running``, ``done``, ``failed`` or ``cancelled``."""
        ...

    def cancel(self) -> None:
        """Ask it to stop within one batch."""


class ProgressRow(QWidget):
    """Row that is hidden until there is a job, and then keeps what became of the last one."""

    finished = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._job: Running | None = None
        self.bar = QProgressBar()
        self.bar.setRange(0, STEPS)
        self.bar.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.bar.setMinimumWidth(60)
        self.cancel = ActionButton("Cancel", "Stop within one batch; what is done is kept.")
        self.cancel.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.cancel.clicked.connect(self._on_cancel)
        self.text = note()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(MARGIN)
        self._line = row(self.bar, self.cancel)
        layout.addWidget(self._line)
        layout.addWidget(self.text)
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self.refresh)
        self.setVisible(False)

    @property
    def follows(self) -> bool:
        """Whether the job that is shown is not over."""
        return self._job is not None

    def follow(self, job: Running) -> None:
        """Show a job from now on."""
        self._job = job
        self.setVisible(True)
        self.refresh()

    def refresh(self) -> None:
        """Show the job as it is now; called by itself while the job runs."""
        job = self._job
        if job is None:
            return
        busy = job.state in ("waiting", "running")
        self._line.setVisible(busy)
        self.bar.setRange(0, STEPS if job.fraction > 0 else 0)  # 0 to 0: it moves to and fro
        self.bar.setValue(round(STEPS * min(max(job.fraction, 0.0), 1.0)))
        self.text.setText(_sentence(job))
        self.text.setVisible(True)
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


def _sentence(job: Running) -> str:
    if job.state == "waiting":
        return f"{job.name}: waiting for the job before it"
    if job.state == "failed":
        return f"{job.name} failed: {job.error}"
    if job.state == "cancelled":
        return f"{job.name}: cancelled"
    if job.state == "done":
        return f"{job.name}: done"
    parts = [job.name]
    if job.rate:
        parts.append(f"{job.rate:.3g} per second")
    if job.remaining is not None:
        parts.append(f"{duration(job.remaining)} left")
    return " · ".join(parts)
