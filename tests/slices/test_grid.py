"""Working grids, and the way back."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import ResamplingConfig
from napari_fewshot.slices.grid import Grid, resize_plane

SHAPE = (10, 40, 60)
SPACING = (3.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("mode", "working"),
    [("off", SHAPE), ("inplane", (10, 20, 60)), ("isotropic", (30, 20, 60))],
)
def test_working_grid(mode, working):
    grid = Grid.of(SHAPE, SPACING, ResamplingConfig(mode=mode, spacing=1.0))
    assert grid.working == working
    assert grid.changes_slices is (mode == "isotropic")
    assert grid.changes_plane is (mode != "off")


def test_a_single_slice_stays_single():
    config = ResamplingConfig(mode="isotropic", spacing=1.0)
    assert Grid.of((1, 20, 20), (5.0, 1.0, 1.0), config).working == (1, 20, 20)


def test_coarse_spacing_leaves_one_pixel_at_least():
    config = ResamplingConfig(mode="isotropic", spacing=1000.0)
    assert Grid.of(SHAPE, SPACING, config).working == (1, 1, 1)


@pytest.mark.parametrize(("old", "new"), [(10, 25), (25, 10), (7, 7), (3, 1), (1, 4), (31, 30)])
def test_weights_sum_to_one_and_lie_in_the_grid(old, new):
    grid = Grid((old, 1, 1), (new, 1, 1))
    for index in range(new):
        parts = grid.sources(index)
        assert sum(w for _, w in parts) == pytest.approx(1)
        assert all(0 <= k < old for k, _ in parts)
    for index in range(old):
        parts = grid.targets(index)
        assert sum(w for _, w in parts) == pytest.approx(1)
        assert all(0 <= k < new for k, _ in parts)
        assert 0 <= grid.to_working(index) < new


@pytest.mark.parametrize("new", [23, 37, 80])
def test_ramps_across_slices_stay_in_place(new):
    grid = Grid((40, 1, 1), (new, 1, 1))
    there = np.array([sum(w * k for k, w in grid.sources(i)) for i in range(new)])
    back = np.array([sum(w * there[k] for k, w in grid.targets(i)) for i in range(40)])
    np.testing.assert_allclose(back[4:-4], np.arange(4, 36), atol=0.1)


def test_to_working_is_the_slice_at_the_same_place():
    grid = Grid((10, 1, 1), (30, 1, 1))
    assert [grid.to_working(k) for k in range(10)] == [3 * k + 1 for k in range(10)]
    back = Grid((30, 1, 1), (10, 1, 1))
    assert [back.to_working(k) for k in range(30)] == [k // 3 for k in range(30)]


def test_nearest_keeps_label_values_and_their_place():
    labels = np.zeros((12, 12), np.int32)
    labels[3:6, 6:12] = 70000
    large = resize_plane(labels, (24, 36), nearest=True)
    assert large.dtype == np.int32
    expected = np.zeros((24, 36), np.int32)
    expected[6:12, 18:36] = 70000
    np.testing.assert_array_equal(large, expected)
    np.testing.assert_array_equal(resize_plane(large, (12, 12), nearest=True), labels)


def test_linear_keeps_ramps_leading_axes_and_dtype():
    ramp = np.broadcast_to(np.arange(20.0), (2, 3, 10, 20))
    large = resize_plane(ramp, (10, 40))
    assert large.shape == (2, 3, 10, 40)
    assert large.dtype == ramp.dtype
    expected = (np.arange(40) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(large[1, 2, 4, 1:-1], expected[1:-1], atol=1e-5)


def test_shrinking_averages():
    checkers = np.indices((16, 16)).sum(0) % 2
    small = resize_plane(checkers.astype(np.float32), (8, 8))
    np.testing.assert_allclose(small[1:-1, 1:-1], 0.5, atol=1e-6)


def test_same_shape_is_the_same_array():
    plane = np.ones((4, 5), np.float32)
    assert resize_plane(plane, (4, 5)) is plane
