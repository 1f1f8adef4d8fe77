"""The worst slice of a task as a picture: image, truth and prediction side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from accuracy_tasks import Case, Task

from napari_fewshot.bench.drawing import View, as_stack, grey_range, label_colours, lay_out, overlay
from napari_fewshot.bench.pictures import worst_slice

_SIDE = 320


def draw_worst(task: Task, found: Sequence[np.ndarray], path: Path) -> None:
    """Write the slice of all cases with the most wrong pixels (as a part of its slice) as PNG."""
    worst: tuple[float, int, int] | None = None
    for number, (case, labels) in enumerate(zip(task.cases, found, strict=True)):
        guess, truth = _planes(labels), _planes(case.truth.data)
        k = worst_slice(guess, truth, case.painted)
        if k is not None:
            worst = max(worst or (0.0, 0, 0), (float((guess[k] != truth[k]).mean()), number, k))
    if worst is None:
        return
    wrong, number, k = worst
    path.parent.mkdir(parents=True, exist_ok=True)
    where = f"image {number}" if task.cases[number].image.ndim == 2 else f"slice {k}"
    if len(task.cases) > 1 and task.cases[number].image.ndim == 3:
        where = f"image {number}, {where}"
    _draw(task.cases[number], found[number], k, f"{where}: {100 * wrong:.1f} % wrong", path)


def _draw(case: Case, labels: np.ndarray, k: int, title: str, path: Path) -> None:
    image = as_stack(case.image)
    view, limits = View.of(image, 0, [k], _SIDE), grey_range(image)
    truth, guess = case.truth.data.reshape(image.shape), labels.reshape(image.shape)
    values = sorted({int(v) for v in (*np.unique(truth), *np.unique(guess))} - {0})
    plane, colours = view.take(image.data, k), label_colours(values)
    panels = [
        overlay(plane, data if data is None else view.take(data, k), limits, colours, view.size)
        for data in (None, truth, guess)
    ]
    heads = [("image", False), ("truth", False), ("prediction", False)]
    lay_out([panels], [title], heads).save(path, format="PNG")


def _planes(data: np.ndarray) -> np.ndarray:
    return data.reshape(-1, *data.shape[-2:])
