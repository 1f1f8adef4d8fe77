"""Touching cells: the same for the same seed, in clumps, each known."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label

from napari_fewshot.errors import InputError
from napari_fewshot.phantoms.cells import touching_cells


def test_cells_touch_and_are_known():
    image, truth = touching_cells(2, (160, 160), (0.25, 0.25), cells=40)
    again, _ = touching_cells(2, (160, 160), (0.25, 0.25), cells=40)
    np.testing.assert_array_equal(image.data, again.data)
    count = len(np.unique(truth.data)) - 1
    assert image.spacing == truth.spacing == (0.00025, 0.00025)
    assert label(truth.data > 0).max() < 0.8 * count
    assert image.data[truth.data > 0].mean() > 2 * image.data[truth.data == 0].mean()


def test_bad_arguments():
    with pytest.raises(InputError, match="two or three axes"):
        touching_cells(shape=(10,), spacing=(1.0,))
    with pytest.raises(InputError, match="overlap"):
        touching_cells(overlap=1.0)
