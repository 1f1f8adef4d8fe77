"""Miniature images for miniature data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

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
