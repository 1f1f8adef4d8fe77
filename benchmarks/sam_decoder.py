"""The few-shot mask decoder beside other adapters on the same SAM, and beside our default.

    python benchmarks/sam_decoder.py DATA --weights SAM [--backbone sam-vit-b] [--tasks ...]
                                     [--methods ...] [--seed 0] [--device cpu] [--json FILE]

DATA is a folder with ``mr_abdomen`` and ``hippocampus_mr``; the phantoms need none. Painted slices
are evenly spaced and left out of the score. ``hippocampus-5`` has one painted slice in each of five
patients and scores eight others, whole. Dice is the mean over labels (and patients); seconds are
those of the training, encoding of the templates and their copies included, and of a slice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import score
from accuracy_tasks import Case, Task, evenly, within

from napari_fewshot import Template
from napari_fewshot.io import read_labels, read_volume
from napari_fewshot.phantoms import PhantomKind, make_phantom, painted_labels, template_slices

OTHERS = 8
DECODER = {"adapter": "sam-decoder"}
METHODS: dict[str, dict[str, Any]] = {
    "sam-decoder, published": {**DECODER, "preset": "published"},
    "sam-decoder, random start": {**DECODER, "sam_decoder": {"start": "he"}},
    "sam-decoder, no copies": {**DECODER, "sam_decoder": {"augmentations": 0}},
    "sam-decoder": DECODER,
    "classification": {"adapter": "classification"},
    "contrastive": {"adapter": "contrastive"},
}
DEFAULT = "embedded, contrastive"


def phantom(kind: PhantomKind, count: int, shape: tuple[int, int, int]) -> Task:
    """Some slices of a phantom are painted, the others scored."""
    made = make_phantom(kind, 0, shape)
    painted = template_slices(made, count)
    template = Template(made.image, painted_labels(made, painted), axis=0)
    labels = [int(value) for value in np.unique(made.labels.data) if value]
    return Task([template], [Case(made.image, made.labels, painted)], labels)


def patients(folder: Path, shots: int) -> Task:
    """One slice in each of some patients is painted, at another height in each."""
    pairs = []
    for path in sorted((folder / "images").iterdir())[: shots + OTHERS]:
        truth = next((folder / "labels").glob(f"{path.name.partition('.')[0]}*"))
        pairs.append((read_volume(path), read_labels(truth)))
    templates = []
    for number, (image, truth) in enumerate(pairs[:shots]):
        index = evenly(np.flatnonzero(truth.data.any(axis=(1, 2))), shots)[number]
        data = np.zeros_like(truth.data)
        data[index] = truth.data[index]
        templates.append(Template(image, truth.with_data(data), axis=0))
    return Task(templates, [Case(image, truth) for image, truth in pairs[shots:]], [1, 2])


def tasks(data: Path) -> dict[str, Callable[[], Task]]:
    """Name and loader of every task."""
    abdomen = data / "mr_abdomen"
    found: dict[str, Callable[[], Task]] = {}
    for count in (3, 5):
        found[f"joint-{count}"] = partial(phantom, "joint", count, (32, 96, 96))
    for count in (3, 5):
        image, labels = abdomen / "image.nii.gz", abdomen / "labels.nii.gz"
        found[f"mr_abdomen-{count}"] = partial(within, image, labels, count)
    for shots in (3, 5):
        found[f"hippocampus-{shots}"] = partial(patients, data / "hippocampus_mr", shots)
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row for each method, Dice and seconds of training and of a slice."""
    names = list(dict.fromkeys(row["task"] for row in rows))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = {row["task"]: row for row in rows if row["method"] == method}
        cells = [
            f"{r['dice']:.3f} ({r['fit_seconds']:.0f} s, {r['seconds_per_slice']:.2f} s)"
            if (r := own.get(name))
            else ""
            for name in names
        ]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the labelled sets")
    parser.add_argument("--weights", type=Path, help="checkpoint of the SAM")
    parser.add_argument("--backbone", default="sam-vit-b", help="name of the SAM")
    parser.add_argument("--tasks", nargs="+", help="default: all")
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, DEFAULT], help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    sam = {"backbone": options.backbone, "weights": options.weights, "device": options.device}
    methods = {name: {**sam, **settings} for name, settings in METHODS.items()}
    methods[DEFAULT] = {"device": options.device}
    rows = []
    for name, load in tasks(options.data).items():
        if options.tasks and name not in options.tasks:
            continue
        task = load()
        for method in options.methods or methods:
            row = {"task": name, "method": method, **score(task, methods[method], options.seed)}
            print(json.dumps(row), flush=True)
            rows.append(row)
    print("\n" + table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
