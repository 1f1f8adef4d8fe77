"""A tiny embedded network in a file, and slices of two textures to learn from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_fewshot.backbones.embedded import FORMAT
from napari_fewshot.backbones.embedded_network import EmbeddedNet, NetworkConfig
from napari_fewshot.types import Volume

TINY = NetworkConfig(widths=(4, 8, 8, 8, 8), depths=(1, 1, 1, 1), heads=2, head_width=8)
QUICK = {
    "steps": 4,
    "warm_up": 1,
    "probe_every": 2,
    "contrast": {"episodes": 2, "side": 32, "pixels": 32, "synthetic": 0},
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small embedded network."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    torch.manual_seed(0)
    state = {k: v.half().contiguous() for k, v in EmbeddedNet(TINY).state_dict().items()}
    save_file(state, path, {"format": FORMAT, "network": json.dumps(TINY.to_dict())})
    return path


def scene(seed: int, shape: tuple[int, int, int] = (6, 40, 36)) -> tuple[Volume, np.ndarray]:
    """A volume with a bright and a rough blob, and their labels."""
    rng = np.random.default_rng(seed)
    _, y, x = np.mgrid[tuple(slice(n) for n in shape)]
    row, column = rng.integers(10, 16, 2)
    labels = np.zeros(shape, np.uint8)
    labels[(y - row) ** 2 + (x - column) ** 2 < 60] = 1
    labels[(y - row - 14) ** 2 + (x - column - 8) ** 2 < 40] = 2
    image = (
        np.array([0.2, 0.8, 0.5])[labels]
        + rng.normal(0, 1, shape) * np.array([0.03, 0.03, 0.2])[labels]
    )
    return Volume((1000 * image).astype(np.int16), (2.0, 1.0, 1.0)), labels


@pytest.fixture(scope="session")
def volumes() -> list[Volume]:
    return [scene(seed)[0] for seed in range(3)]
