from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot.backbones.base import BackboneSpec, Preprocessing
from napari_fewshot.config import ExtractionConfig
from napari_fewshot.errors import InputError
from napari_fewshot.features.layout import input_groups, plan_layout, prepare


def run(image, stride=1, **prep):
    prep = Preprocessing(**prep)
    spec = BackboneSpec("b", "", stride, prep)
    layout = plan_layout(image.shape[1:], spec, ExtractionConfig(min_tokens=4))
    return prepare(image, prep, layout)


def image(channels=1, shape=(6, 8), seed=0):
    return np.random.default_rng(seed).random((channels, *shape), dtype=np.float32)


def test_grey_is_repeated_and_normalised_channel_by_channel():
    grey = image()
    out = run(grey, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))
    assert out.shape == (1, 3, 6, 8)
    for c, (mean, std) in enumerate([(0.1, 1.0), (0.2, 2.0), (0.3, 4.0)]):
        assert np.allclose(out[0, c], (grey[0] - mean) / std, atol=1e-6)


def test_colour_is_taken_as_it_is():
    rgb = image(3)
    assert np.array_equal(run(rgb)[0], rgb)


@pytest.mark.parametrize(("channels", "wanted"), [(2, 3), (4, 3), (3, 1)])
def test_other_counts_are_encoded_channel_by_channel(channels, wanted):
    many = image(channels)
    out = run(many, channels=wanted)
    assert out.shape == (channels, wanted, 6, 8)
    assert input_groups(channels, Preprocessing(channels=wanted)) == channels
    for g in range(channels):
        for c in range(wanted):
            assert np.array_equal(out[g, c], many[g])


def test_any_number_of_channels_where_the_network_takes_any():
    assert run(image(5), channels=None).shape == (1, 5, 6, 8)


def test_minmax_stretches_each_slice_and_survives_a_constant_one():
    out = run(0.2 + 0.1 * image(), scale="minmax")
    assert out.min() == 0
    assert out.max() == pytest.approx(1)
    constant = np.full((1, 6, 8), 0.3, np.float32)
    assert not run(constant, scale="minmax").any()
    constant[0, 2, 2] = np.nextafter(constant[0, 2, 2], 1)  # a last bit is no structure
    assert run(constant, scale="minmax").max() < 1e-5


def test_enlarging_keeps_the_range():
    step = np.zeros((1, 4, 4), np.float32)
    step[:, :, 2:] = 1
    out = run(step, stride=4, resize="grid", multiple=4)
    assert out.shape == (1, 3, 16, 16)
    assert out.min() == 0
    assert out.max() == 1


def test_shrinking_does_not_alias():
    stripes = np.zeros((1, 64, 64), np.float32)
    stripes[:, ::2] = 1
    out = run(stripes, stride=4, resize="square", size=16, multiple=4)
    assert out.shape == (1, 3, 16, 16)
    assert np.allclose(out[..., 1:-1, :], 0.5, atol=0.02)


def test_the_padding_of_longest_is_zero_after_normalisation():
    bright = np.ones((1, 8, 4), np.float32)
    out = run(bright, stride=4, resize="longest", size=16, multiple=4, mean=(0.5,), std=(0.25,))
    assert torch.equal(out[..., :8], torch.full((1, 3, 16, 8), 2.0))
    assert not out[..., 8:].any()


def test_padding_to_patches_mirrors_even_beyond_the_slice():
    tiny = np.array([[[0.1, 0.9]]], np.float32)
    out = run(tiny, resize="none", multiple=4, channels=1)
    assert np.allclose(out[0, 0, 0], [0.1, 0.9, 0.9, 0.1])
    assert np.allclose(out[0, 0, 3], out[0, 0, 0])


def test_a_slice_that_is_not_finite_is_refused():
    bad = image()
    bad[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        run(bad)


def test_a_slice_of_another_shape_is_refused():
    spec = BackboneSpec("b", "", 1, Preprocessing())
    layout = plan_layout((6, 8), spec, ExtractionConfig())
    with pytest.raises(InputError, match=r"shape \(C, 6, 8\)"):
        prepare(image(shape=(6, 7)), spec.preprocessing, layout)
