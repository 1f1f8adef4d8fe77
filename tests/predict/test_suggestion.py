"""Which slice to paint next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot.predict.suggestion import (
    SliceScore,
    painting_values,
    slice_descriptor,
    slice_uncertainty,
    suggest_slice,
)
from napari_fewshot.types import FeatureMap


def scores_of(uncertainties, descriptors):
    rows = np.asarray(descriptors, dtype=np.float32).reshape(len(uncertainties), -1)
    return [
        SliceScore(index, float(doubt), row)
        for index, (doubt, row) in enumerate(zip(uncertainties, rows, strict=True))
    ]


@pytest.fixture
def stack():
    """Slices 0..19 that change slowly, and all as uncertain."""
    rng = np.random.default_rng(0)
    return scores_of(np.full(20, 0.2), np.cumsum(rng.normal(1, 0.2, (20, 6)), axis=0))


@pytest.fixture
def odd():
    """Slices of random content and uncertainty."""
    rng = np.random.default_rng(1)
    return scores_of(rng.random(15), rng.normal(size=(15, 8)))


# ---------------------------------------------------------------- order of painting


def test_every_slice_is_suggested_once_and_then_none(odd):
    known = [7]
    while (index := suggest_slice(odd, known)) is not None:
        assert index not in known
        known.append(index)
    assert sorted(known) == list(range(15))


def test_first_slice_lies_amid_the_stack(stack):
    assert 6 <= suggest_slice(stack, []) <= 13


def test_first_slices_spread_over_the_stack(stack):
    known = [10]
    for _ in range(3):
        known.append(suggest_slice(stack, known))
    assert min(known) <= 5
    assert max(known) >= 14
    assert np.diff(sorted(known)).min() >= 3


def test_neighbours_of_a_painted_slice_are_worth_little(stack):
    values = painting_values(stack, [10])
    assert max(values[9], values[11]) < 0.5
    assert values[9] < values[7] < values[5]
    assert values[11] < values[13]


def test_the_uncertain_end_comes_first(stack):
    doubtful = [replace(one, uncertainty=0.4 if one.index > 10 else 0.1) for one in stack]
    assert suggest_slice(doubtful, [10]) > 10
    doubtful = [replace(one, uncertainty=0.4 if one.index < 10 else 0.1) for one in stack]
    assert suggest_slice(doubtful, [10]) < 10


def test_unlike_what_is_painted_comes_first():
    other = [0.0] * 12 + [5.0] * 4
    assert suggest_slice(scores_of([0.2] * 16, other), [6]) >= 12
    assert suggest_slice(scores_of([0.2] * 16, other[::-1]), [9]) < 4


def test_one_odd_slice_does_not_come_before_many():
    content = np.zeros((21, 2))
    content[0] = (4, 0)  # alone
    content[11:] = (0, 2)  # ten that are alike
    assert suggest_slice(scores_of([0.2] * 21, content), [5]) >= 11


def test_slices_of_other_volumes_count(odd):
    content = [[0.0]] * 8 + [[5.0]] * 8
    scores = scores_of([0.2] * 16, content)
    like_the_end = [np.array([5.0], dtype=np.float32)]
    assert suggest_slice(scores, [4]) >= 8
    assert suggest_slice(scores, [], like_the_end) < 8
    assert suggest_slice(scores, [4], like_the_end) != suggest_slice(scores, [4])


# ---------------------------------------------------------------- values


def test_values_are_between_0_and_1_with_a_best_one(odd):
    values = painting_values(odd, [2, 9])
    assert sorted(values) == list(range(15))
    assert max(values.values()) == 1
    assert min(values.values()) == 0
    assert values[2] == values[9] == 0
    assert values[suggest_slice(odd, [2, 9])] == 1


def test_order_does_not_matter(odd):
    values = painting_values(odd, [2, 9])
    for seed in range(3):
        mixed = [odd[k] for k in np.random.default_rng(seed).permutation(15)]
        assert painting_values(mixed, [9, 2]) == values
        assert suggest_slice(mixed, [9, 2]) == suggest_slice(odd, [2, 9])


def test_scale_of_features_and_uncertainties_does_not_matter(odd):
    larger = [SliceScore(s.index, 1e-4 * s.uncertainty, 1e3 * s.descriptor) for s in odd]
    values, scaled = painting_values(odd, [2]), painting_values(larger, [2])
    assert list(scaled.values()) == pytest.approx(list(values.values()), abs=1e-4)


def test_known_slices_that_were_not_predicted(odd):
    left = [one for one in odd if one.index not in (2, 9)]
    painted = [odd[2].descriptor, odd[9].descriptor]
    values = painting_values(left, [2, 9], painted)
    assert set(values) == {one.index for one in left}
    assert suggest_slice(left, [2, 9], painted) not in (2, 9, None)


def test_one_slice_and_none():
    (one,) = scores_of([0.0], [[1.0, 2.0]])
    assert suggest_slice([one], []) == 0
    assert painting_values([one], []) == {0: 1.0}
    assert suggest_slice([one], [0]) is None
    assert painting_values([one], [0]) == {0: 0.0}
    assert suggest_slice([], []) is None
    assert painting_values([], [3]) == {}


@pytest.mark.parametrize("doubt", [0.0, 0.3, np.nan])
def test_equal_slices_are_spread_by_position(doubt):
    scores = scores_of([doubt] * 11, np.zeros((11, 4)))
    values = painting_values(scores, [0])
    assert np.isfinite(list(values.values())).all()
    assert 5 <= suggest_slice(scores, [0]) <= 9


def test_certain_slices_are_worth_less_than_uncertain_ones():
    scores = scores_of([0.0] * 5 + [0.5] + [0.0] * 5, np.zeros((11, 4)))
    assert suggest_slice(scores, [0]) == 5


# ---------------------------------------------------------------- what a slice is like


def constant(value, shape=(8, 12), channels=3):
    data = np.full((channels, *shape), value, dtype=np.float16)
    return FeatureMap(data, shape, (float(shape[0]), float(shape[1])))


def test_descriptor_has_one_length_for_all_grids():
    lengths = {
        len(slice_descriptor(constant(1, shape))) for shape in [(8, 12), (1, 1), (2, 3), (57, 40)]
    }
    assert len(lengths) == 1
    descriptor = slice_descriptor(constant(2))
    assert descriptor.dtype == np.float32
    assert descriptor.ndim == 1
    assert (descriptor == 2).all()


def test_descriptor_tells_where_things_are():
    top, bottom = constant(0), constant(0)
    top.data[:, :2] = 1
    bottom.data[:, -2:] = 1
    assert np.abs(slice_descriptor(top) - slice_descriptor(bottom)).max() == 1
    assert slice_descriptor(top).sum() == slice_descriptor(bottom).sum()


def probabilities(background, best, size=10):
    """A slice of pixels that share the rest between two labels."""
    plane = np.array([background, best, 1 - background - best], dtype=np.float32)
    return np.broadcast_to(plane[:, None, None], (3, size, size)).copy()


def test_certain_slices_have_no_uncertainty():
    assert slice_uncertainty(probabilities(1, 0)) == 0
    assert slice_uncertainty(probabilities(0, 1)) == 0


def test_doubt_between_labels_counts_and_is_at_most_1():
    doubt = [slice_uncertainty(probabilities(0, best)) for best in (0.95, 0.8, 0.5)]
    assert 0 < doubt[0] < doubt[1] < doubt[2] <= 1
    assert isinstance(doubt[0], float)


def test_plain_background_adds_nothing():
    tissue = probabilities(0, 0.6)
    there = probabilities(1, 0, 20)
    there[:, :10, :10] = tissue
    faint = probabilities(0.95, 0.03, 20)
    faint[:, :10, :10] = tissue
    assert slice_uncertainty(there) == pytest.approx(slice_uncertainty(tissue) / 4)
    assert slice_uncertainty(faint) < 1.05 * slice_uncertainty(there)
