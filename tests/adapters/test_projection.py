"""Standardisation, position and interpolation against the computation step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from napari_fewshot.adapters.projection import Projection, sample_cells

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(3, 2, (300, 6)).astype(np.float32)
MEAN, SCALE = (RNG.normal(size=6).astype(np.float32) for _ in range(2))
WEIGHT, BIAS = (torch.from_numpy(RNG.normal(size=s).astype(np.float32)) for s in ((4, 6), (4,)))


@pytest.mark.parametrize("first", [None, (WEIGHT, BIAS)], ids=["none", "layer"])
@pytest.mark.parametrize("position", [0, 3])
def test_is_the_layer_of_standardised_vectors(first, position):
    projection = Projection.of(first, MEAN, SCALE, position)
    assert projection.columns == 6 - position
    features, places = VECTORS[:, : 6 - position], VECTORS[:, 6 - position :]
    found = projection.features(torch.from_numpy(features))
    if position:
        projection.add_position(found, places)
    expected = (VECTORS.astype(np.float64) - MEAN) * SCALE
    if first is not None:
        expected = expected @ WEIGHT.double().numpy().T + BIAS.double().numpy()
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_half_precision_is_read_as_it_is():
    projection = Projection.of((WEIGHT, BIAS), MEAN, SCALE)
    half = torch.from_numpy(VECTORS).half()
    np.testing.assert_array_equal(projection.features(half), projection.features(half.float()))


def test_cells_are_interpolated_and_go_on_beyond_the_outer_ones():
    cells = RNG.normal(size=(3, 4, 5)).astype(np.float32)
    y, x = np.linspace(-0.6, 2.7, 9), np.linspace(-1, 4, 11)
    found = sample_cells(torch.from_numpy(cells), y, x).numpy()
    grid = np.meshgrid(y, x, indexing="ij")
    for channel in range(5):
        expected = map_coordinates(cells[..., channel], grid, order=1, mode="nearest")
        np.testing.assert_allclose(found[..., channel], expected, atol=1e-5)


@pytest.mark.parametrize(("mean", "scale"), [(MEAN[:5], SCALE[:5]), (MEAN[:5], SCALE)])
def test_parts_that_do_not_fit(mean, scale):
    with pytest.raises(ValueError, match=r"shapes|inputs"):
        Projection.of((WEIGHT, BIAS), mean, scale)
