"""Which pixels are chosen to learn from."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import SamplingConfig, SegmenterConfig
from napari_fewshot.templates import UNKNOWN, plan_pixels


def planes():
    first = np.zeros((40, 50), np.int32)
    first[:20, :25] = 1  # 500
    first[30:32, :10] = 2  # 20
    second = np.zeros((40, 50), np.int32)
    second[0, :3] = 1
    second[20:30] = UNKNOWN
    third = np.full((30, 30), UNKNOWN)
    return [first, second, third]


def chosen_counts(chosen, values=(0, 1, 2, UNKNOWN)):
    return {
        value: [int((p.ravel()[c] == value).sum()) for p, c in zip(planes(), chosen, strict=True)]
        for value in values
    }


def plan(config, labels=(1, 2), seed=0):
    return plan_pixels(planes(), labels, config, np.random.default_rng(seed))


def test_quotas():
    config = SamplingConfig(pixels_per_label=100, background_factor=2, min_background=1)
    counts = chosen_counts(plan(config)[0])
    assert sum(counts[1]) == 100
    assert counts[1][1] >= 1  # three pixels of 503 would round to none
    assert counts[2] == [20, 0, 0]
    assert sum(counts[0]) == 240
    assert counts[UNKNOWN] == [0, 0, 0]


def test_few_painted_pixels_still_get_enough_background():
    config = SamplingConfig(pixels_per_label=100, background_factor=2, min_background=700)
    assert sum(chosen_counts(plan(config)[0])[0]) == 700
    published = SegmenterConfig(preset="published").sampling
    counts = chosen_counts(plan(published)[0])
    assert sum(counts[0]) == sum(counts[1]) + sum(counts[2])


def test_background_follows_the_areas():
    counts = chosen_counts(plan(SamplingConfig(pixels_per_label=100))[0])
    areas = [int((p == 0).sum()) for p in planes()]
    exact = np.array(areas) * sum(counts[0]) / sum(areas)
    assert np.abs(np.array(counts[0]) - exact).max() <= 1


def test_small_templates_are_taken_whole():
    counts = chosen_counts(plan(SamplingConfig(pixels_per_label=10000))[0])
    assert counts[1] == [500, 3, 0]
    assert counts[0] == [int((p == 0).sum()) for p in planes()]


def test_templates_without_paint_still_give_background():
    config = SamplingConfig(min_background=50)
    chosen, frequency = plan_pixels([np.zeros((30, 30), int)], [1], config, np.random.default_rng())
    assert len(chosen[0]) == 50
    assert frequency.tolist() == [1, 0]


def test_each_pixel_is_chosen_once_and_in_order():
    for flat in plan(SamplingConfig(pixels_per_label=100))[0]:
        assert (np.diff(flat) > 0).all()


def test_frequency_is_that_of_all_known_pixels():
    known = np.concatenate([p[p != UNKNOWN] for p in planes()])
    frequency = plan(SamplingConfig(pixels_per_label=10))[1]
    np.testing.assert_allclose(frequency, [(known == v).mean() for v in (0, 1, 2)])


def test_labels_that_do_not_count_are_left_out():
    chosen, frequency = plan(SamplingConfig(pixels_per_label=100), labels=(1,))
    assert sum(chosen_counts(chosen)[2]) == 0
    assert len(frequency) == 2


@pytest.mark.parametrize("seed", [0, 5])
def test_the_generator_decides(seed):
    config = SamplingConfig(pixels_per_label=100)
    first, again, other = (
        plan(config, seed=seed)[0],
        plan(config, seed=seed)[0],
        plan(config, seed=9)[0],
    )
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], other[0])
