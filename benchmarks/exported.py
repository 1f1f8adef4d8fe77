"""The exported network against the model it came from: seconds of one slice, in one process.

    python benchmarks/exported.py [--sides 128 256 512] [--page docs/tasks/share-a-model.md]

A model of a computed torso is exported to ONNX. ``predict``'s own way (one slice, as the viewer's
preview asks for it), ONNX Runtime, and OpenVINO where it is installed, label slices of another
torso in turn, with the same number of threads; the table has the medians, and each as a multiple
of ours. The machine may be busy: they take turns, so that ratios hold.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from page import write_sections

from napari_fewshot import FewShotSegmenter, Template, Volume
from napari_fewshot.export import export_model
from napari_fewshot.export.network import SliceNetwork
from napari_fewshot.export.sample import seen
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices
from napari_fewshot.predict.predictor import PredictionRequest
from napari_fewshot.slices.stack import SliceStack

SLICES = 3
THREADS = 1

Array = Any


def trained() -> FewShotSegmenter:
    """A model of nine labels, learned as by default."""
    phantom = make_phantom("torso", 0, (12, 128, 128))
    painted = painted_labels(phantom, template_slices(phantom, 3))
    return FewShotSegmenter(device="cpu").fit(Template(phantom.image, painted))


def runtime(path: Path) -> Callable[[Array, Array], Array]:
    """The file in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return lambda image, depth: session.run(None, dict(zip(names, (image, depth), strict=False)))[0]


def openvino(path: Path) -> Callable[[Array, Array], Array]:
    """The file in OpenVINO."""
    import openvino as ov

    network = ov.compile_model(
        ov.Core().read_model(path),
        "CPU",
        {"INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32"},
    )
    count = len(network.inputs)
    return lambda image, depth: network([image, depth][:count])[0]


def measure(model: FewShotSegmenter, path: Path, side: int) -> dict[str, tuple[float, float]]:
    """Seconds of a slice and share of equal labels, for each way."""
    # Without its place in the patient slices are as they are stored, for both.
    image = Volume.of(np.asarray(make_phantom("torso", 1, (8, side, side)).image.data))
    predictor = model.volume_predictor()
    learned = predictor.model
    reach = SliceNetwork(predictor.experts).reach
    stack = SliceStack(image, learned.axes[0], learned.config.intensity)
    slices = predictor.slices(image, PredictionRequest(learned.axes[0], landmarks=False))
    values = np.array([0, *learned.label_values])
    ways: dict[str, Callable[[Array, Array], Array]] = {"ONNX Runtime": runtime(path)}
    if find_spec("openvino"):
        ways["OpenVINO"] = openvino(path)
    seconds: dict[str, list[float]] = {"napari-fewshot": [], **{name: [] for name in ways}}
    equal: dict[str, list[float]] = {name: [] for name in seconds}
    for index in [0, *range(SLICES)]:  # the first one warms up
        start = time.perf_counter()
        own = slices.preview(index).labels
        seconds["napari-fewshot"].append(time.perf_counter() - start)
        equal["napari-fewshot"].append(1.0)
        place = stack.position(index).columns(np.zeros(1, int))[:, learned.axes[0]]
        given = seen(stack, index, reach)[None], place[None].astype(np.float32)
        for name, way in ways.items():
            start = time.perf_counter()
            found = way(*given)
            seconds[name].append(time.perf_counter() - start)
            equal[name].append(float((values[found[0].argmax(axis=0)] == own).mean()))
    return {
        name: (statistics.median(taken[1:]), min(equal[name])) for name, taken in seconds.items()
    }


def table(rows: dict[int, dict[str, tuple[float, float]]]) -> list[str]:
    """Lines of the table."""
    names = list(next(iter(rows.values())))
    lines = [
        f"| one slice, {THREADS} thread | {' | '.join(names)} | equal labels |",
        f"|---|{'---|' * len(names)}---|",
    ]
    for side, row in rows.items():
        ours = row[names[0]][0]
        cells = [f"{row[name][0]:.2f} s (× {row[name][0] / ours:.2f})" for name in names]
        alike = min(share for _, share in row.values())
        lines.append(f"| {side}² | {' | '.join(cells)} | {100 * alike:.3f} % |")
    return lines


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--page", type=Path, help="page whose table is written anew")
    options = parser.parse_args()

    import torch

    torch.set_num_threads(THREADS)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        model = trained()
        path = Path(folder, "model.onnx")
        print(export_model(model, path).agreement, flush=True)
        for side in options.sides:
            rows[side] = measure(model, path, side)
            print(table(rows)[-1], flush=True)
    print(*table(rows), sep="\n")
    if options.page is not None:
        write_sections(options.page, "exported.py", {"runtimes": table(rows)})


if __name__ == "__main__":
    main()
