"""Hand-made features: thin slices, and no weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_fewshot.backbones import get_backbone
from napari_fewshot.errors import InputError

RECORDED = [
    0.487423,
    0.488469,
    0.042745,
    0.037121,
    -0.035181,
    0.491112,
    0.032946,
    0.028614,
    -0.027117,
    0.496771,
    0.011779,
    0.010604,
    -0.010127,
    0.502471,
    0.004396,
    0.000686,
    -0.000412,
    0.529185,
    0.005171,
    0.000296,
    -8.4e-05,
]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_slices_of_one_pixel_across(shape):
    images = torch.rand(1, 1, 1, *shape, generator=torch.Generator().manual_seed(0))
    features = get_backbone("multiscale").encode(images)
    assert features.shape == (1, 21, *shape)
    assert torch.isfinite(features).all()
    torch.testing.assert_close(features[:, 0], images[:, 0, 0])


def test_a_thin_slice_is_like_its_repetition():
    line = torch.rand(1, 1, 1, 1, 30, generator=torch.Generator().manual_seed(0))
    backbone = get_backbone("multiscale")
    twice = backbone.encode(line.repeat(1, 1, 1, 2, 1))
    torch.testing.assert_close(backbone.encode(line), twice[:, :, :1])


def test_models_outlive_an_upgrade_of_scikit_image(monkeypatch):
    """The digest is that of what is computed, which the next test holds, not of who computes it."""
    now = get_backbone("multiscale").weights_hash
    monkeypatch.setattr("skimage.__version__", "99.0.0")
    assert get_backbone("multiscale").weights_hash == now


def test_the_features_are_those_of_before():
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(20.0), indexing="ij")
    image = torch.sin(rows / 3) * torch.cos(columns / 4) / 2 + 0.5
    features = get_backbone("multiscale").encode(image[None, None, None])[0]
    torch.testing.assert_close(features[:, 9, 7], torch.tensor(RECORDED), atol=1e-4, rtol=1e-3)


def test_weights_are_refused():
    with pytest.raises(InputError, match="weights must be left out with backbone multiscale"):
        get_backbone("multiscale", Path("none.pth"))
