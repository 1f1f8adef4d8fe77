"""Strategies of refinement by SAM beside each other: the table of docs/refinement.md.

    python benchmarks/sam_strategies.py DATA [--sam sam-vit-b] [--sam-weights FILE] [--device cpu]
                                        [--sets NAME ...] [--json FILE]

DATA is a folder with the sets of ``accuracy_tasks.py``. Predictions are those of the default
backbone and adapter from a few painted slices, which are not scored; once as they are and once
with borders that are blurred (``propagation.smoothing`` 4). Printed is the change of the mean IoU
over all labels, as ``napari-fewshot compare-refinement`` has it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from accuracy_tasks import Case, Task, within

from napari_fewshot import FeatureCache, FewShotSegmenter, Template, get_refiner
from napari_fewshot.bench.refinement_strategies import (
    StrategyComparison,
    compare_refinements,
    named_strategies,
)
from napari_fewshot.config import RefinementConfig, SegmenterConfig
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices
from napari_fewshot.predict.refiners import WALKER

SMOOTHINGS = (1.0, 4.0)


def phantom() -> Task:
    """A torso with two painted slices."""
    made = make_phantom("torso", 0, (16, 96, 112))
    painted = template_slices(made, 2)
    template = Template(made.image, painted_labels(made, painted), axis=0)
    return Task([template], [Case(made.image, made.labels, tuple(painted))], [])


def sets(data: Path) -> dict[str, Callable[[], Task]]:
    """Name and loader of every set."""
    found: dict[str, Callable[[], Task]] = {"phantom of a torso": phantom}
    for name, stem in (("MR abdomen", "mr_abdomen/"), ("heart A", "mr_cardiac/SCD0000101_")):
        files = [data / f"{stem}{kind}.nii.gz" for kind in ("image", "labels")]
        found[name] = partial(within, *files, 3)
    return found


def compare(task: Task, smoothing: float, options: argparse.Namespace) -> StrategyComparison:
    """Scores of all strategies on one prediction."""
    (case,) = task.cases
    model = FewShotSegmenter(propagation={"smoothing": smoothing}).fit(task.templates)
    found = model.predict(case.image, axis=0)
    cache = FeatureCache()  # embeddings are computed once for all strategies
    prompts = SegmenterConfig(preset="published").propagation.refinement.prompts
    strategies = {
        **named_strategies([WALKER, options.sam]),
        f"{options.sam}:published": RefinementConfig(method=options.sam, prompts=prompts),
        f"{options.sam}:published, choice agreement": RefinementConfig(
            method=options.sam, prompts=prompts.model_copy(update={"choice": "agreement"})
        ),
    }
    refiners = {
        name: get_refiner(
            config=config,
            sam_weights=None if config.method == WALKER else options.sam_weights,
            device=options.device,
            cache=cache,
        )
        for name, config in strategies.items()
    }
    return compare_refinements(
        case.image,
        case.image.with_data(found.labels),
        case.truth,
        refiners,
        confidence=case.image.with_data(found.confidence),
        exclude=(0, list(case.painted)),
    )


def main() -> None:
    """Print a table of changes, and the whole scores to a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sam", default="sam-vit-b")
    parser.add_argument("--sam-weights", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    columns: dict[str, dict[str, float]] = {}
    for name, load in sets(options.data).items():
        if options.sets and name not in options.sets:
            continue
        task = load()
        for smoothing in SMOOTHINGS:
            scores = compare(task, smoothing, options)
            column = f"{name}, blurred" if smoothing > 1 else name
            print(f"\n{column}\n\n{scores.format_table()}", flush=True)
            rows = {n: scores.mean(n, "iou_after") for n in scores.slices}
            columns[column] = {"before": scores.mean(WALKER, "iou_before"), **rows}
            if options.json:
                options.json.write_text(json.dumps(columns, indent=1))
    first = next(iter(columns.values()))
    print(f"\n| | {' | '.join(columns)} |\n|{'---|' * (1 + len(columns))}")
    before = [f"{column['before']:.3f}" for column in columns.values()]
    print(f"| before | {' | '.join(before)} |")
    for name in sorted(set(first) - {"before"}, key=lambda n: -first[n]):
        changes = (c[name] - c["before"] for c in columns.values())
        print(f"| `{name}` | {' | '.join(f'{change:+.3f}' for change in changes)} |")


if __name__ == "__main__":
    main()
