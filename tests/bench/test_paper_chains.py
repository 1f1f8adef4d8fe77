"""The configurations of the papers, whole, on phantoms: every method that needs nothing else runs.

Checkpoints are small and of the true formats, images small, trainings short: what is found is worth
nothing, that it is found at all is what counts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.bench import BenchmarkConfig, load_config
from napari_fewshot.bench.checking import missing_modules
from napari_fewshot.bench.config import DatasetConfig, MethodConfig
from napari_fewshot.bench.report import write_report
from napari_fewshot.bench.runner import open_benchmark
from napari_fewshot.config.base import merged_settings
from napari_fewshot.io import write_image, write_labels, write_points
from napari_fewshot.types import Landmark, Volume

SEGMENTATION = ["amos22", "challenge_ct", "knee_ct", "mr_shoulder", "msd_heart"]
SEGMENTATION += ["totalsegmentator", "verse20"]
LANDMARKS = ["hanseg", "mr_knee_landmarks", "mr_whole_body_landmarks"]
FEW_STEPS = {"steps": 5, "hidden": 8}
QUICK = {
    "fewshot": {
        "contrastive": {**FEW_STEPS, "width": 8, "targets": 64, "references": 4},
        "classification": FEW_STEPS,
        "sam_decoder": {"augmentations": 0},
        "extraction": {"min_tokens": 4},
    },
    "sam-automatic": {"points_per_side": 3, "iou": 0.0, "stability": 0.0},
    "sam-everything": {"points_per_side": 3, "iou": 0.0, "stability": 0.0},
    "unet": {"epochs": 1, "steps": 1, "width": 4, "patch": 32},
}
ELSEWHERE = ("nnunet", "universeg")
"""Methods whose programs and weights are their authors', and which have tests of their own."""
SHAPE = (12, 32, 32)


def structures(config: BenchmarkConfig) -> dict[int, str]:
    """Values and names of the structures that a configuration is about."""
    named = [name for one in config.published for name in one.structures if name != "mean"]
    named = list(config.labels.joined) or named  # pairs are of two sides
    if config.landmarks is not None and config.landmarks.use:
        named = list(config.landmarks.use)
    values = config.labels.names or dict(enumerate(named or ["one", "two"], start=1))
    used = [value for value in config.labels.use or () if isinstance(value, int)]
    return dict(zip(used, values.values(), strict=True)) if used else values


def write_case(folder: Path, name: str, seed: int, names: dict[int, str], suffix: str) -> None:
    """A phantom with a ball for each structure, with labels and with landmarks in their middle."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SHAPE)
    labels, points = np.zeros(SHAPE, np.uint8), []
    for number, (value, structure) in enumerate(names.items()):
        row, column = divmod(number, 3)
        middle = np.array([5 + row, 7 + 15 * row, 5 + 10 * column]) + rng.integers(0, 2, 3)
        away = (z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2
        labels[away < 20] = value
        points.append(Landmark(structure, value, tuple(float(v) for v in middle)))
    shades = np.zeros(256)
    shades[list(names)] = np.linspace(60, 200, len(names))
    data = (20 + shades[labels] + rng.normal(0, 4, SHAPE)).clip(0, 255)
    if suffix == ".png":
        labels, data = labels[5], data[5].astype(np.uint8)
        image = Volume(data, (1.0, 1.0))
    else:
        affine = np.diag([1.0, 1.0, 1.0, 1.0])[:, [2, 1, 0, 3]]
        image = Volume(data.astype(np.float32), (1.0, 1.0, 1.0), affine)
        write_points(folder / "landmarks" / f"{name}.csv", points, image)
    write = write_labels if suffix == ".png" else write_image  # which has no whole numbers
    write(folder / "images" / f"{name}{suffix}", data, image)
    write_labels(folder / "labels" / f"{name}{suffix}", labels, image)


def on_phantoms(name: str, folder: Path) -> BenchmarkConfig:
    """A ready configuration with a cohort of phantoms in place of its data set."""
    config = load_config(name, data=folder)
    names = structures(config)
    suffix = ".png" if any(".png" in one for one in config.dataset.images) else ".nii.gz"
    for seed, case in enumerate("abc"):
        write_case(folder, case, seed, names, suffix)
    landmarks = config.landmarks
    patterns = {"images": f"images/{{case}}{suffix}"}
    if landmarks is None or landmarks.templates == "labels":
        patterns["labels"] = f"labels/{{case}}{suffix}"
    if landmarks is not None:
        patterns["landmarks"] = "landmarks/{case}.csv"
    test = "all" if config.dataset.test == "all" else 1
    dataset = DatasetConfig(root=folder, axis=config.dataset.axis, train=2, test=test, **patterns)
    settings = config.model_dump(exclude={"dataset", "methods", "shots", "seeds"})
    settings["labels"]["names"] = names
    methods = [quick(method) for method in config.methods if runs(method)]
    kept = [method.name for method in methods]
    settings["baseline"] = config.baseline if config.baseline in kept else None
    return BenchmarkConfig(
        dataset=dataset, methods=methods, shots=(2,), seeds=(0,), **(settings | {"device": "cpu"})
    )


def runs(method: MethodConfig) -> bool:
    return method.method not in ELSEWHERE and not missing_modules(method)


def quick(method: MethodConfig) -> MethodConfig:
    settings = merged_settings(QUICK.get(method.method, {}), method.settings)
    return MethodConfig(name=method.name, method=method.method, settings=settings)


@pytest.mark.parametrize("name", [*SEGMENTATION, *LANDMARKS])
def test_every_method_of_the_papers_runs_end_to_end(name, tmp_path, published_weights):
    benchmark = open_benchmark(on_phantoms(name, tmp_path / "data"), tmp_path / "out")
    benchmark.run(own_processes=False)
    assert not benchmark.failures(), benchmark.failures()[0][1].trace
    records = benchmark.records.all(benchmark.units)
    methods = {unit.method for unit, record in records if record.rows}
    assert methods == {method.name for method in benchmark.config.methods}
    if name == "challenge_ct":  # what learns nothing has all slices scored
        scored = {unit.method: set() for unit, _ in records}
        for unit, record in records:
            scored[unit.method] |= {unit.case} if record.rows else set()
        learned = {"U-Net, merged labels", "contrastive"} & methods
        assert {method for method in methods if scored[method] != set("abc")} == learned
    page = write_report(benchmark).read_text("utf-8")
    assert all(method in page for method in methods)
