"""What fine-tuning of the embedded network brings, and what it forgets: docs/finetune.md.

    python benchmarks/finetuning.py DATA OUT [--sets hippocampus_mr wbc_2d em_vnc ct_torso]
                                    [--steps 60 120] [--seeds 0 1 2] [--tasks hippocampus_mr ...]
                                    [--shares 1 0.5] [--set contrast.synthetic=0 ...] [--tag TEXT]
                                    [--minutes M] [--train-only | --score-only]
    python benchmarks/finetuning.py --report OUT [--tag TEXT] [--page docs/finetune.md]

For each set and seed the network learns from images without labels: the first 20 hippocampi, the
first 8 stained blood cells, or all slices of the one volume. After each number of ``--steps`` its
averaged weights are kept in the folder OUT, and scored: Dice of a classification adapter on these
features alone (no other experts, no position), three labelled images or slices, on images that
were not learned from where there are several. ``--shares`` are of the tuned weights in a mean with
those of the start (1: the tuned ones). Scores on the other sets show what is forgotten. A run goes
on where it stopped: weights that are there are not made again, rows of OUT/rows.jsonl are not
scored again. ``--minutes`` starts nothing after that time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accuracy_methods import ALONE
from accuracy_scores import Found, score
from accuracy_tasks import Task, tasks
from page import write_sections
from results import Results, version
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from napari_fewshot import FewShotSegmenter
from napari_fewshot.backbones import get_backbone
from napari_fewshot.backbones.embedded import WEIGHTS
from napari_fewshot.cli.shared import parse_settings
from napari_fewshot.config import FinetuneConfig
from napari_fewshot.config.base import merged_settings
from napari_fewshot.finetuning.contrast import DenseContrast
from napari_fewshot.finetuning.group import Group
from napari_fewshot.finetuning.mixing import blended
from napari_fewshot.finetuning.scans import Scans

UNLABELLED = {"hippocampus_mr": 20, "wbc_2d": 8}
"""Images of a set that are learned from: the first ones by name. Of other sets: the volume."""
VOLUMES = {"em_vnc": "image.tif", "ct_torso": "image.nii.gz", "mr_abdomen": "image.nii.gz"}
TASKS = (*UNLABELLED, *VOLUMES)
MOST_CASES = 6
START = "start"
SETTINGS = {
    "adapter": "classification",
    "classification": {"steps": 300},
    "experts": ALONE,
    "position": {"use": False},
}


def images_of(data: Path, name: str) -> list[Any]:
    """Images of a set that are learned from."""
    if name in VOLUMES:
        return [data / name / VOLUMES[name]]
    return sorted((data / name / "images").iterdir())[: UNLABELLED[name]]


def weights_path(out: Path, name: str, seed: int, tag: str, steps: int) -> Path:
    """Where the weights of a run after some steps are kept."""
    return out / f"{name}-{seed}-{tag}-{steps}.safetensors"


def train(options: argparse.Namespace, name: str, seed: int, tag: str, end: float) -> None:
    """Learn from a set, and keep the weights after each number of steps."""
    wanted = sorted(options.steps)
    path = weights_path(options.out, name, seed, tag, 0).with_suffix(".pt")
    if all(weights_path(options.out, name, seed, tag, n).exists() for n in wanted):
        return
    settings = merged_settings({"seed": seed}, parse_settings(options.set))
    config = FinetuneConfig.of(settings, "settings")
    scans = Scans.of(images_of(options.data, name), config)
    learner = DenseContrast(get_backbone("embedded", None), scans, config, Group("cpu"))
    if path.exists():
        learner.restore(torch.load(path, weights_only=True))
    begin, first = time.monotonic(), learner.steps
    while learner.steps < wanted[-1] and time.monotonic() < end:
        found = learner.step(learner.steps)
        if learner.steps % 10 == 0 or learner.steps in wanted or time.monotonic() >= end:
            seconds = (time.monotonic() - begin) / (learner.steps - first)
            parts = {key: round(value, 4) for key, value in found.items()}
            print(f"{name} {seed} {tag} {learner.steps}: {seconds:.2f} s/step {parts}", flush=True)
            torch.save(learner.state(), path)
        if learner.steps in wanted:
            learner.write(
                weights_path(options.out, name, seed, tag, learner.steps), learner.averaged(), {}
            )


def mixed(out: Path, path: Path, share: float) -> Path:
    """Weights of a file in a mean with those of the start."""
    if share == 1:
        return path
    with safe_open(path, "pt") as file:
        about = file.metadata()
    target = out / "mixed.safetensors"
    save_file(blended(load_file(WEIGHTS), load_file(path), share), target, about)
    return target


@cache
def task_of(data: Path, name: str) -> Task:
    """Task of a set with three labelled images or slices, of few cases."""
    found = tasks(data)[f"{name}-3"]()
    return replace(found, cases=found.cases[:MOST_CASES])


def dice(
    task: Task, weights: Path | None, seed: int, backbone: str = "embedded"
) -> tuple[float, float]:
    """Mean Dice with a weights file, and the seconds that it took."""
    begin = time.perf_counter()
    model = FewShotSegmenter(backbone=backbone, weights=weights, seed=seed, **SETTINGS)
    model.fit(task.templates)
    labels = [np.asarray(model.predict(c.image, landmarks=False).labels) for c in task.cases]
    found = score(task, Found(labels, None, 0.0, 0.0))
    return round(float(found["dice"]), 4), round(time.perf_counter() - begin, 1)


def planned(options: argparse.Namespace, tag: str) -> Iterator[tuple[str, int, Path | None, float]]:
    """What is scored: name of the method, seed, weights, and their share."""
    for seed in options.seeds:
        yield START, seed, None, 1.0
        for name in options.sets:
            for steps in options.steps:
                path = weights_path(options.out, name, seed, tag, steps)
                for share in options.shares if path.exists() else ():
                    mean = "" if share == 1 else f" x {share:g}"
                    yield f"{name} {steps}{mean}", seed, path, share


def report(rows: list[dict[str, Any]]) -> list[str]:
    """A table: tasks across, weights down, mean and spread over the seeds."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    names = [name for name in TASKS if any(row["task"] == name for row in rows)]
    lines = [f"| weights | {' | '.join(names)} |", "|" + "---|" * (len(names) + 1)]
    for method in methods:
        cells = []
        for name in names:
            values = [r["dice"] for r in rows if (r["task"], r["method"]) == (name, method)]
            spread = f" ± {np.std(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.3f}{spread}" if values else "")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Train, score, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder of the labelled sets")
    parser.add_argument("out", type=Path, help="folder of weights and rows")
    parser.add_argument("--sets", nargs="+", choices=TASKS, default=["hippocampus_mr"])
    parser.add_argument("--steps", nargs="+", type=int, default=[60, 120])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=["hippocampus_mr", "wbc_2d"])
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0, 0.5])
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    parser.add_argument("--tag", help="name of these settings")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--score-only", action="store_true")
    parser.add_argument("--report", action="store_true", help="of OUT; run nothing")
    parser.add_argument("--page", type=Path, help="page whose table is written anew")
    options = parser.parse_args()
    tag = options.tag or version().replace(" ", "-")
    end = time.monotonic() + 60 * options.minutes
    results = Results(options.out / "rows.jsonl", (START,), ("dice",))
    options.out.mkdir(parents=True, exist_ok=True)
    if not (options.report or options.score_only):
        for seed in options.seeds:
            for name in options.sets:
                train(options, name, seed, tag, end)
    if not (options.report or options.train_only):
        for method, seed, path, share in planned(options, tag):
            for name in options.tasks:
                if results.has(name, method, seed, tag) or time.monotonic() > end:
                    continue
                weights = None if path is None else mixed(options.out, path, share)
                value, seconds = dice(task_of(options.data, name), weights, seed)
                row = {"task": name, "method": method, "seed": seed, "tag": tag, "dice": value}
                results.add({**row, "seconds": seconds})
                print(json.dumps({**row, "seconds": seconds}), flush=True)
    rows, _ = results.of(tag)
    lines = report(rows)
    print("\n".join(lines))
    if options.page is not None:
        write_sections(options.page, "finetuning.py", {"embedded": lines})


if __name__ == "__main__":
    main()
