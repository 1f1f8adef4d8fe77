"""Where a stage spends its time: stacks of all threads, sampled, and torch's operators."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENTRIES = 12
INTERVAL = 0.005
OURS = "napari_fewshot"


class Sampler:
    """Counts, in all other threads, where in our package they are and what runs at the moment."""

    def __init__(self) -> None:
        self.ours: Counter[str] = Counter()
        self.innermost: Counter[str] = Counter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL):
            for number, frame in sys._current_frames().items():
                if number != threading.get_ident() and _is_running(frame):
                    self._count(frame)

    def _count(self, frame: FrameType) -> None:
        self.innermost[_name(frame)] += 1
        step: FrameType | None = frame
        while step is not None and OURS not in step.f_code.co_filename:
            step = step.f_back
        if step is not None:
            self.ours[_name(step)] += 1


def _is_running(frame: FrameType) -> bool:
    """Whether a thread does something, as far as Python can tell."""
    return frame.f_code.co_name not in ("wait", "_wait_for_tstate_lock", "select", "_worker", "get")


def _name(frame: FrameType) -> str:
    code = frame.f_code
    path = code.co_filename.replace("\\", "/").split("/")
    return f"{'/'.join(path[-2:])}:{frame.f_lineno} {code.co_name}"


@contextmanager
def profiled(name: str) -> Iterator[None]:
    """Print the profile of what is within."""
    from torch.profiler import ProfilerActivity, profile

    start = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as operators, Sampler() as samples:
        yield
        seconds = time.perf_counter() - start
    print(f"\n{name}: {seconds:.2f} s, profiled")
    for title, counts in (("in the package", samples.ours), ("innermost", samples.innermost)):
        total = max(1, sum(counts.values()))
        print(f"  {title}, {total} samples of busy threads")
        for where, count in counts.most_common(ENTRIES):
            print(f"    {100 * count / total:5.1f} %  {where}")
    print("  operators of torch (of the main thread)")
    events = sorted(operators.key_averages(), key=lambda e: -e.self_cpu_time_total)
    for event in events[:ENTRIES]:
        print(f"    {event.self_cpu_time_total / 1e6:7.3f} s  {event.count:7d} ×  {event.key}")
