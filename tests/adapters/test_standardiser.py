"""Zero mean and unit spread, and never a division by nothing."""

from __future__ import annotations

import numpy as np

from napari_fewshot.adapters.standardiser import Standardiser


def test_statistics():
    data = np.random.default_rng(0).normal([5, -3], [2, 9], (500, 2)).astype(np.float32)
    result = Standardiser.of(data).apply(data)
    np.testing.assert_allclose(result.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(0), 1, atol=1e-5)
    assert result.dtype == np.float32


def test_columns_without_spread_become_zero():
    rng = np.random.default_rng(0)
    data = np.stack(
        [np.full(300, 0.1), np.full(300, 1e6), np.zeros(300), rng.normal(size=300)], axis=1
    ).astype(np.float32)
    standardiser = Standardiser.of(data)
    assert standardiser.scale[:3].tolist() == [0, 0, 0]
    far = standardiser.apply(np.full((1, 4), 1e9, np.float32))
    assert np.isfinite(far).all()
    assert far[0, :3].tolist() == [0, 0, 0]


def test_weight_of_position():
    data = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    plain, weighted = Standardiser.of(data), Standardiser.of(data, 3, 0.25)
    np.testing.assert_allclose(weighted.scale[:2], plain.scale[:2])
    np.testing.assert_allclose(weighted.scale[2:], 0.25 * plain.scale[2:], rtol=1e-6)


def test_identity():
    data = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    np.testing.assert_array_equal(Standardiser.identity(5).apply(data), data)
