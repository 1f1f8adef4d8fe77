"""Volumes and feature maps check what they are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.types import FeatureMap, Volume, joint_progress


@pytest.mark.parametrize(
    ("shape", "dtype", "channels"),
    [
        ((5, 6), np.uint8, False),
        ((5, 6, 3), np.uint8, True),
        ((5, 6, 3), np.uint16, False),
        ((5, 6, 7), np.uint8, False),
        ((4, 5, 6, 2), np.float32, True),
    ],
)
def test_arrays_become_volumes(shape, dtype, channels):
    volume = Volume.of(np.zeros(shape, dtype))
    assert volume.has_channels is channels
    assert volume.shape == (shape[:-1] if channels else shape)
    assert volume.spacing == (1.0,) * volume.ndim
    assert Volume.of(volume) is volume


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5, 6), (0, 4, 4)])
def test_shapes_that_are_no_image(shape):
    with pytest.raises(InputError, match="data must"):
        Volume.of(np.zeros(shape))


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, float("nan"))])
def test_spacing_is_checked(spacing):
    with pytest.raises(InputError, match="spacing must"):
        Volume(np.zeros((3, 3)), spacing)


def test_affine_is_checked():
    with pytest.raises(InputError, match="affine must"):
        Volume(np.zeros((3, 3)), (1.0, 1.0), np.eye(3))


def test_with_data_keeps_the_geometry():
    rgb = Volume(np.zeros((4, 5, 3), np.uint8), (0.5, 0.7), has_channels=True)
    labels = rgb.with_data(np.ones((4, 5), int), names={1: "cell"})
    assert not labels.has_channels
    assert labels.spacing == rgb.spacing
    assert labels.names == {1: "cell"}
    with pytest.raises(InputError, match="shape"):
        rgb.with_data(np.ones((5, 4)))


def test_feature_maps_know_whether_they_are_dense():
    dense = FeatureMap(np.zeros((2, 4, 5)), (4, 5), (4.0, 5.0))
    tokens = FeatureMap(np.zeros((2, 2, 2)), (4, 5), (4.0, 5.0))
    assert dense.is_dense
    assert not tokens.is_dense
    assert dense.channels == tokens.channels == 2


def test_joint_progress_counts_parts_as_one_stage():
    told = []
    first, second = joint_progress([2, 3], lambda *step: told.append(step))
    first(1, 2, "slices")
    first(2, 2, "slices")
    second(1, 3, "slices")
    second(3, 3, "slices")
    assert told == [(1, 5, "slices"), (2, 5, "slices"), (3, 5, "slices"), (5, 5, "slices")]


def test_a_small_volume_of_bytes_is_no_colour_image():
    assert not Volume.of(np.zeros((3, 3, 3), np.uint8)).has_channels
    assert Volume.of(np.zeros((5, 4, 3), np.uint8)).has_channels


def test_channels_are_chosen_and_ordered():
    data = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    volume = Volume(data, (2.0, 3.0), has_channels=True)
    assert volume.with_channels(None) is volume
    two = volume.with_channels((3, 0))
    np.testing.assert_array_equal(two.data, data[..., [3, 0]])
    assert (two.has_channels, two.shape, two.spacing) == (True, (2, 3), (2.0, 3.0))
    assert np.shares_memory(two.data, data)
    for order in ([3, 2, 1, 0], [0, 1], [1, 3], [2, 0], [0, 3, 1], [1, 1]):
        np.testing.assert_array_equal(volume.with_channels(order).data, data[..., order])
    grey = volume.with_channels([2])
    np.testing.assert_array_equal(grey.data, data[..., 2])
    assert (grey.has_channels, grey.shape) == (False, (2, 3))
    assert grey.with_channels([0]).data is grey.data
    assert grey.with_channels([0, 0, 0]).data.shape == (2, 3, 3)
    for wrong, channels in ((volume, (0, 4)), (grey, (1,)), (volume, ()), (volume, (-1,))):
        with pytest.raises(InputError, match=r"channels must be within 0\.\.[03]; got"):
            wrong.with_channels(channels)


@pytest.mark.parametrize("kind", ["complex64", "datetime64[s]", "object", "U1", "S3", "V4"])
def test_what_is_no_number_is_no_image(kind):
    data = np.zeros((3, 4, 5), np.int16).astype(kind)
    with pytest.raises(InputError, match="data must hold real numbers; got values of type"):
        Volume.of(data)
    with pytest.raises(InputError, match=r"a.nii must hold real numbers"):
        Volume(data, (1, 1, 1), source=Path("a.nii"))
