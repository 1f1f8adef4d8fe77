"""Images open so that there is something to see."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import Volume
from napari_fewshot._napari.contrast import contrast_limits
from napari_fewshot._napari.layers import image_layer

RNG = np.random.default_rng(0)


def ct():
    """Air, soft tissue of 30 to 80 HU in a third of it, bone, and a grain of metal."""
    data = np.full((12, 60, 60), -1000, np.int16)
    data[:, 15:45, 10:50] = RNG.integers(-100, 120, (12, 30, 40))
    data[:, 20:24, 20:24] = 900
    data[6, 30, 30] = 12_000
    return data


def test_a_ct_is_shown_by_the_values_of_the_body():
    low, high = contrast_limits(ct())
    assert -110 < low < -80
    assert 110 < high <= 1000
    _, options, _ = image_layer(Volume(ct(), (2.0, 1.0, 1.0)), "ct")
    assert options["contrast_limits"] == (low, high)


def test_a_few_bright_pixels_do_not_darken_the_others():
    data = RNG.normal(100, 10, (8, 64, 64)).astype(np.float32)
    data[3, 5, 5] = 5000
    low, high = contrast_limits(data)
    assert 50 < low < 90
    assert 110 < high < 200


@pytest.mark.parametrize(
    "data",
    [
        RNG.integers(0, 255, (30, 40)).astype(np.uint8),
        RNG.random((4, 30, 40)),
        np.zeros((3, 8, 8)),
        np.full((3, 8, 8), np.nan),
        np.full((2, 8, 8), -1000, np.int16),
    ],
)
def test_what_napari_shows_well_is_left_to_it(data):
    assert contrast_limits(data) is None


def test_colours_have_none():
    data = RNG.integers(0, 255, (30, 40, 3)).astype(np.uint8)
    _, options, _ = image_layer(Volume(data, (1.0, 1.0), has_channels=True), "photo")
    assert "contrast_limits" not in options


def test_an_array_on_disk_is_read_in_part():
    class Counting:
        shape = (500, 2000, 2000)
        read = 0

        def __getitem__(self, index):
            self.read += 1
            return np.ones((95, 95))

    data = Counting()
    assert contrast_limits(data) is None
    assert data.read == 24
