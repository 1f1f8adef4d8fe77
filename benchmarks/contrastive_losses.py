"""What the loss, the negative pairs and the number of pixels change in the contrastive adapter.

    python benchmarks/contrastive_losses.py DATA [--tasks mr_abdomen-5 ...] [--methods both ...]
                                            [--seeds 0 1 2] [--json FILE]

DATA is a folder with the sets of ``accuracy_tasks.py``. The rest is as published, on the embedded
features and without refinement; one thing at a time differs from the preset.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from accuracy import score, table
from accuracy_tasks import tasks

from napari_fewshot import FeatureCache

TASKS = ("mr_abdomen-5", "hippocampus_mr-3", "mr_cardiac-101-3", "wbc_2d-3")
LIMIT: dict[str, Any] = {"sampling": {"pixels_per_label": 4000}}


def method(**contrastive: Any) -> dict[str, Any]:
    """Settings that differ from the preset."""
    return {"contrastive": contrastive}


METHODS: dict[str, dict[str, Any]] = {
    "published": method(),
    "loss: pair": method(loss="pair"),
    "loss: similarity": method(loss="similarity"),
    "negative pairs from 10 pixels": method(negative_distance=10),
    "loss: pair, from 10 pixels": method(loss="pair", negative_distance=10),
    "4,000 pixels of a label": LIMIT,
    "loss: pair, 4,000 pixels": {**method(loss="pair"), **LIMIT},
}


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the labelled sets")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    common = {
        "preset": "published",
        "adapter": "contrastive",
        "backbone": "embedded",
        "propagation": {"refinement": {"method": None}},
    }
    rows = []
    for name in options.tasks:
        task = tasks(options.data)[name]()
        cache = FeatureCache(4000)
        for method_name in options.methods:
            settings = {**common, **METHODS[method_name], "cache": cache}
            for seed in options.seeds:
                found = score(task, settings, seed)
                rows.append({"task": name, "method": method_name, "seed": seed, **found})
                print(json.dumps(rows[-1]), flush=True)
    print("\n" + table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
