"""napari-convpaint on a task of benchmarks/accuracy.py: its Gaussian features and its classifier.

``python convpaint_task.py DATA RESULT [--colour]``. DATA holds images ``train_N`` and ``test_N``,
shape (Z, Y, X) or (Y, X), channels last with ``--colour``; ``paint_N`` of the spatial shape (0
unknown, 1 background, from 2 on the labels); and ``label_values``, which these stand for. RESULT
gets ``labels_N`` and ``confidence_N`` of each test image. Seconds and memory are printed as JSON.
All settings are its own.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from common import resident_peak
from napari_convpaint import ConvpaintModel


def main() -> None:
    """Train, label, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--colour", action="store_true")
    options = parser.parse_args()
    with np.load(options.data) as data:
        values = np.concatenate([[0, 0], data["label_values"]])  # 0: unknown, 1: background

        def images(kind: str) -> list[np.ndarray]:
            names = [name for name in data.files if name.startswith(f"{kind}_")]
            return [data[f"{kind}_{n}"] for n in range(len(names))]

        train, paint, test = images("train"), images("paint"), images("test")
    model = ConvpaintModel(alias="gaussian")
    if options.colour:
        model.set_param("channel_mode", "rgb")
        train, test = ([np.moveaxis(image, -1, 0) for image in part] for part in (train, test))
    start = time.perf_counter()
    model.train(train, paint)
    fitted = time.perf_counter()
    found = {}
    for number, image in enumerate(test):
        # Both of what it gives at once: the classes as its widget shows them.
        probabilities, classes = model._predict(image, add_seg=True)
        shown = np.searchsorted(model.classifier.classes_.ravel(), classes)
        chosen = np.take_along_axis(np.asarray(probabilities), shown[None], axis=0)[0]
        found[f"labels_{number}"] = values[classes]
        found[f"confidence_{number}"] = chosen.astype(np.float32)
    report = {
        "fit_seconds": fitted - start,
        "predict_seconds": time.perf_counter() - fitted,
        "memory_mb": resident_peak(),
    }
    np.savez(options.result, **found)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
