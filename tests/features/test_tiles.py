from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.features.layout import Layout, blend_weights, blended, tile_starts


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


def layout(grid, tile, rows, columns, stride=1):
    origins = tuple((row * stride, column * stride) for row in rows for column in columns)
    padded = max(rows) + tile[0], max(columns) + tile[1]
    scaled = (tuple(stride * side for side in sides) for sides in (grid, grid, padded, tile))
    return Layout(*scaled, origins, stride)


def joined(tiles, plan):
    """The parts put together; each cell is in one of them."""
    whole, times = None, np.zeros(plan.grid, int)
    for row, column, data in blended(tiles, plan):
        if whole is None:
            whole = np.full((len(data), *plan.grid), np.nan, np.float32)
        where = slice(row, row + data.shape[1]), slice(column, column + data.shape[2])
        whole[:, *where] = data
        times[where] += 1
    assert (times == 1).all()
    return whole


def test_tiles_fade_into_each_other_linearly():
    left, right = np.zeros((1, 1, 4), np.float32), np.ones((1, 1, 4), np.float32)
    out = joined([left, right], layout((1, 6), (1, 4), [0], [0, 2]))
    assert out[0, 0].tolist() == [0, 0, 0.25, 0.75, 1, 1]


def test_cells_beyond_the_grid_are_cut_off():
    tile = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    out = joined([tile], layout((3, 2), (4, 4), [0], [0]))
    assert np.allclose(out[0], tile[0, :3, :2])


@pytest.mark.parametrize("stride", [1, 7])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6, 0.89])
@pytest.mark.parametrize("grid", [(40, 53), (16, 47), (61, 16), (33, 100)])
def test_parts_are_the_weighted_mean_of_all_tiles(grid, overlap, stride):
    rows, columns = (tile_starts(-(-n // 8) * 8, 16, overlap, 8) for n in grid)
    rows, columns = (sorted(set(starts)) for starts in (rows, columns))
    plan = layout(grid, (16, 16), rows, columns, stride)
    rng = np.random.default_rng(0)
    tiles = [rng.random((3, 16, 16), dtype=np.float32) for _ in plan.origins]
    weight = np.outer(blend_weights(16), blend_weights(16))
    total = np.zeros((4, max(rows) + 16, max(columns) + 16))
    for (row, column), tile in zip(plan.origins, tiles, strict=True):
        where = (
            slice(row // stride, row // stride + 16),
            slice(column // stride, column // stride + 16),
        )
        total[:3, *where] += tile * weight
        total[3, *where] += weight
    expected = (total[:3] / total[3])[:, : grid[0], : grid[1]]
    assert np.allclose(joined([tile.copy() for tile in tiles], plan), expected, atol=1e-5)
