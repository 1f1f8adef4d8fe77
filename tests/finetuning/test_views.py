"""Views of one place: the same numbers name the same regions in each."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import ContrastConfig, IntensityConfig
from napari_fewshot.finetuning.scans import Drawn
from napari_fewshot.finetuning.views import draw_views, in_colours, mirrored_places, sampled
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Volume


def drawn(data, channels=False):
    volume = Volume(data, (1.0,) * (data.ndim - channels), has_channels=channels)
    return Drawn(SliceStack(volume, 0, IntensityConfig()), 0)


def halves(rows=40, columns=36):
    image = np.full((1, rows, columns), 0.2, np.float32)
    image[:, :, columns // 2 :] = 0.8
    return image + np.random.default_rng(0).normal(0, 0.01, image.shape)


def test_views_are_of_one_size_in_range_and_name_regions_alike():
    config = ContrastConfig(side=64)
    views = draw_views(drawn(halves()), config, np.random.default_rng(0))
    assert views.images.shape == (3, 3, 64, 64)
    assert views.regions.shape == (3, 64, 64)
    assert 0 <= views.images.min() <= views.images.max() <= 1
    assert (views.regions == -1).any()  # beyond the slice
    bright = [
        {int(n) for n in np.unique(names[(image[0] > 0.5) & (names >= 0)])}
        for image, names in zip(views.images, views.regions, strict=True)
    ]
    dark = [
        {int(n) for n in np.unique(names[(image[0] < 0.4) & (names >= 0)])}
        for image, names in zip(views.images, views.regions, strict=True)
    ]
    assert all(one & bright[0] for one in bright)
    assert not any(one & other for one in bright for other in dark if len(one) == len(other) == 1)


def test_the_same_seed_gives_the_same_views_and_without_shading_grey_values_stay():
    config = ContrastConfig(side=32, shading=0, rotation=0, scale=0)
    one, other = (draw_views(drawn(halves()), config, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one.images, other.images)
    plain = sampled(one.sources[0], one.places[0])
    np.testing.assert_allclose(one.images[0], plain, atol=1e-5)


def test_the_neighbour_names_nothing_where_regions_meet():
    data = np.repeat(halves(), 8, axis=0)
    config = ContrastConfig(side=32, neighbour=4)
    for seed in range(20):
        views = draw_views(drawn(data), config, np.random.default_rng(seed))
        inside = views.regions[2] >= 0
        assert inside.any()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_slices_of_any_number_of_channels_become_three(channels):
    image = np.random.default_rng(0).random((channels, 4, 4))
    found = in_colours(image, np.random.default_rng(1))
    assert found.shape == (3, 4, 4)
    if channels == 3:
        assert np.array_equal(found, image)
    else:
        assert np.array_equal(found[0], found[2])
        assert found[0] in image


def test_colour_images_give_coloured_views():
    colour = np.random.default_rng(0).random((40, 40, 3))
    views = draw_views(drawn(colour, True), ContrastConfig(side=32), np.random.default_rng(0))
    assert not np.array_equal(views.images[0, 0], views.images[0, 1])


def test_beyond_an_image_places_are_read_as_in_a_mirror():
    shape = np.array([4, 5])
    places = np.array([[-1.0, 0.0], [4.0, 5.0], [2.5, 9.0]])
    assert mirrored_places(places, shape).tolist() == [[0, 0], [3, 4], [2.5, 0]]
