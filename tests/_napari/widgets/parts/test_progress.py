"""Progress of a job, and words for times and sizes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

pytestmark = pytest.mark.viewer


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "less than 1 s"), (3.4, "3 s"), (59.9, "60 s"), (61, "1 min"), (3600, "1 h"),
     (4800, "1 h 20 min")],
)  # fmt: skip
def test_durations(seconds, words):
    from napari_fewshot._napari.widgets.parts.progress import duration

    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("megabytes", "words"), [(0.2, "less than 1 MB"), (40.4, "40 MB"), (4545.9, "4.5 GB")]
)
def test_sizes(megabytes, words):
    from napari_fewshot._napari.widgets.parts.progress import size

    assert size(megabytes) == words


def test_estimates_leave_out_what_is_not_known():
    from napari_fewshot._napari.widgets.parts.progress import estimate

    assert estimate(12, 40) == "About 12 s, 40 MB."
    assert estimate(None, 40) == "About 40 MB."
    assert estimate(None, None) == ""


@dataclass
class Work:
    name: str = "Training"
    state: str = "running"
    fraction: float = 0.0
    rate: float | None = None
    remaining: float | None = None
    steps: tuple[int, int, str] = (0, 0, "")
    note: str = ""
    problem: str = ""
    asked: list[str] = field(default_factory=list)

    def cancel(self) -> None:
        self.asked.append("cancel")


def test_progress_follows_a_job_to_its_end(qtbot):
    from napari_fewshot._napari.widgets.parts.progress import ProgressRow

    row = ProgressRow()
    qtbot.addWidget(row)
    job = Work()
    row.follow(job)
    assert row.bar.maximum() == 0  # nothing known yet: it moves to and fro
    assert row.text.text() == "Training: preparing"
    job.fraction, job.rate, job.remaining = 0.25, 120.0, 75.0
    job.steps = (25, 100, "slices")
    qtbot.waitUntil(lambda: row.bar.value() == 250)
    assert row.text.text() == "Training: labelling slice by slice · 120 per second · 1 min left"
    job.steps = (25, 100, "prompting")  # the name says it
    row.refresh()
    assert row.text.text() == "Training · 120 per second · 1 min left"
    job.steps = (25, 100, "training")  # others follow
    row.refresh()
    assert row.text.text() == "Training: learning, 1 min more"
    row.cancel.click()
    assert job.asked == ["cancel"]
    assert not row.cancel.isEnabled()  # and says that it is stopping
    with qtbot.waitSignal(row.finished):
        job.state = "cancelled"
    assert row.text.text() == "Training: cancelled"
    row.follow(Work(state="failed", problem="CUDA out of memory"))
    assert row.text.text() == "Training failed: CUDA out of memory"
