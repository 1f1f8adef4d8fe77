"""Filters as convolutions give what SciPy and scikit-image give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_fewshot.backbones import get_backbone
from napari_fewshot.export.filters import Gaussian, HandMadeFeatures, VolumetricFeatures


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((2, 3, 37, 50)).astype(np.float32)


@pytest.mark.parametrize(("sigma", "truncate"), [(1.0, 3.0), (0.7, 3.0), (16.0, 4.0)])
def test_gaussian(image, sigma, truncate):
    found = Gaussian(sigma, truncate)(torch.from_numpy(image)).numpy()
    wanted = gaussian_filter(image, (0, 0, sigma, sigma), mode="nearest", truncate=truncate)
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_hand_made_features(image):
    given = torch.from_numpy(image)
    wanted = get_backbone("multiscale").encode(given[:, None]).numpy()
    found = HandMadeFeatures()(given).numpy()
    assert found.shape == (2, 63, 37, 50)
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_those_of_volumes():
    slices = np.random.default_rng(0).random((2, 7, 2, 37, 50)).astype(np.float32)
    wanted = get_backbone("multiscale-3d").encode(torch.from_numpy(slices)).numpy()
    found = VolumetricFeatures()(torch.from_numpy(slices.swapaxes(1, 2).copy())).numpy()
    assert found.shape == (2, 78, 37, 50)
    np.testing.assert_allclose(found, wanted, atol=2e-6)
