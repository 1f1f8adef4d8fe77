"""Seconds of each stage on a volume, beside the bare forward pass in the same process.

    python benchmarks/speed_stages.py [--slices 50] [--side 256] [--threads N]
                                      [--first torch numpy napari] [--profile]

The torso phantom, three labels, three painted slices, default settings. The last line is JSON:
seconds, Dice, and digests of labels and confidence. ``--first``
imports modules before us, as other plugins of a viewer do; ``--threads`` sets torch's threads.
``--profile`` prints where each stage spends its time, in all threads.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from napari_fewshot import FewShotSegmenter, Prediction

LABELS = (1, 6, 9)
Watch = Callable[[str], contextlib.AbstractContextManager[None]]


class Stages:
    """Seconds by name of stage; ``watch`` looks over each, for a profile."""

    def __init__(self, watch: Watch | None) -> None:
        self.seconds: dict[str, float] = {}
        self._watch = watch

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is within."""
        with self._watch(name) if self._watch else contextlib.nullcontext():
            start = time.perf_counter()
            yield
            self.seconds[name] = time.perf_counter() - start


def bare_pass(model: FewShotSegmenter, slices: int, side: int) -> dict[str, float]:
    """Seconds of the network alone for all slices: the quickest way that torch itself has.

    One slice at a time with all of torch's threads, and one in each thread with a thread each.
    """
    from concurrent.futures import ThreadPoolExecutor

    import torch

    encode = model.extractor.backbone.encode
    image = torch.rand(1, 1, 3, side, side)
    threads = torch.get_num_threads()
    count = max(8, 2 * threads)

    def one(_: int) -> None:
        torch.set_num_threads(1)  # of this thread
        with torch.inference_mode():
            encode(image)

    with torch.inference_mode():
        encode(image)
        start = time.perf_counter()
        for _ in range(count):
            encode(image)
        together = (time.perf_counter() - start) / count * slices
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(threads)))
        start = time.perf_counter()
        list(pool.map(one, range(count)))
        beside = (time.perf_counter() - start) / count * slices
    torch.set_num_threads(threads)
    return {"threads within": together, "slices side by side": beside}


def matrix_rate(device: str = "cpu", side: int = 2048, dtype: torch.dtype | None = None) -> float:
    """Operations a second of a large product of matrices, in 10⁹: what the machine can do."""
    import torch

    a = torch.rand(side, side, device=device, dtype=dtype)
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    rates = []
    for _ in range(6):
        wait()
        start = time.perf_counter()
        a @ a
        wait()
        rates.append(2e-9 * side**3 / (time.perf_counter() - start))
    return max(rates)


def operations(encode: Callable[[Any], Any], image: torch.Tensor) -> float:
    """Multiplications and additions of one pass, in 10⁹."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        encode(image)
    return counter.get_total_flops() / 1e9


def run(slices: int, side: int, watch: Watch | None) -> dict[str, Any]:
    """All stages in the order in which a person comes by them."""
    stages = Stages(watch)
    stage = stages.stage
    with stage("import"):
        from napari_fewshot import FeatureCache, FewShotSegmenter, Template
        from napari_fewshot.segmenter.extraction import extract_features
    from napari_fewshot.phantoms import make_phantom, template_slices

    phantom = make_phantom("torso", shape=(slices, side, side))
    image = phantom.image
    truth = np.where(np.isin(phantom.labels.data, LABELS), phantom.labels.data, 0)
    painted = np.zeros_like(truth)
    chosen = list(template_slices(phantom, 3))
    painted[chosen] = truth[chosen]
    template = Template(image, painted)

    with stage("load"):
        model = FewShotSegmenter()
        model.extractor  # noqa: B018 # it loads the network
    bare = bare_pass(model, slices, side)

    view = next(k for k in range(slices // 2, slices) if k not in chosen)
    start = time.perf_counter()

    def at_once(early: FewShotSegmenter) -> None:  # as in the viewer, after the first training
        early.slice_predictor(image).preview(view)
        stages.seconds["train to first slice"] = time.perf_counter() - start

    with stage("train"):
        model.fit(template, at_once=at_once)
    with stage("predict all"):
        found = model.predict(image)

    # As in the viewer: features are kept.
    kept = FewShotSegmenter(cache=FeatureCache(1e6))
    with stage("extract"):
        extract_features(kept, [template], image)
    kept.fit(template)
    with stage("predict again"):
        again = kept.predict(image)
    corrected = painted.copy()
    corrected[view] = truth[view]
    with stage("retrain"):
        updated = kept.updated(Template(image, corrected))
    beside = next(k for k in range(view + 1, slices) if k not in chosen)
    with stage("slice in view"):
        updated.slice_predictor(image).preview(beside)
    with stage("predict after correction"):
        updated.predict(image)
    later = bare_pass(model, slices, side)
    bare = {name: min(seconds, later[name]) for name, seconds in bare.items()}
    return {
        "seconds": stages.seconds,
        "bare": bare,
        "dice": dice(found.labels, truth),
        "digest": digest(found),
        "digest_again": digest(again),
        **network(model, side),
    }


def network(model: FewShotSegmenter, side: int) -> dict[str, float]:
    """Operations of a slice and the rate of this machine, both in 10⁹."""
    import torch

    image = torch.rand(1, 1, 3, side, side)
    return {
        "operations": operations(model.extractor.backbone.encode, image),
        "matrix_rate": matrix_rate(),
        "threads": torch.get_num_threads(),
    }


def dice(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Dice of each label."""
    values = {}
    for value in LABELS:
        a, b = found == value, truth == value
        values[str(value)] = round(float(2 * (a & b).sum() / max(1, a.sum() + b.sum())), 4)
    return values


def digest(found: Prediction) -> str:
    """Of labels and confidence, bit for bit."""
    both = hashlib.sha256(np.ascontiguousarray(found.labels).tobytes())
    both.update(np.ascontiguousarray(found.confidence).tobytes())
    return both.hexdigest()[:16]


def main() -> None:
    """Run the stages and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=50)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--threads", type=int, help="torch.set_num_threads")
    parser.add_argument("--first", nargs="*", default=[], help="modules to import before ours")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    if "napari" in options.first:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    for name in options.first:
        importlib.import_module(name)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    watch = None
    if options.profile:
        from speed_profile import profiled as watch
    print(json.dumps(run(options.slices, options.side, watch)))


if __name__ == "__main__":
    main()
