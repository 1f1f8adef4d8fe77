"""The few-shot mask decoder beside other adapters on the same SAM, and beside our default.

    python benchmarks/sam_decoder.py DATA --weights SAM [--backbone sam-vit-b] [--tasks ...]
                                     [--methods ...] [--seeds 0 1 2] [--device cpu] [--json FILE]

DATA is a folder with ``mr_abdomen`` and ``hippocampus_mr``; the phantoms need none. Painted slices
are evenly spaced and left out of the score. ``hippocampus-5`` has one painted slice in each of five
patients and scores eight others, whole. Dice is the mean over labels (and patients); seconds are
those of the training, encoding of the templates and their copies included, and of a slice. "0.1.0"
is what was called published in version 0.1.0; other variants of "published" each change one thing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from itertools import product
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
PUBLISHED = {**DECODER, "preset": "published"}
FORMER = {
    "target_masks": "coverage",
    "prompts": "drawn",
    "mask_scale": 4,
    "iteration": "copies",
    "best_epoch": True,
    "refit": False,
    "patience": 0,
}
METHODS: dict[str, dict[str, Any]] = {
    "sam-decoder, published": PUBLISHED,
    "published, 0.1.0": {**PUBLISHED, "sam_decoder": FORMER},
    "published, iteration: step": {**PUBLISHED, "sam_decoder": {"iteration": "step"}},
    "published, iteration: copies": {**PUBLISHED, "sam_decoder": {"iteration": "copies"}},
    "published, start: scratch": {**PUBLISHED, "sam_decoder": {"start": "scratch"}},
    "published, start: sam": {**PUBLISHED, "sam_decoder": {"start": "sam"}},
    "published, prompts: drawn": {**PUBLISHED, "sam_decoder": {"prompts": "drawn"}},
    "published, masks: coverage": {**PUBLISHED, "sam_decoder": {"target_masks": "coverage"}},
    "published, mask scale 4": {**PUBLISHED, "sam_decoder": {"mask_scale": 4}},
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
    """Markdown: a row for each method; mean and spread of Dice over seeds, seconds of training."""
    names = list(dict.fromkeys(row["task"] for row in rows))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = []
        for name in names:
            own = [row for row in rows if (row["task"], row["method"]) == (name, method)]
            dice, fit, one = (
                [row[key] for row in own] for key in ("dice", "fit_seconds", "seconds_per_slice")
            )
            spread = f" ± {np.std(dice):.3f}" if len(own) > 1 else ""
            seconds = f"({np.mean(fit):.0f} s, {np.mean(one):.2f} s)" if own else ""
            cells.append(f"{np.mean(dice):.3f}{spread} {seconds}" if own else "")
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
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
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
        for method, seed in product(options.methods or methods, options.seeds):
            found = score(task, methods[method], seed)
            rows.append({"task": name, "method": method, "seed": seed, **found})
            print(json.dumps(rows[-1]), flush=True)
    print("\n" + table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
