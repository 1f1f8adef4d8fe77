"""A benchmark on tiny images whose records are written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.bench import load_config
from napari_fewshot.bench.plan import Unit
from napari_fewshot.bench.records import Record
from napari_fewshot.bench.runner import Benchmark, open_benchmark
from napari_fewshot.bench.scoring import LABEL_COLUMNS
from napari_fewshot.io import write_image, write_labels, write_points
from napari_fewshot.types import Landmark, Volume

CASES = ("a", "b", "c")

CONFIG = """
shots = [1]
seeds = [0, 1]
device = "cpu"

[dataset]
root = "data"
images = "images/{case}.nii.gz"
labels = "labels/{case}.nii.gz"

[labels]
names = { 1 = "liver", 2 = "spleen" }
"""

METHODS = """
[[methods]]
name = "baseline"
method = "fewshot"
settings = { backbone = "multiscale", adapter = "cosine" }

[[methods]]
name = "rival"
method = "fewshot"
settings = { backbone = "multiscale", adapter = "classification" }
"""

MACHINE = {"napari-fewshot": "1.0", "device": "cpu"}


def label_row(label: int, name: str, dice: float | None, **more: object) -> dict[str, object]:
    """A row of scores, with the same number in most columns."""
    row: dict[str, object] = dict.fromkeys(LABEL_COLUMNS, dice)
    counts = {"truth_voxels": 9, "pred_voxels": 9, "empty_slices": 0, "empty_slices_kept": 0}
    zeros = {"false_pixels": 0, "false_mm3": 0.0}
    return {"label": label, "name": name, **row, **counts, **zeros, **more}


def landmark_row(name: str, hit: bool, error: float) -> dict[str, object]:
    return {
        "label": 1,
        "name": name,
        "found": True,
        "localised": hit,
        "error_px": error,
        "error_mm": error,
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three cases: as NIfTI of 2 × 1 × 1 mm, and as PNG, which knows no mm."""
    for seed, name in enumerate(CASES):
        labels = np.zeros((3, 12, 12), np.uint8)
        labels[:, 2:6, 2:6] = 1
        labels[:, 7:10, 7:10] = 2
        image = Volume((labels * 80 + seed).astype(np.float32), (2.0, 1.0, 1.0))
        write_image(tmp_path / "data" / "images" / f"{name}.nii.gz", image.data, image)
        write_labels(tmp_path / "data" / "labels" / f"{name}.nii.gz", labels, image)
        plane = Volume(labels[0] * 80 + np.uint8(seed), (1.0, 1.0))
        write_labels(tmp_path / "data" / "images" / f"{name}.png", plane.data, plane)
        write_labels(tmp_path / "data" / "labels" / f"{name}.png", labels[0], plane)
        points = [Landmark("tip", 1, (0.0, 3.0, 3.0)), Landmark("end", 2, (0.0, 8.0, 8.0))]
        write_points(tmp_path / "data" / "points" / f"{name}.csv", points, plane)
    return tmp_path


@pytest.fixture
def open_with(data: Path, tmp_path: Path) -> Callable[..., Benchmark]:
    """Open a benchmark of a configuration."""

    def opened(text: str = CONFIG, methods: str = METHODS) -> Benchmark:
        file = data / "config.toml"
        file.write_text(text + methods, "utf-8")
        return open_benchmark(load_config(file), tmp_path / "out")

    return opened


def finish(
    benchmark: Benchmark,
    score: Callable[[Unit], Record | float | None],
) -> None:
    """Write records: a Dice of the liver, or a whole record; None leaves a unit out."""
    for unit in benchmark.units:
        found = score(unit)
        if isinstance(found, float):
            found = Record(rows=[label_row(1, "liver", found)], machine=MACHINE)
        if found is not None:
            benchmark.records.write(unit, found)
