"""Dice on real labelled data, for each adapter, beside a random forest without position.

    python benchmarks/accuracy.py DATA [--tasks ct_torso-5 ...] [--methods contrastive ...]
                                  [--seeds 0 1 2] [--json FILE]

DATA is a folder with the sets of ``TASKS``. Painted slices are evenly spaced among the labelled
slices and left out of the score; labels of more than 800 voxels are scored. Whole volumes and
images are scored where the templates are others. The numbers are means over labels (and cases,
and seeds), by the same function as ``napari-fewshot evaluate``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_fewshot import FewShotSegmenter, Template, Volume, evaluate_labels
from napari_fewshot.adapters import ADAPTERS, AdapterState, PixelAdapter
from napari_fewshot.io import read_labels, read_volume

LEAST_VOXELS = 800


@dataclass(frozen=True)
class Case:
    """An image with its truth, and the slices (of array axis 0) that are painted."""

    image: Volume
    truth: Volume
    painted: tuple[int, ...] = ()


@dataclass(frozen=True)
class Task:
    """Templates, cases to score, and the labels that are scored."""

    templates: list[Template]
    cases: list[Case]
    labels: list[int]


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

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities, shape (n, L + 1)."""
        result = np.zeros((len(features), self.classes), dtype=np.float32)
        result[:, self.forest.classes_] = self.forest.predict_proba(features)
        return result

    def state(self) -> AdapterState:
        """Return nothing: forests are not saved."""
        return AdapterState({}, {})


ADAPTERS.add(
    "forest", lambda config, device: PixelAdapter(Forest(), config.sampling, config.position)
)

METHODS: dict[str, dict[str, Any]] = {
    "forest": {"adapter": "forest", "position": {"use": False}, "propagation": {"smoothing": 0.0}},
    "cosine": {"adapter": "cosine"},
    "classification": {"adapter": "classification"},
    "contrastive": {"adapter": "contrastive"},
    "contrastive, no position": {"adapter": "contrastive", "position": {"use": False}},
    "published cosine": {"adapter": "cosine", "preset": "published"},
    "published classification": {"adapter": "classification", "preset": "published"},
    "published contrastive": {"adapter": "contrastive", "preset": "published"},
}


def evenly(indices: np.ndarray, count: int) -> tuple[int, ...]:
    """Choose slices at equal distances, none of them the first or last."""
    places = np.linspace(0, len(indices) - 1, count + 2)[1:-1]
    return tuple(int(indices[k]) for k in np.round(places).astype(int))


def within(image: Path, labels: Path, count: int) -> Task:
    """Some slices of a volume are painted, the others scored (array axis 0 of the file)."""
    picture, truth = read_volume(image), read_labels(labels)
    painted = evenly(np.flatnonzero(truth.data.any(axis=(1, 2))), count)
    data = np.zeros_like(truth.data)
    data[list(painted)] = truth.data[list(painted)]
    values, sizes = np.unique(truth.data, return_counts=True)
    wanted = [int(v) for v, n in zip(values, sizes, strict=True) if v and n > LEAST_VOXELS]
    template = Template(picture, truth.with_data(data), axis=0)
    return Task([template], [Case(picture, truth, painted)], wanted)


def across(images: list[Path], labels: list[Path], shots: int, others: int) -> Task:
    """Whole images are templates, others are scored."""
    pairs = [(read_volume(i), read_labels(t)) for i, t in zip(images, labels, strict=True)][
        : shots + others
    ]
    templates = [Template(i, t, slices="all") for i, t in pairs[:shots]]
    wanted = sorted({int(v) for _, t in pairs for v in np.unique(t.data)} - {0})
    return Task(templates, [Case(i, t) for i, t in pairs[shots:]], wanted)


def tasks(data: Path) -> dict[str, Callable[[], Task]]:
    """Name and loader of every task."""
    found: dict[str, Callable[[], Task]] = {}
    for name in ("ct_torso", "mr_abdomen"):
        for count in (3, 5):
            folder = data / name
            found[f"{name}-{count}"] = lambda f=folder, n=count: within(
                f / "image.nii.gz", f / "labels.nii.gz", n
            )
    for case in ("SCD0000101", "SCD0000301"):
        for count in (3, 5):
            stem = data / "mr_cardiac" / case
            found[f"mr_cardiac-{case[-3:]}-{count}"] = lambda s=stem, n=count: within(
                Path(f"{s}_image.nii.gz"), Path(f"{s}_labels.nii.gz"), n
            )
    for name, others in (("hippocampus_mr", 20), ("wbc_2d", 17)):
        folder = data / name
        found[f"{name}-3"] = lambda f=folder, n=others: across(
            sorted((f / "images").iterdir()), sorted((f / "labels").iterdir()), 3, n
        )
    return found


def score(task: Task, settings: dict[str, Any], seed: int) -> tuple[float, float]:
    """Mean Dice over the labels and cases, and seconds for training and prediction."""
    start = time.perf_counter()
    model = FewShotSegmenter(seed=seed, **settings)
    model.fit(task.templates)
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
    seconds = time.perf_counter() - start
    return float(np.nanmean(np.nanmean(np.array(rows, dtype=float), axis=0))), seconds


def run(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Score every task with every method and seed."""
    for name, load in tasks(options.data).items():
        if options.tasks and name not in options.tasks:
            continue
        task = load()
        for method in options.methods or METHODS:
            for seed in options.seeds:
                dice, seconds = score(task, METHODS[method], seed)
                print(
                    f"{name:20} {method:26} seed {seed}  {dice:.3f}  {seconds:6.1f} s", flush=True
                )
                yield {
                    "task": name, "method": method, "seed": seed, "dice": dice, "seconds": seconds
                }  # fmt: skip


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
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    rows = list(run(options))
    print("\n" + table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
