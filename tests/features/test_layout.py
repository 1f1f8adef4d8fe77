from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.backbones.base import BackboneSpec, Preprocessing
from napari_fewshot.config import ExtractionConfig
from napari_fewshot.features.layout import plan_layout
from napari_fewshot.types import FeatureMap


def spec(stride=14, **prep):
    prep = {"resize": "grid", "multiple": stride} | prep
    return BackboneSpec("b", "", stride, Preprocessing(**prep))


CONFIG = ExtractionConfig(min_tokens=32, max_side=784)


def test_a_fine_slice_is_padded_but_not_resized():
    layout = plan_layout((512, 600), spec(), CONFIG)
    assert layout.resized == (512, 600)
    assert layout.padded == layout.tile == (518, 602)
    assert layout.grid == (37, 43)
    assert layout.extent == (518.0, 602.0)


def test_a_small_slice_is_enlarged_until_its_grid_is_fine_enough():
    layout = plan_layout((35, 50), spec(), CONFIG)
    assert layout.resized == (448, 640)
    assert layout.grid == (32, 46)
    assert layout.extent == (35.0, pytest.approx(50 * 644 / 640))


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (8, 300), (300, 8), (1, 5000), (100, 256)])
def test_odd_slices_get_enough_tokens_in_few_tiles(shape):
    layout = plan_layout(shape, spec(), CONFIG)
    assert min(layout.grid) >= 32
    assert len(layout.origins) <= max(1, 2 * max(shape) // 784)
    assert all(extent >= side for extent, side in zip(layout.extent, shape, strict=True))
    cell = [extent / cells for extent, cells in zip(layout.extent, layout.grid, strict=True)]
    excess = [extent - side for extent, side in zip(layout.extent, shape, strict=True)]
    assert excess[0] < cell[0]
    assert excess[1] < cell[1]


def test_a_large_slice_is_cut_into_tiles_on_the_grid_of_patches():
    layout = plan_layout((1000, 2000), spec(), CONFIG)
    assert layout.resized == (1000, 2000)
    assert layout.tile == (784, 784)
    assert layout.origins[0] == (0, 0)
    assert layout.origins[-1] == (layout.padded[0] - 784, layout.padded[1] - 784)
    assert all(row % 14 == 0 and column % 14 == 0 for row, column in layout.origins)


def test_the_size_of_a_spec_limits_tiles_of_a_grid():
    layout = plan_layout((512, 512), spec(stride=16, size=224), CONFIG)
    assert layout.tile == (224, 224)
    assert len(layout.origins) == 9


def test_longest_keeps_the_aspect_and_says_how_far_the_padding_reaches():
    layout = plan_layout((512, 256), spec(stride=16, resize="longest", size=1024), CONFIG)
    assert layout.resized == (1024, 512)
    assert layout.padded == (1024, 1024)
    assert layout.grid == (64, 64)
    assert layout.extent == (512.0, 512.0)
    seen = FeatureMap(np.zeros((1, 64, 64)), layout.shape, layout.extent).without_padding()
    assert seen.data.shape == (1, 64, 32)
    assert seen.extent == (512.0, 256.0)


def test_longest_tells_how_far_the_last_cell_reaches_into_padding():
    layout = plan_layout((100, 33), spec(stride=16, resize="longest", size=64), CONFIG)
    assert layout.resized == (64, 21)
    seen = FeatureMap(np.zeros((1, 4, 4)), layout.shape, layout.extent).without_padding()
    assert seen.data.shape == (1, 4, 2)
    assert seen.extent == (100.0, pytest.approx(33 * 32 / 21))


def test_square_ignores_the_aspect():
    layout = plan_layout((512, 100), spec(stride=16, resize="square", size=1024), CONFIG)
    assert layout.resized == layout.padded == (1024, 1024)
    assert layout.extent == (512.0, 100.0)


def test_a_size_that_does_not_fit_the_patches_is_refused():
    with pytest.raises(ValueError, match="multiple of 16"):
        plan_layout((512, 100), spec(stride=16, resize="square", size=1000), CONFIG)


@pytest.mark.parametrize("shape", [(5, 7), (4096, 4096), (10, 100_000)])
def test_a_pixel_grid_stays_as_it_is(shape):
    layout = plan_layout(shape, spec(stride=1, resize="none"), CONFIG)
    assert layout.tile == layout.grid == shape
    assert layout.origins == ((0, 0),)


def test_a_pixel_grid_is_tiled_when_it_is_huge():
    layout = plan_layout((5000, 4097), spec(stride=1, resize="none"), CONFIG)
    assert layout.tile == (4096, 4096)
    assert len(layout.origins) == 4


def test_a_pixel_grid_with_a_multiple_is_padded_and_cut_back():
    layout = plan_layout((5, 9), spec(stride=1, resize="none", multiple=8), CONFIG)
    assert layout.padded == (8, 16)
    assert layout.grid == (5, 9)
    assert layout.extent == (5.0, 9.0)
