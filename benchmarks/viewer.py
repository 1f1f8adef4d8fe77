"""How the viewer feels: gaps between ticks of the GUI during each action, and seconds to labels.

    xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/viewer.py [--slices 100] [--side 256]

A volume of the torso phantom with three labels, default backbone and adapter, in a real viewer.
Printed: seconds of each action with its job, the longest and the 99th percentile of the time
between two ticks of a 5 ms timer, the most processor time of the GUI thread between two of them
(which is the same on a busy machine), seconds from Update to the slice in view, and how long the
same training and prediction take on the worker beside on the main thread, in one run. ``--where``
says what the GUI thread did in gaps of over 100 ms, by samples of its stack.
"""

from __future__ import annotations

import argparse
import collections
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_fewshot import Volume
    from napari_fewshot._napari.session import Session

    Report = Callable[[str, Callable[[], Any]], float]

LABELS = (1, 6, 9)
DOCKS = ("Feature extraction", "Adapter training", "Label propagation")
PLUGIN = "napari-fewshot"
GAP_S, SAMPLE_S, SHOWN = 0.1, 0.01, 5


class Ticks:
    """Time between two ticks of the GUI thread."""

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self.gaps: list[tuple[float, float, float]] = []  # when, how long, processor time
        self._last, self._used = time.perf_counter(), time.thread_time()
        self._timer = QTimer()
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now, used = time.perf_counter(), time.thread_time()
        self.gaps.append((self._last, now - self._last, used - self._used))
        self._last, self._used = now, used

    def during(self, act: Callable[[], Any]) -> float:
        """Seconds of an action, and of the job that it gives; gaps are those since it began."""
        from qtpy.QtWidgets import QApplication

        self.gaps.clear()
        self._last = start = time.perf_counter()
        self._used = time.thread_time()
        job = act()
        if hasattr(job, "wait"):
            job.wait()
        seconds = time.perf_counter() - start
        until = time.perf_counter() + 0.3
        while time.perf_counter() < until:  # what is drawn afterwards is of the action, too
            QApplication.processEvents()
        return seconds


class Stacks(threading.Thread):
    """Samples of what the GUI thread does."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._of = threading.main_thread().ident
        self.samples: collections.deque[tuple[float, str]] = collections.deque(maxlen=20_000)

    def run(self) -> None:
        """Sample until the program ends."""
        while True:
            time.sleep(SAMPLE_S)
            frame, lines = sys._current_frames().get(self._of), []
            while frame is not None:
                lines.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
                frame = frame.f_back
            self.samples.append((time.perf_counter(), _in_short(lines)))

    def within(self, start: float, seconds: float) -> list[tuple[int, str]]:
        """What was done in a gap, and in how many samples, the most frequent first."""
        found = [what for when, what in list(self.samples) if start <= when <= start + seconds]
        return [(n, what) for what, n in collections.Counter(found).most_common(SHOWN)]


def _in_short(stack: list[tuple[str, int, str]]) -> str:
    """The innermost functions of the package, else "none of ours" and the innermost of all."""
    named = [f"{Path(file).name} {name}" for file, _, name in stack]
    ours = [one for one, (file, *_) in zip(named, stack, strict=True) if "napari_fewshot" in file]
    return " < ".join(dict.fromkeys(ours[:4])) if ours else f"none of ours: {(named or ['?'])[0]}"


def update(session: Session, labels: Labels, view: int, report: Report) -> float:
    """Seconds from Update to the slice in view."""
    before, start = labels.data[view].copy(), time.perf_counter()
    seen: list[float] = []

    def note() -> None:
        if not seen and (labels.data[view] != before).any():
            seen.append(time.perf_counter() - start)

    session.events.slices.connect(note)
    report("update", lambda: session.update("image"))
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


def opening(viewer: Any, report: Report) -> None:
    """The sample and all docks, from an empty viewer."""

    def show(name: str) -> None:
        viewer.window.add_plugin_dock_widget(PLUGIN, name)

    report("open the sample", lambda: viewer.open_sample(PLUGIN, "torso"))
    report("the one dock", lambda: show("Few-shot segmentation"))
    viewer.layers.clear()
    for name in DOCKS:
        report(f"dock {name}", lambda name=name: show(name))


def working(viewer: Any, slices: int, side: int, report: Report) -> None:
    """From an image to labels, a correction, and another day."""
    from napari_fewshot import viewer_session
    from napari_fewshot._napari.widgets.dock import warm_up

    image, truth, painted = patient(slices, side)
    report("open an image", lambda: viewer.add_image(image.data, name="image"))
    report("add labels", lambda: viewer.add_labels(painted, name="paint"))
    session = viewer_session(viewer)
    session.configure(memory_mb=4000)
    report("add template", lambda: session.add_template("image", "paint"))
    warm_up().join()  # done long before a person has made a choice
    report("extract", lambda: session.extract("image"))
    report("train, first time", lambda: session.train(score=False))
    trained = report("train", lambda: session.train(score=False))
    run = report("propagate", lambda: session.propagate("image"))

    result = session.result_layer(viewer.layers["image"])
    place = session.next_slice("image")
    session.go_to(place, "image")
    result.data[place] = truth[place]
    report("accept", lambda: session.accept(image="image"))
    view = min(place + 3, slices - 1)
    session.go_to(view, "image")
    print(f"Update to the slice in view: {update(session, result, view, report):.2f} s")
    report("save", session.save)
    folder, model, templates = (
        session.autosave_folder,
        session.model,
        session._training.templates(),
    )
    report("close the layers", viewer.layers.clear)
    viewer.add_image(image.data, name="image")
    report("restore", lambda: session.restore(folder))

    start = time.perf_counter()
    model.with_settings().fit(templates)
    alone = time.perf_counter() - start
    start = time.perf_counter()
    model.predict(image.data)
    predicted = time.perf_counter() - start
    print(f"worker / main thread: training {trained / alone:.2f}, prediction {run / predicted:.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--where", action="store_true", help="what was done in long gaps")
    options = parser.parse_args()
    os.environ["NAPARI_FEWSHOT_DATA"] = tempfile.mkdtemp()
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(1200, 850)
    ticks, stacks = Ticks(), Stacks()
    if options.where:
        stacks.start()
    print(
        f"{options.slices} slices of {options.side}², {len(LABELS)} labels, {os.cpu_count()} cores"
    )
    print("action                    seconds   longest gap ms   99th percentile ms   processor ms")

    def report(name: str, act: Callable[[], Any]) -> float:
        seconds = ticks.during(act)
        gaps = list(ticks.gaps)
        lengths, used = 1000 * np.array(gaps)[:, 1:].T
        high = np.percentile(lengths, 99)
        print(
            f"{name:26s}{seconds:7.1f}{lengths.max():15.0f}{high:18.0f}{used.max():17.0f}",
            flush=True,
        )
        for start, length, _ in gaps if options.where else ():
            if length > GAP_S:
                print(f"    {1000 * length:.0f} ms:")
                for count, what in stacks.within(start, length):
                    print(f"      {count:4d} {what}")
        return seconds

    opening(viewer, report)
    working(viewer, options.slices, options.side, report)
    viewer.close()


if __name__ == "__main__":
    main()
