"""A tiny data set on disk, and configurations of cheap methods on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.bench import BenchmarkConfig, load_config
from napari_fewshot.io import write_image, write_labels, write_points
from napari_fewshot.types import Landmark, Volume

METHODS = """
[[methods]]
name = "random forest"
method = "forest"
settings = { trees = 5, sigma_max = 2.0, pixels_per_class = 200 }

[[methods]]
name = "classification"
method = "fewshot"

[methods.settings]
backbone = "multiscale"
adapter = "classification"
classification = { steps = 20, hidden = 8 }
"""

WITHIN = """
title = "Two balls"
shots = [1, 3]
seeds = [0, 1]
device = "cpu"

[dataset]
root = "data"
images = "images/{case}.nii.gz"
labels = "labels/{case}.nii.gz"
name_of_case = "a*"

[labels]
names = { 1 = "ball", 2 = "core" }
"""

ACROSS = """
shots = [1]
seeds = [0]
device = "cpu"

[dataset]
root = "data"
images = "images/*.nii.gz"
labels = "labels/*.nii.gz"
train = 2
test = 1

[templates]
scope = "across"
choice = "cases"

[labels]
names = { 1 = "ball", 2 = "core" }
"""

LANDMARKS = """
shots = [2]
seeds = [0]
device = "cpu"

[dataset]
root = "data"
images = "images/{case}.nii.gz"
landmarks = "points/{case}.csv"
train = 2

[templates]
scope = "across"
choice = "cases"

[landmarks]

[metrics]
radius_px = 3.0
"""


def ball(seed: int) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Image, labels and the middle of a ball with a bright core."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[:10, :20, :24]
    middle = (5.0, 9.0 + seed, 11.0 - seed)
    away = np.sqrt((1.5 * (z - middle[0])) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2)
    labels = (away < 6).astype(np.uint8) + (away < 3)
    image = (60 * labels + rng.normal(0, 5, labels.shape)).astype(np.float32)
    return image, labels, middle


@pytest.fixture(scope="session")
def balls(tmp_path_factory) -> Path:
    """Four volumes with labels and landmarks."""
    folder = tmp_path_factory.mktemp("balls")
    for seed, name in enumerate(["a1", "a2", "b1", "b2"]):
        data, labels, middle = ball(seed)
        image = Volume(data, (2.0, 1.0, 1.0), np.diag([1.0, 1.0, 2.0, 1.0])[:, [2, 1, 0, 3]])
        write_image(folder / "data" / "images" / f"{name}.nii.gz", data, image)
        write_labels(folder / "data" / "labels" / f"{name}.nii.gz", labels, image)
        points = [
            Landmark("middle", 1, middle),
            Landmark("edge", 2, (middle[0], middle[1] + 6, middle[2])),
        ]
        write_points(folder / "data" / "points" / f"{name}.csv", points, image)
    return folder


@pytest.fixture
def config_of(balls, tmp_path):
    """Read a configuration on the tiny data set."""

    def read(text: str, methods: str = METHODS) -> BenchmarkConfig:
        file = tmp_path / "config.toml"
        file.write_text(text + methods, "utf-8")
        return load_config(file, balls)

    return read
