"""Whole volumes on a coarse grid."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import IntensityConfig, ResamplingConfig
from napari_fewshot.slices.coarse import coarse_grid, coarse_volume, extent_of
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Volume


def stack_of(data, axis=0, spacing=(3.0, 1.0, 2.0), resampling=None, **more):
    volume = Volume(data, spacing, **more)
    return SliceStack(volume, axis, IntensityConfig(), resampling)


def blocks(shape=(12, 40, 30)):
    data = np.zeros(shape, np.uint8)
    data[:6, :20] = 200
    data[6:, 20:] = 100
    return data


def test_a_small_volume_stays_as_it_is():
    found = coarse_volume(stack_of(blocks()), 10**6)
    np.testing.assert_array_equal(found.grey, np.array([0, 128, 255])[blocks() // 100])
    assert found.spacing == (3, 1, 2)
    assert found.grey.dtype == np.uint8


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_axis_of_the_slices_makes_no_difference(axis):
    found = coarse_volume(stack_of(blocks(), axis), 10**6)
    np.testing.assert_array_equal(found.grey, coarse_volume(stack_of(blocks()), 10**6).grey)
    assert found.spacing == (3, 1, 2)
    np.testing.assert_allclose(extent_of(stack_of(blocks(), axis)), [36, 40, 60])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_voxels_come_near_to_cubes(axis):
    stack = stack_of(blocks(), axis)
    found = coarse_volume(stack, 2000)
    assert 1500 < found.grey.size <= 2000
    assert max(found.spacing) < 1.2 * min(found.spacing)
    np.testing.assert_allclose(found.extent, extent_of(stack))
    np.testing.assert_allclose(found.grey[:4, :4], 255)
    np.testing.assert_allclose(found.grey[:4, 7:], 0)


def test_a_side_has_a_limit():
    grid = coarse_grid(stack_of(np.zeros((10, 500, 20), np.uint8)), 10**9)
    assert 120 < max(grid.working) <= 128


def test_a_resampled_stack():
    stack = stack_of(blocks(), resampling=ResamplingConfig(mode="inplane", spacing=2.0))
    found = coarse_volume(stack, 10**6)
    assert found.grey.shape == (12, 20, 30)
    assert found.spacing == (3, 2, 2)


def test_channels_are_averaged():
    data = np.stack([blocks(), blocks(), blocks()], axis=-1)
    found = coarse_volume(stack_of(data, has_channels=True), 10**6)
    np.testing.assert_array_equal(found.grey, coarse_volume(stack_of(blocks()), 10**6).grey)
