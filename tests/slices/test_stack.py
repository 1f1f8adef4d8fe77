"""Stacks of slices in the frame of the patient."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import IntensityConfig, ResamplingConfig
from napari_fewshot.geometry import Frame
from napari_fewshot.phantoms import make_phantom
from napari_fewshot.slices.stack import SliceStack, from_stack, to_stack
from napari_fewshot.types import Volume

INTENSITY = IntensityConfig()
SHAPE = (9, 10, 11)


@pytest.fixture(scope="module")
def stored():
    return {
        order: make_phantom("joint", shape=SHAPE, storage=order).image
        for order in (None, "RAS", "SLA", "ARI")
    }


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_storage_order_does_not_change_the_slices(stored, axis):
    stacks = [SliceStack(volume, axis, INTENSITY) for volume in stored.values()]
    for other in stacks[1:]:
        assert len(other) == len(stacks[0])
        assert other.shape == stacks[0].shape
        assert other.spacing == pytest.approx(stacks[0].spacing)
        for index in range(len(other)):
            np.testing.assert_array_equal(other.slice(index), stacks[0].slice(index))
            assert other.digest(index) == stacks[0].digest(index)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_stack_and_back(stored, axis):
    for volume in stored.values():
        frame = Frame.of(volume.affine, 3)
        stack = to_stack(volume.data, frame, axis)
        np.testing.assert_array_equal(from_stack(stack, frame, axis, 3), volume.data)


def test_unoriented_arrays_are_cut_as_they_are_stored():
    data = np.random.default_rng(0).random((3, 4, 5))
    stack = SliceStack(Volume.of(data), 1, IntensityConfig(low=0, high=100))
    assert (len(stack), stack.shape, stack.channels) == (4, (3, 5), 1)
    low, high = data.min(), data.max()
    np.testing.assert_allclose(stack.slice(2)[0], (data[:, 2] - low) / (high - low), atol=1e-6)


def test_channels_come_first():
    data = np.random.default_rng(0).integers(0, 255, (6, 7, 3), np.uint8)
    stack = SliceStack(Volume.of(data), 0, INTENSITY)
    assert (len(stack), stack.shape, stack.channels) == (1, (6, 7), 3)
    fixed = SliceStack(Volume.of(data), 0, IntensityConfig(mode="window", low=0, high=255))
    np.testing.assert_allclose(fixed.slice(0), np.moveaxis(data, -1, 0) / 255, atol=1e-6)
    volume = Volume(np.stack([data, data[::-1]]), (1.0, 1.0, 1.0), has_channels=True)
    assert SliceStack(volume, 2, INTENSITY).slice(0).shape == (3, 2, 6)


def test_two_dimensional_spacing():
    stack = SliceStack(Volume(np.zeros((4, 6)), (0.5, 0.25)), 0, INTENSITY)
    assert stack.spacing == (1.0, 0.5, 0.25)
    resampled = SliceStack(
        stack.volume, 0, INTENSITY, ResamplingConfig(mode="inplane", spacing=0.25)
    )
    assert resampled.slice(0).shape == (1, 8, 6)


def test_isotropic_slices_are_interpolated():
    data = np.broadcast_to(np.arange(6.0)[:, None, None], (6, 4, 4))
    volume = Volume(data, (2.0, 1.0, 1.0))
    config = ResamplingConfig(mode="isotropic", spacing=1.0)
    stack = SliceStack(volume, 0, IntensityConfig(low=0, high=100), config)
    assert len(stack) == 12
    values = [float(stack.slice(k).mean()) * 5 for k in range(12)]
    np.testing.assert_allclose(values[1:-1], (np.arange(12) + 0.5)[1:-1] / 2 - 0.5, atol=1e-5)
    assert stack.digest(3) != stack.digest(4)
