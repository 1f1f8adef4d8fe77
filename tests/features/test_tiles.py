from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.features.layout import blend_weights, stitch, tile_starts


@pytest.mark.parametrize("length", [784, 798, 1400, 5600])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.89])
def test_tiles_cover_a_side_with_the_overlap_asked_for(length, overlap):
    starts = tile_starts(length, 784, overlap, 14)
    assert starts[0] == 0
    assert starts[-1] == length - 784
    assert all(start % 14 == 0 for start in starts)
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps <= 784 * (1 - overlap) + 14).all()
    assert (steps <= 784).all()


def test_one_tile_is_enough_for_a_short_side():
    assert tile_starts(784, 784, 0.25, 14) == (0,)


def test_weights_rise_from_both_ends():
    assert blend_weights(4).tolist() == [0.5, 1.5, 1.5, 0.5]
    assert blend_weights(3).tolist() == [0.5, 1.5, 0.5]


def test_tiles_fade_into_each_other_linearly():
    left, right = np.zeros((1, 1, 4), np.float32), np.ones((1, 1, 4), np.float32)
    out = stitch([((0, 0), left), ((0, 2), right)], (1, 6))
    assert out[0, 0].tolist() == [0, 0, 0.25, 0.75, 1, 1]


def test_cells_beyond_the_grid_are_cut_off():
    tile = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    out = stitch([((0, 0), tile)], (3, 2))
    assert np.allclose(out[0], tile[0, :3, :2])


def test_a_gap_is_noticed():
    with pytest.raises(ValueError, match="cover"):
        stitch([((0, 0), np.ones((1, 2, 2), np.float32))], (2, 3))
