"""Correlation of patches with images."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.landmarks.patches import correlations, even_contrast, vertex


@pytest.mark.parametrize("shape", [(20, 17), (9, 11, 10)])
def test_it_is_the_correlation_at_each_place(shape):
    image = np.random.default_rng(0).random(shape)
    where = tuple(slice(2 + axis, 7 + axis) for axis in range(len(shape)))
    other = np.random.default_rng(1).random((5,) * len(shape))
    found = correlations(image, np.stack([image[where], other]), noise=0.0)
    assert found.shape == (2, *(side - 4 for side in shape))
    assert np.unravel_index(found[0].argmax(), found[0].shape) == tuple(s.start for s in where)
    assert found[0].max() == pytest.approx(1, abs=1e-4)
    for at in [(0,) * len(shape), (3,) * len(shape)]:
        part = image[tuple(slice(k, k + 5) for k in at)]
        expected = np.corrcoef(part.ravel(), other.ravel())[0, 1]
        assert found[1][at] == pytest.approx(expected, abs=1e-4)


def test_what_is_flat_is_like_nothing():
    found = correlations(np.ones((12, 12)), np.random.default_rng(0).random((1, 5, 5)))
    assert np.abs(found).max() < 0.05


def test_even_contrast_takes_brightness_and_shadow_away():
    rng = np.random.default_rng(0)
    texture = rng.normal(0, 1, (120, 100))
    shadow = np.linspace(0.2, 1, 120)[:, None]
    found = even_contrast(shadow * (2 + 0.1 * texture))
    assert abs(found.mean()) < 0.1
    assert found[:30].std() == pytest.approx(found[-30:].std(), rel=0.25)


def test_the_vertex_lies_between_voxels():
    row = -np.square(np.arange(7) - 3.3)
    found = vertex(row[:, None] - np.square(np.arange(5) - 1.8), np.array([3, 2]))
    np.testing.assert_allclose(found, [0.3, -0.2], atol=1e-6)
    np.testing.assert_array_equal(vertex(row[:, None], np.array([0, 0])), [0, 0])
