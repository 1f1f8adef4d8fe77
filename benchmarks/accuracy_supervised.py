"""Upper line of benchmarks/accuracy.py: a U-Net that learns from all but what is scored."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from accuracy_scores import Found
from accuracy_tasks import Case, Task

from napari_fewshot import Template
from napari_fewshot.bench.methods import MethodContext
from napari_fewshot.bench.methods.unet import UNet

SETTINGS = {"width": 16, "patch": 128, "epochs": 40}
"""Of the baseline: minutes on two cores, where its own settings take hours."""
FOLDS = 2


def supervised(task: Task, seed: int) -> Found:
    """Train on all other images; within a volume on every second slice, for those between them.

    A slice of a volume has its neighbours in the training, as no other method here has.
    """
    start, trained, labels = time.perf_counter(), 0.0, []
    if task.others is not None:
        model, trained = _trained(task.others(), seed)
        labels = [_labels(model, case) for case in task.cases]
    else:
        for case in task.cases:
            found = np.zeros(case.truth.shape, case.truth.data.dtype)
            for template, scored in _folds(case):
                model, seconds = _trained([template], seed)
                trained += seconds
                found[scored] = _labels(model, case)[scored]
            labels.append(found)
    slices = sum(len(one.reshape(-1, *one.shape[-2:])) for one in labels)
    left = time.perf_counter() - start - trained
    return Found(labels, None, trained, left / slices)


def _folds(case: Case) -> Iterator[tuple[Template, list[int]]]:
    """Slices (of array axis 0) to learn from, and those that they label."""
    count = len(case.truth.data)
    for fold in range(FOLDS):
        scored = list(range(fold, count, FOLDS))
        known = sorted({*range(count)} - {*scored})
        yield Template(case.image, case.truth, axis=0, slices=known), scored


def _trained(templates: list[Template], seed: int) -> tuple[UNet, float]:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model = UNet(SETTINGS, MethodContext(seed, "cpu", Path(folder)))
        model.fit(templates)
    return model, time.perf_counter() - start


def _labels(model: UNet, case: Case) -> np.ndarray:
    found = model.predict(case.image, None).labels
    if found is None:
        raise ValueError("the U-Net gave no labels")
    return np.asarray(found)
