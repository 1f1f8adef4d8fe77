"""Dice of SAM's modes on phantoms and on real labelled data: the tables of docs/sam.md.

    python benchmarks/sam_modes.py [DATA] [--sam NAME] [--sam-weights FILE] [--sets NAME ...]
                                   [--points-per-side 16] [--device D] [--json FILE]
                                   [--page docs/sam.md]

DATA is a folder with the sets of ``accuracy_tasks.py``; without it phantoms alone are segmented.
Boxes, points and automatic mode look at the truth (see docs/sam.md). PerSAM learns from one
painted slice, or from one image, which is not scored by any mode. The numbers are means over
labels of more than 800 voxels, and over images, by the same function as ``napari-fewshot
evaluate``. ``--page`` puts the table in the place of the one of a page.
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
from accuracy_tasks import LEAST_VOXELS, Case, Task, across, within

from napari_fewshot import (
    FeatureCache,
    PersonalSam,
    Template,
    evaluate_labels,
    load_sam,
    match_instances,
    sam_automatic,
    sam_boxes,
    sam_points,
)
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices

MARKS = ("<!-- Written by benchmarks/sam_modes.py. -->", "<!-- End of what it writes. -->")
Method = Callable[[Task, Case], np.ndarray]


def phantom(kind: str, shape: tuple[int, int, int]) -> Task:
    """One painted slice of a phantom, and the rest of it to score."""
    made = make_phantom(kind, 0, shape)
    slices = template_slices(made, 1)
    values, sizes = np.unique(made.labels.data, return_counts=True)
    wanted = [int(v) for v, n in zip(values, sizes, strict=True) if v and n > LEAST_VOXELS]
    template = Template(made.image, painted_labels(made, slices), axis=0)
    return Task([template], [Case(made.image, made.labels, tuple(slices))], wanted)


def sets(data: Path | None) -> dict[str, Callable[[], Task]]:
    """Name and loader of every set."""
    found: dict[str, Callable[[], Task]] = {
        "phantom, torso": partial(phantom, "torso", (16, 96, 112)),
        "phantom, joint": partial(phantom, "joint", (16, 96, 96)),
    }
    if data is not None:
        files = [data / "mr_abdomen" / f"{name}.nii.gz" for name in ("image", "labels")]
        found["MR abdomen"] = partial(within, *files, 1)
        found["blood cells"] = partial(across, data / "wbc_2d", 1, 19)
    return found


def methods(sam: Any, side: int) -> dict[str, Method]:
    """Every mode, with the settings that the tables name."""

    def regions(run: Callable[..., Any], config: dict[str, Any], task: Task, case: Case) -> Any:
        return run(case.image, case.truth, sam=sam, config=config, axis=axis(case)).labels

    def automatic(config: dict[str, Any], task: Task, case: Case) -> Any:
        settings = {"points_per_side": side, **config}
        found = sam_automatic(case.image, sam=sam, config=settings, axis=axis(case))
        return match_instances(found.labels, case.truth.data)

    def personal(config: dict[str, Any], task: Task, case: Case) -> Any:
        key = (id(task), str(config))
        if key not in learned:
            learned[key] = PersonalSam.learn(task.templates, sam=sam, config=config)
        return learned[key].segment(case.image, axis=axis(case)).labels

    learned: dict[Any, PersonalSam] = {}
    unfiltered = {"iou": 0.0, "stability": 0.0}
    plain = {"attention": False, "semantic": False}
    boxes: dict[str, Method] = {
        "boxes of components": partial(regions, sam_boxes, {}),
        "boxes of labels": partial(regions, sam_boxes, {"each": "label"}),
    }
    if sam.checkpoint.sam.one_mask:  # trained with boxes alone
        return boxes
    return {
        **boxes,
        "points": partial(regions, sam_points, {}),
        "points, together": partial(regions, sam_points, {"each": "label"}),
        "automatic": partial(automatic, {}),
        "automatic, unfiltered": partial(automatic, unfiltered),
        "PerSAM": partial(personal, {}),
        "PerSAM, no guidance": partial(personal, plain),
        "PerSAM-F": partial(personal, {"fine_tune": True}),
    }


def axis(case: Case) -> int | None:
    """Slices lie along axis 0 of the file."""
    return 0 if case.image.ndim == 3 else None


def score(task: Task, method: Method) -> tuple[float, float]:
    """Mean Dice, and seconds a slice."""
    start = time.perf_counter()
    values, slices = [], 0
    for case in task.cases:
        found = method(task, case)
        slices += 1 if case.image.ndim == 2 else case.image.shape[0]
        scores = evaluate_labels(
            found,
            case.truth.data,
            case.truth.spacing,
            labels=task.labels,
            exclude=(0, list(case.painted)) if case.painted else None,
        )
        values.append(scores.mean.dice)
    return float(np.mean(values)), (time.perf_counter() - start) / slices


def main() -> None:
    """Print a row for each mode as it comes, then the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--sam", default="sam-vit-b")
    parser.add_argument("--sam-weights", type=Path)
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--points-per-side", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    sam = load_sam(
        options.sam, weights=options.sam_weights, device=options.device, cache=FeatureCache()
    )
    wanted = {k: v for k, v in sets(options.data).items() if not options.sets or k in options.sets}
    table: dict[str, dict[str, float]] = {}
    for name, load in wanted.items():
        task = load()
        for mode, method in methods(sam, options.points_per_side).items():
            dice, seconds = score(task, method)
            table.setdefault(mode, {})[name] = dice
            print(f"{name:16s} {mode:22s} Dice {dice:.3f}  {seconds:.2f} s a slice", flush=True)
    lines = [f"| | {' | '.join(wanted)} |", f"|---|{'---|' * len(wanted)}"]
    for mode, row in table.items():
        lines.append(f"| {mode} | {' | '.join(f'{row[name]:.3f}' for name in wanted)} |")
    print("", *lines, sep="\n")
    if options.page is not None:
        page = options.page.read_text(encoding="utf-8")
        before, _, rest = page.partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        text = "\n".join([f"{before}{MARKS[0]}", "", *lines, "", f"{MARKS[1]}{after}"])
        options.page.write_text(text, encoding="utf-8")
    if options.json is not None:
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
