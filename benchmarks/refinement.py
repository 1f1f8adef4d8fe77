"""Dice before and after the refinement that needs no download, on real labelled data.

    python benchmarks/refinement.py DATA [--tasks ct_torso-3 ...] [--smoothing 3]
                                    [--set walker.appearance=0 ...] [--json FILE]

DATA and the tasks are those of ``accuracy.py``: default backbone and adapter, painted slices left
out of the scores. A larger ``--smoothing`` makes blurred predictions, such as backbones of large
patches make. Times are of one refined slice, on this machine. docs/refinement.md shows the table.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_tasks import Task, tasks

from napari_fewshot import FewShotSegmenter, evaluate_labels, get_refiner
from napari_fewshot.cli.shared import parse_settings
from napari_fewshot.predict.refine import LabelRefiner
from napari_fewshot.predict.refiners import Refiner

TASKS = (
    *(f"{name}-{count}" for name in ("ct_torso", "mr_abdomen") for count in (3, 5)),
    *("hippocampus_mr-1", "hippocampus_mr-3"),
    *(f"mr_cardiac-{case}-{count}" for case in ("101", "301") for count in (3, 5)),
    *("mr_spine-t1-3", "mr_spine-t2-3", "wbc_2d-3"),
)


def score(task: Task, refiner: Refiner, smoothing: float) -> dict[str, Any]:
    """Mean Dice and ASSD over labels and cases, before and after."""
    model = FewShotSegmenter(seed=0, propagation={"smoothing": smoothing}).fit(task.templates)
    rows: dict[str, list[Any]] = {"before": [], "after": []}
    seconds, slices = 0.0, 0
    for case in task.cases:
        found = model.predict(case.image, landmarks=False)
        axis = model.slice_predictor(case.image, landmarks=False).axis
        work = LabelRefiner(case.image, found.labels, found.confidence, refiner, axis=axis)
        start = time.perf_counter()
        slices += sum(part.refined for part in work.run())
        seconds += time.perf_counter() - start
        for when, labels in (("before", found.labels), ("after", work.labels)):
            scores = evaluate_labels(
                labels,
                case.truth.data,
                case.image.spacing,
                labels=task.labels,
                exclude=(0, case.painted) if case.painted else None,
            )
            known = [
                (s.dice, s.assd_mm) if s.truth_voxels else (np.nan,) * 2 for s in scores.labels
            ]
            rows[when].append(known)
    with warnings.catch_warnings():  # a label may have no surface distance in any case
        warnings.simplefilter("ignore", RuntimeWarning)
        old, new = (np.nanmean(np.array(rows[w], float), axis=0) for w in ("before", "after"))
    return {
        "labels": len(task.labels),
        "dice_before": float(np.nanmean(old[:, 0])),
        "dice_after": float(np.nanmean(new[:, 0])),
        "better": int((new[:, 0] > old[:, 0]).sum()),
        "worse": int((new[:, 0] < old[:, 0]).sum()),
        "assd_before": float(np.nanmean(old[:, 1])),
        "assd_after": float(np.nanmean(new[:, 1])),
        "ms_per_slice": round(1000 * seconds / max(1, slices)),
    }


def run(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Score every task."""
    refiner = get_refiner(options.method, config=parse_settings(options.set)).load()
    every = tasks(options.data)
    for name in options.tasks or TASKS:
        row = {"task": name, **score(every[name](), refiner, options.smoothing)}
        print(json.dumps(row), flush=True)
        yield row


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row for each task, then the mean."""
    head = ("", "Dice before", "after", "change", "labels better / worse")
    head = (*head, "ASSD mm before", "after", "ms a slice")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        lines.append(
            f"| {row['task']} | {row['dice_before']:.3f} | {row['dice_after']:.3f} | "
            f"{row['dice_after'] - row['dice_before']:+.4f} | {row['better']} / {row['worse']} | "
            f"{row['assd_before']:.2f} | {row['assd_after']:.2f} | {row['ms_per_slice']} |"
        )
    before, after = (np.mean([row[f"dice_{when}"] for row in rows]) for when in ("before", "after"))
    lines.append(f"| mean | {before:.3f} | {after:.3f} | {after - before:+.4f} | | | | |")
    return "\n".join(lines)


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the labelled sets")
    parser.add_argument("--tasks", nargs="+", help=f"default: {' '.join(TASKS)}")
    parser.add_argument("--method", default="random-walker")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--smoothing", type=float, default=1.0, help="of the prediction, in pixels")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    rows = list(run(options))
    print("\n" + table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
