"""Grey values to 0..1."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import IntensityConfig
from napari_fewshot.slices.intensity import IntensityScaler

PERCENTILE = IntensityConfig()
WINDOW = IntensityConfig(mode="window", low=-160, high=240)


def scaled(data, config=PERCENTILE, has_channels=False):
    return IntensityScaler.of(data, has_channels, config).apply(data)


def test_percentiles_of_the_finite_voxels():
    data = np.random.default_rng(0).normal(500, 90, (6, 30, 40))
    scaler = IntensityScaler.of(data, False, PERCENTILE)
    low, high = np.percentile(data, [0.5, 99.5])
    assert scaler == IntensityScaler((low,), (high,))
    result = scaler.apply(data)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, np.clip((data - low) / (high - low), 0, 1), atol=1e-6)

    broken = data.copy()
    broken[0, 0, :3] = np.nan, np.inf, -np.inf
    again = IntensityScaler.of(broken, False, PERCENTILE)
    assert again.low[0] == pytest.approx(low, rel=1e-3)
    assert again.high[0] == pytest.approx(high, rel=1e-3)
    assert again.apply(broken)[0, 0, :3].tolist() == [0, 1, 0]


def test_orders_of_magnitude_do_not_matter():
    data = np.random.default_rng(0).random((3, 20, 20))
    np.testing.assert_allclose(scaled(data), scaled(data * 1e5 - 3e4), atol=1e-5)


def test_window_is_the_same_for_all_volumes():
    data = np.array([[-1000, -160, 40, 240, 3000]], np.int16)
    np.testing.assert_allclose(scaled(data, WINDOW), [[0, 0, 0.5, 1, 1]])


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_constant_and_empty_volumes_become_zero(value):
    data = np.full((2, 5, 5), value)
    np.testing.assert_array_equal(scaled(data), 0)


def test_a_few_bright_voxels_on_constant_ground_are_seen():
    data = np.zeros((10, 40, 40))
    data[5, 20, 20] = 9
    assert scaled(data)[5, 20, 20] == 1


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_every_channel_has_percentiles_of_its_own(channels):
    rng = np.random.default_rng(0)
    data = rng.random((30, 30, channels)) * 10.0 ** np.arange(channels)
    scaler = IntensityScaler.of(data, True, PERCENTILE)
    assert scaler.high == pytest.approx(np.percentile(data, 99.5, axis=(0, 1)))
    result = scaler.apply(data)
    assert result.shape == data.shape
    np.testing.assert_allclose(result.max(axis=(0, 1)), 1)


def test_three_stains_have_percentiles_of_their_own_where_the_settings_say_so():
    data = np.random.default_rng(0).random((30, 30, 3)) * [1.0, 10.0, 100.0]
    assert len(IntensityScaler.of(data, True, PERCENTILE).high) == 1
    scaler = IntensityScaler.of(data, True, PERCENTILE.model_copy(update={"colour": False}))
    assert scaler.high == pytest.approx(np.percentile(data, 99.5, axis=(0, 1)))


def test_colour_keeps_its_hue_while_exposure_is_evened_out():
    picture = np.random.default_rng(0).integers(60, 200, (40, 40, 3), dtype=np.uint8)
    dark = (picture * 0.6).astype(np.uint8)
    difference = np.abs(scaled(picture, has_channels=True) - scaled(dark, has_channels=True))
    assert difference.max() < 0.03
    reddish = (picture * [1.0, 0.5, 0.5]).astype(np.uint8)
    seen = scaled(reddish, has_channels=True)
    assert seen[..., 0].mean() > seen[..., 1].mean() + 0.2
    fixed = IntensityConfig(mode="window", low=0, high=255)
    np.testing.assert_allclose(scaled(picture, fixed, has_channels=True), picture / 255, atol=1e-6)


def test_large_volumes_are_sampled():
    data = np.random.default_rng(0).random((150, 150, 150), np.float32)
    scaler = IntensityScaler.of(data, False, PERCENTILE)
    assert scaler.low[0] == pytest.approx(0.005, abs=5e-4)
    assert scaler.high[0] == pytest.approx(0.995, abs=5e-4)


class Lazy:
    """Reads what is indexed, and counts it."""

    def __init__(self, data, reported=None):
        self.data, self.read = data, 0
        self.shape, self.ndim, self.dtype = data.shape, data.ndim, data.dtype
        self.size = data.size
        self.nbytes = data.nbytes if reported is None else reported

    def __getitem__(self, key):
        part = self.data[key]
        self.read += part.size
        return part


def test_of_a_large_volume_on_disk_blocks_are_read_only():
    data = np.random.default_rng(0).normal(100, 20, (300, 256, 256)).astype(np.float32)
    lazy = Lazy(data, reported=2**40)
    found = IntensityScaler.of(lazy, False, IntensityConfig())
    assert lazy.read <= 64 * 32**3
    exact = IntensityScaler.of(data, False, IntensityConfig())
    np.testing.assert_allclose([*found.low, *found.high], [*exact.low, *exact.high], rtol=0.02)


def test_a_small_volume_on_disk_has_the_sample_of_one_in_memory():
    data = np.random.default_rng(0).normal(100, 20, (30, 40, 50)).astype(np.float32)
    config = IntensityConfig()
    assert IntensityScaler.of(Lazy(data), False, config) == IntensityScaler.of(data, False, config)


def test_thin_and_flat_volumes_on_disk():
    for shape in ((3, 500, 500), (5000, 40)):
        data = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
        found = IntensityScaler.of(Lazy(data, reported=2**40), False, IntensityConfig())
        assert found.low[0] < 60 < 140 < found.high[0]


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", ">i2", "i4", "f4", "f8"])
def test_tables_and_counts_give_the_same_numbers_as_sorting_and_computing(dtype: str) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(40, 30, (6, 130, 140)).clip(0 if dtype == "u1" else -100, 120)
    data = (np.abs(values) if dtype[-2] == "u" else values).astype(dtype)
    for low, high in ((0.5, 99.5), (0, 100), (33.3, 66.6)):
        scaler = IntensityScaler.of(data, False, IntensityConfig(low=low, high=high))
        bottom, top = np.percentile(data.astype(float), [low, high])
        assert (scaler.low, scaler.high) == ((bottom,), (top,))
        assert IntensityScaler.of(data, False, IntensityConfig(low=low, high=high)) == scaler
        expected = np.clip((data.astype(float) - bottom) / (top - bottom), 0, 1)
        np.testing.assert_array_equal(scaler.apply(data), expected.astype(np.float32))
        np.testing.assert_array_equal(
            scaler.apply(data[:, ::3, ::2]), scaler.apply(data)[:, ::3, ::2]
        )
