"""Position of pixels in the patient."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.slices.stack import SlicePosition

VOLUME = (4, 6, 10)  # canonical (S, A, R)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_columns_are_canonical_for_every_axis(axis):
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in VOLUME), indexing="ij"), axis=-1)
    expected = (2 * (grid + 0.5) / VOLUME - 1).astype(np.float32)
    stacked = np.moveaxis(expected, axis, 0)
    for index in range(VOLUME[axis]):
        place = SlicePosition(index, stacked.shape[:3], axis)
        pixels = np.arange(stacked.shape[1] * stacked.shape[2])
        columns = place.columns(pixels)
        assert columns.dtype == np.float32
        np.testing.assert_allclose(columns, stacked[index].reshape(-1, 3), atol=1e-6)


def test_flat_images_have_no_depth():
    columns = SlicePosition(0, (1, 6, 10), 0, flat=True).columns(np.array([0, 59]))
    assert columns[:, 0].tolist() == [0, 0]
    np.testing.assert_allclose(columns[1, 1:], [1 - 1 / 6, 0.9], atol=1e-6)
