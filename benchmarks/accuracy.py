"""Dice on real labelled data, for each adapter, beside a random forest without position.

    python benchmarks/accuracy.py DATA [--tasks ct_torso-5 ...] [--methods contrastive ...]
                                  [--backbone NAME] [--seeds 0 1 2] [--json FILE]

DATA is a folder with the sets of ``accuracy_tasks.py``. Painted slices are evenly spaced among
the labelled slices and left out of the score; labels of more than 800 voxels are scored. Whole
volumes and images are scored where the templates are others. The numbers are means over labels
(and cases, and seeds), by the same function as ``napari-fewshot evaluate``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accuracy_tasks import Task, tasks

from napari_fewshot import FewShotSegmenter, evaluate_labels
from napari_fewshot.adapters import ADAPTERS, AdapterState, PixelAdapter

if TYPE_CHECKING:
    import torch


class Forest:
    """A random forest on the pixel features, as pixel classification tools train it."""

    def fit(self, samples: Any, seed: int, progress: Any = None) -> Forest:
        """Fit to standardised samples."""
        from sklearn.ensemble import RandomForestClassifier

        self.classes = samples.class_count
        self.forest = RandomForestClassifier(100, n_jobs=2, random_state=seed)
        self.forest.fit(samples.features, samples.classes)
        self.forest.n_jobs = 1  # many small chunks are predicted
        return self

    def projection(self) -> None:
        """Trees look at the features as they are."""

    def predict(self, projected: torch.Tensor) -> torch.Tensor:
        """Class probabilities, shape (n, L + 1)."""
        import torch

        result = np.zeros((len(projected), self.classes), dtype=np.float32)
        result[:, self.forest.classes_] = self.forest.predict_proba(projected.numpy())
        return torch.from_numpy(result)

    def state(self) -> AdapterState:
        """Return nothing: forests are not saved."""
        return AdapterState({}, {})


ADAPTERS.add(
    "forest",
    lambda config, device, weights: PixelAdapter(Forest(), config.sampling, config.position),
)

PUBLISHED: dict[str, Any] = {
    "preset": "published",
    "backbone": "embedded",
    "propagation": {"refinement": {"method": "none"}},
}
"""The published adapters on the features of the others, so that these alone are compared."""

METHODS: dict[str, dict[str, Any]] = {
    "forest": {
        "backbone": "multiscale",
        "adapter": "forest",
        "position": {"use": False},
        "propagation": {"smoothing": 0.0},
    },
    "cosine": {"adapter": "cosine"},
    "classification": {"adapter": "classification"},
    "contrastive": {"adapter": "contrastive"},
    "contrastive, no position": {"adapter": "contrastive", "position": {"use": False}},
    "published cosine": {"adapter": "cosine", **PUBLISHED},
    "published classification": {"adapter": "classification", **PUBLISHED},
    "published contrastive": {"adapter": "contrastive", **PUBLISHED},
}


def score(task: Task, settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Mean Dice over the labels and cases, and seconds: of training, of predicting a slice."""
    start = time.perf_counter()
    model = FewShotSegmenter(seed=seed, **settings)
    model.fit(task.templates)
    fitted = time.perf_counter()
    slices = sum(1 if c.image.ndim == 2 else c.image.shape[0] for c in task.cases)
    rows = []
    for case in task.cases:
        found = model.predict(case.image, landmarks=False)
        scores = evaluate_labels(
            found.labels,
            case.truth.data,
            case.image.spacing,
            labels=task.labels,
            exclude=(0, case.painted) if case.painted else None,
        )
        rows.append([row.dice if row.truth_voxels else np.nan for row in scores.labels])
    return {
        "dice": float(np.nanmean(np.nanmean(np.array(rows, dtype=float), axis=0))),
        "fit_seconds": round(fitted - start, 1),
        "seconds_per_slice": round((time.perf_counter() - fitted) / slices, 3),
    }


def run(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Score every task with every method and seed."""
    for name, load in tasks(options.data).items():
        if options.tasks and name not in options.tasks:
            continue
        task = load()
        given: dict[str, Any] = {"backbone": options.backbone, "weights": options.weights}
        for method in options.methods or METHODS:
            for seed in options.seeds:
                row = {
                    "task": name,
                    "method": method,
                    "seed": seed,
                    **score(task, {**given, **METHODS[method]}, seed),
                }
                print(json.dumps(row), flush=True)
                yield row


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row for each method, a column for each task."""
    names = list(dict.fromkeys(row["task"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = ["| | " + " | ".join(names) + " | mean |", "|---" * (len(names) + 2) + "|"]
    for method in methods:
        means = [
            np.mean([r["dice"] for r in rows if r["task"] == name and r["method"] == method])
            for name in names
        ]
        cells = " | ".join(f"{value:.3f}" for value in [*means, np.mean(means)])
        lines.append(f"| {method} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the labelled sets")
    parser.add_argument("--tasks", nargs="+", help="default: all")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), help="default: all")
    parser.add_argument("--backbone", help="default: that of the package")
    parser.add_argument("--weights", type=Path, help="local weights of the backbone")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    rows = list(run(options))
    print("\n" + table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
