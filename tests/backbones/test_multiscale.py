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


def test_features_of_volumes_begin_with_those_of_the_slice():
    images = torch.rand(2, 7, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    features = get_backbone("multiscale-3d").encode(images).reshape(2, 3, 39, 20, 24)
    alone = get_backbone("multiscale").encode(images[:, 3:4]).reshape(2, 3, 21, 20, 24)
    torch.testing.assert_close(features[:, :, :21], alone)


def test_neighbours_count_the_less_the_farther_and_alike_on_both_sides():
    flat = torch.zeros(1, 7, 1, 20, 24)
    backbone = get_backbone("multiscale-3d")

    def lit(k: int) -> list[float]:
        """The slice as it is, smoothed by one slice, and by two, where one slice is white."""
        images = flat.clone()
        images[:, k] = 1
        found: list[float] = backbone.encode(images)[0, [0, 21, 30], 10, 12].tolist()
        return found

    own, near, far = lit(3), lit(2), lit(0)
    assert own[0] == 1
    assert near[0] == far[0] == 0
    assert own[1] > near[1] > far[1] > 0
    assert own[2] > near[2] > far[2] > far[1]
    assert lit(4) == pytest.approx(near)
    assert sum(lit(k)[1] for k in range(7)) == pytest.approx(1)


def test_an_image_of_one_slice_is_its_own_neighbour():
    image = torch.rand(1, 1, 1, 20, 24, generator=torch.Generator().manual_seed(0))
    features = get_backbone("multiscale-3d").encode(image.expand(-1, 7, -1, -1, -1))
    torch.testing.assert_close(features[:, [0, 21, 30]], image[:, 0].expand(-1, 3, -1, -1))
    torch.testing.assert_close(features[:, 22:30], features[:, 1:9])  # the same scales


def test_weights_are_refused():
    with pytest.raises(InputError, match="weights must be left out with backbone multiscale"):
        get_backbone("multiscale", Path("none.pth"))
