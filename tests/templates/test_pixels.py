"""Which pixels are chosen to learn from."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import SamplingConfig, SegmenterConfig
from napari_fewshot.templates import UNKNOWN, Samples, plan_pixels
from napari_fewshot.templates.pixels import with_decoys


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


def test_without_a_limit_all_pixels_are_taken(caplog):
    config = SamplingConfig(pixels_per_label=0, background_factor=1, min_background=1)
    counts = chosen_counts(plan(config)[0])
    assert [sum(counts[v]) for v in (0, 1, 2)] == [523, 503, 20]
    assert not caplog.records


@pytest.mark.parametrize("columns", [1000, 2000])
def test_memory_bounds_them_and_a_warning_says_so(columns, caplog):
    """0.4 MB are 100,000 numbers: 100 pixels of 1000 features, of which half are background."""
    config = SamplingConfig(
        pixels_per_label=0, background_factor=1, min_background=1, max_memory=0.0004
    )
    planned = plan_pixels(planes(), (1, 2), config, np.random.default_rng(0), columns)
    counts = chosen_counts(planned[0])
    assert sum(counts[2]) == min(20, 25_000 // columns)
    assert 50_000 // columns - 1 <= sum(counts[1]) + sum(counts[2]) <= 50_000 // columns
    assert sum(map(len, planned[0])) * columns <= 100_000
    assert "sampling.max_memory, 0.0004 GB" in caplog.text


def test_memory_bounds_a_number_of_pixels_without_a_warning(caplog):
    config = SamplingConfig(
        pixels_per_label=400, background_factor=1, min_background=1, max_memory=0.0004
    )
    counts = chosen_counts(plan_pixels(planes(), (1, 2), config, np.random.default_rng(0), 1000)[0])
    assert (sum(counts[1]), sum(counts[2])) == (30, 20)
    assert not caplog.records


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


def samples_everywhere(planes, labels=(1, 2)):
    """Every pixel of every plane, the slices in another order than theirs."""
    numbers = list(range(len(planes)))[::-1]
    places = np.concatenate(
        [np.insert(np.argwhere(planes[n] == planes[n]), 0, n, axis=1) for n in numbers]
    )
    count = len(places)
    return Samples(
        features=np.zeros((count, 2), np.float32),
        classes=np.zeros(count, np.int64),
        possible=np.ones((count, len(labels) + 1), bool),
        places=places.astype(np.float32),
        label_values=labels,
        frequency=np.ones(len(labels) + 1),
        planes=planes,
    )


@pytest.mark.parametrize("distance", [1.0, 5.0, 10.0])
def test_distance_counts_from_the_region_in_its_slice(distance):
    planes = [np.zeros((14, 17), int), np.zeros((20, 9), int)]
    planes[0][4:7, 3:6] = 1
    planes[0][10, 12] = 2
    planes[1][0, 0] = 1
    planes[1][15:] = UNKNOWN
    samples = samples_everywhere(planes)
    far = samples.far_from_labels(distance)
    for (number, row, column), found in zip(samples.places.astype(int), far, strict=True):
        for k, value in enumerate(samples.label_values):
            paint = np.argwhere(planes[number] == value)
            nearest = np.hypot(*(paint - (row, column)).T).min() if len(paint) else np.inf
            assert found[k] == (nearest >= distance)


def test_a_label_that_fills_its_slice_and_decoys():
    samples = with_decoys(samples_everywhere([np.ones((4, 5), int)]), 0.5, seed=0)
    far = samples.far_from_labels(3.0)
    assert not far[:20, 0].any()
    assert far[20:].all()
    assert far[:, 1].all()
