"""Miniature images for miniature data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_fewshot.bench import load_config
from napari_fewshot.bench.plan import select_cases
from napari_fewshot.bench.prepare import PreparedCase, prepare_case
from napari_fewshot.types import Array

SHAPE = (4, 5, 6)  # (i, j, k) on disk

Write = Callable[..., Path]


@pytest.fixture
def nifti() -> Write:
    """``nifti(path, data=None, value=1)`` writes an image; a tiny cube of ``value`` by default."""

    def write(path: Path, data: Array | None = None, value: int = 1) -> Path:
        if data is None:
            data = np.zeros(SHAPE, np.uint8)
            data[1:3, 1:3, 2:4] = value
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.Nifti1Image(data, np.diag([1.0, 1, 2, 1])).to_filename(path)
        return path

    return write


@pytest.fixture
def prepared() -> Callable[[str, Path], PreparedCase]:
    """``prepared(name, root)``: the last case of a set, as its configuration of the package has it.

    One case is the pool, since miniature sets have no more.
    """

    def prepare(name: str, root: Path) -> PreparedCase:
        config = load_config(name, root)
        dataset = config.dataset.model_copy(update={"train": 1, "test": "rest"})
        config = config.model_copy(update={"dataset": dataset})
        return prepare_case(select_cases(config).scored[-1], config)

    return prepare
