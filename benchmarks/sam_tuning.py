"""What tuning SAM's mask decoder on painted slices changes: Dice on the others, before and after.

    python benchmarks/sam_tuning.py DATA --sam-weights SAM [--sam sam-vit-b] [--tasks NAME ...]
                                    [--seeds 0 1 2] [--set KEY=VALUE ...] [--device cpu]
                                    [--json FILE] [--page docs/sam.md]

DATA is a folder with the sets of ``accuracy_tasks.py``. The prompts are those of the truth: a box
round each part of a label, the deepest point of each part, and all points of a label together.
Painted slices, and images that were learned from, are not scored; of a volume a dozen other slices
are. Mean over labels, with the standard deviation over seeds, which draw the prompts.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_tasks import Case, Task, across, within

from napari_fewshot import FeatureCache, evaluate_labels, load_sam, sam_boxes, sam_points
from napari_fewshot.cli.shared import parse_settings
from napari_fewshot.io import read_labels, read_volume
from napari_fewshot.sam import SamModel, tune_sam

MARKS = ("<!-- Written by benchmarks/sam_tuning.py. -->", "<!-- End of what it writes. -->")
SCORED = 12
PROMPTS: dict[str, Callable[..., Any]] = {
    "boxes": sam_boxes,
    "points": sam_points,
    "points, together": partial(sam_points, config={"each": "label"}),
}


def tasks(data: Path) -> dict[str, Callable[[], Task]]:
    """Name and loader of every task."""
    found: dict[str, Callable[[], Task]] = {}
    for name, stem in (("MR abdomen", "mr_abdomen/"), ("MR spine", "mr_spine/t1_")):
        files = [data / f"{stem}{kind}.nii.gz" for kind in ("image", "labels")]
        found[name] = partial(within, *files, 5)
    found["MR heart, other subject"] = partial(other_subject, data / "mr_cardiac")
    found["blood cells"] = partial(across, data / "wbc_2d", 5, 15)
    return found


def other_subject(folder: Path) -> Task:
    """Five slices of one subject teach, another is scored."""
    first, second = (
        [folder / f"{case}_{kind}.nii.gz" for kind in ("image", "labels")]
        for case in ("SCD0000101", "SCD0000301")
    )
    task = within(*first, 5)
    return Task(task.templates, [Case(read_volume(second[0]), read_labels(second[1]))], task.labels)


def score(task: Task, prompt: Callable[..., Any], sam: SamModel) -> float:
    """Mean Dice over labels and cases; of volumes over some slices with labels."""
    values = []
    for case in task.cases:
        slices, exclude = None, None
        if case.image.ndim == 3:
            labelled = np.flatnonzero(case.truth.data.any(axis=(1, 2)))
            left = [int(k) for k in labelled if k not in case.painted]
            slices = [left[k] for k in np.linspace(0, len(left) - 1, SCORED).astype(int)]
            exclude = (0, sorted(set(range(len(case.truth.data))) - set(slices)))
        axis = 0 if case.image.ndim == 3 else None
        found = prompt(case.image, case.truth, sam=sam, axis=axis, slices=slices)
        values.append(
            evaluate_labels(
                found.labels,
                case.truth.data,
                case.truth.spacing,
                labels=task.labels,
                exclude=exclude,
            ).mean.dice
        )
    return float(np.nanmean(values))


def compare(task: Task, sam: SamModel, seeds: list[int], settings: dict[str, Any]) -> Any:
    """Dice before, those after with each seed, and seconds of a tuning, by prompt."""
    before = {name: score(task, prompt, sam) for name, prompt in PROMPTS.items()}
    after: dict[str, list[float]] = {name: [] for name in PROMPTS}
    seconds = []
    for seed in seeds:
        start = time.perf_counter()
        tuned = tune_sam(task.templates, sam=sam, config={"seed": seed, **settings}).sam
        seconds.append(time.perf_counter() - start)
        for name, prompt in PROMPTS.items():
            after[name].append(score(task, prompt, tuned))
    return {"before": before, "after": after, "seconds": seconds}


def table(rows: dict[str, Any]) -> list[str]:
    """A row for each task and prompt."""
    lines = ["| | prompt | before | after |", "|---|---|---|---|"]
    for name, row in rows.items():
        for prompt, before in row["before"].items():
            after = row["after"][prompt]
            spread = f" ± {np.std(after):.3f}" if len(after) > 1 else ""
            lines.append(f"| {name} | {prompt} | {before:.3f} | {np.mean(after):.3f}{spread} |")
    return lines


def main() -> None:
    """Print the row of each task as it comes, then the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--sam", default="sam-vit-b")
    parser.add_argument("--sam-weights", type=Path)
    parser.add_argument("--tasks", nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    sam = load_sam(
        options.sam, weights=options.sam_weights, device=options.device, cache=FeatureCache()
    )
    rows = {}
    for name, load in tasks(options.data).items():
        if not options.tasks or name in options.tasks:
            rows[name] = compare(load(), sam, options.seeds, parse_settings(options.set))
            print("\n".join(table({name: rows[name]})[2:]), flush=True)
            print(f"  {np.mean(rows[name]['seconds']):.1f} s a tuning", flush=True)
    print("", *table(rows), sep="\n")
    if options.page is not None:
        page = options.page.read_text(encoding="utf-8")
        before, _, rest = page.partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        text = "\n".join([f"{before}{MARKS[0]}", "", *table(rows), "", f"{MARKS[1]}{after}"])
        options.page.write_text(text, encoding="utf-8")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
