"""Vectors of single pixels: against interpolation by torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot.adapters.sampling import gather_pixels
from napari_fewshot.slices.stack import slice_coordinates
from napari_fewshot.types import FeatureMap


def interpolated(data, size):
    tensor = torch.from_numpy(np.asarray(data, np.float32))[None]
    full = torch.nn.functional.interpolate(tensor, size, mode="bilinear", align_corners=False)
    return full[0].numpy()


def tokens(shape=(5, 6, 7), dtype=np.float32):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("shape", [(24, 28), (13, 15), (6, 7), (48, 9), (3, 4)])
def test_token_grids_are_interpolated_as_torch_does(shape):
    data = tokens()
    found = gather_pixels(
        FeatureMap(data, shape, (float(shape[0]), float(shape[1]))), np.arange(np.prod(shape))
    )
    expected = interpolated(data, shape).reshape(5, -1).T
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_padding_of_the_last_cell_is_left_out():
    data = tokens()
    padded = interpolated(data, (24, 28))  # cells of 4 pixels; the slice ends 3 and 2 earlier
    features = FeatureMap(data, (21, 26), (24.0, 28.0))
    found = gather_pixels(features, np.arange(21 * 26)).T.reshape(5, 21, 26)
    np.testing.assert_allclose(found, padded[:, :21, :26], atol=1e-5)


def test_dense_maps_are_read_as_they_are():
    data = tokens((4, 6, 7), np.float16)
    flat = np.array([41, 0, 8, 8])
    found = gather_pixels(FeatureMap(data, (6, 7), (6.0, 7.0)), flat)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, data.reshape(4, -1)[:, flat].T)


def test_no_pixels_give_no_vectors():
    features = FeatureMap(tokens(), (10, 11), (10.0, 11.0))
    assert gather_pixels(features, np.zeros(0, dtype=int)).shape == (0, 5)


def test_coordinates_run_from_face_to_face():
    rows, columns, depth = slice_coordinates(0, (4, 2, 5), 0)
    np.testing.assert_allclose(rows, [-0.5, 0.5])
    np.testing.assert_allclose(columns, [-0.8, -0.4, 0, 0.4, 0.8], atol=1e-6)
    assert depth == pytest.approx(-0.75)
    assert slice_coordinates(3, (4, 2, 5), 0)[2] == pytest.approx(0.75)
    assert slice_coordinates(0, (1, 2, 5), 0, flat=True)[2] == 0
