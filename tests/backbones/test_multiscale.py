"""Hand-made features: thin slices, and no weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_fewshot.backbones import get_backbone
from napari_fewshot.errors import InputError


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


def test_weights_are_refused():
    with pytest.raises(InputError, match="weights must be left out with backbone multiscale"):
        get_backbone("multiscale", Path("none.pth"))
