"""How the viewer feels: gaps between ticks of the GUI while jobs run, and seconds after "Update".

    xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/viewer.py [--slices 100] [--side 256]

A volume of the torso phantom with three labels, default backbone and adapter, in a real viewer.
Printed: the longest and the 99th percentile of the time between two ticks of a 5 ms timer during
each job; seconds from Update to the slice in view and to the whole volume; and how long the
same training and prediction take on the worker beside on the main thread, in one run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_fewshot import Volume
    from napari_fewshot._napari.session import Job, Session

    Report = Callable[[str, Job], float]

LABELS = (1, 6, 9)


class Ticks:
    """Time between two ticks of the GUI thread."""

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self.gaps: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now

    def during(self, job: object) -> tuple[float, float, float]:
        """Seconds of a job, its longest gap and the 99th percentile of gaps in ms."""
        self.gaps.clear()
        self._last = start = time.perf_counter()
        job.wait()
        gaps = 1000 * np.array(self.gaps)
        return time.perf_counter() - start, gaps.max(), np.percentile(gaps, 99)


def update(session: Session, labels: Labels, view: int, report: Report) -> float:
    """Seconds from Update to the slice in view."""
    before, start = labels.data[view].copy(), time.perf_counter()
    seen: list[float] = []

    def note() -> None:
        if not seen and (labels.data[view] != before).any():
            seen.append(time.perf_counter() - start)

    session.events.slices.connect(note)
    report("update", session.update("image"))
    session.events.slices.disconnect(note)
    return seen[0] if seen else float("nan")


def patient(slices: int, side: int) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Image, truth with three labels, and four painted slices."""
    from napari_fewshot.phantoms import make_phantom, template_slices

    phantom = make_phantom("torso", shape=(slices, side, side))
    truth = np.where(np.isin(phantom.labels.data, LABELS), phantom.labels.data, 0)
    painted = np.zeros_like(truth)
    chosen = list(template_slices(phantom, 4))
    painted[chosen] = truth[chosen]
    return phantom.image, truth, painted


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--side", type=int, default=256)
    options = parser.parse_args()
    os.environ["NAPARI_FEWSHOT_DATA"] = tempfile.mkdtemp()
    import napari

    from napari_fewshot import viewer_session
    from napari_fewshot._napari.widgets.dock import warm_up

    image, truth, painted = patient(options.slices, options.side)
    viewer = napari.Viewer()
    viewer.window.resize(1200, 850)
    viewer.add_image(image.data, name="image")
    viewer.add_labels(painted, name="paint")
    for name in ("Feature extraction", "Adapter training", "Label propagation"):
        viewer.window.add_plugin_dock_widget("napari-fewshot", name)
    session = viewer_session(viewer)
    session.configure(memory_mb=4000)
    session.add_template("image", "paint")
    warm_up().join()  # done long before a person has made a choice
    ticks = Ticks()
    print(
        f"{options.slices} slices of {options.side}², {len(LABELS)} labels, {os.cpu_count()} cores"
    )
    print("job                       seconds   longest gap ms   99th percentile ms")

    def report(name: str, job: object) -> float:
        seconds, longest, high = ticks.during(job)
        print(f"{name:26s}{seconds:7.1f}{longest:15.0f}{high:18.0f}", flush=True)
        return seconds

    report("extract", session.extract("image"))
    report("train, first time", session.train(score=False))
    trained = report("train", session.train(score=False))
    run = report("propagate", session.propagate("image"))

    result = session.result_layer(viewer.layers["image"])
    place = session.next_slice("image")
    session.go_to(place, "image")
    result.data[place] = truth[place]
    session.accept(image="image")
    view = min(place + 3, options.slices - 1)
    session.go_to(view, "image")
    print(f"Update to the slice in view: {update(session, result, view, report):.2f} s")

    model = session.model
    start = time.perf_counter()
    model.with_settings().fit(session._training.templates())
    alone = time.perf_counter() - start
    start = time.perf_counter()
    model.predict(image.data)
    predicted = time.perf_counter() - start
    print(f"worker / main thread: training {trained / alone:.2f}, prediction {run / predicted:.2f}")
    viewer.close()


if __name__ == "__main__":
    main()
