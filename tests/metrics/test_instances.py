"""Instances that nobody has matched: by hand, and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from napari_fewshot.metrics.instances import compare_partitions, score_each_instance


def test_a_mask_inside_of_an_organ_is_precise_and_recalls_little() -> None:
    truth = np.zeros((1, 4, 10), int)
    truth[0, :, :5], truth[0, :, 5:] = 3, 7  # two organs, and no background
    mask = np.zeros_like(truth)
    mask[0, 0, :2] = 9
    found = score_each_instance(mask, truth)
    assert found.precision == 1
    assert found.recall == found.iou == pytest.approx(2 / 40)
    assert found.dice == pytest.approx(4 / 42)
    assert found.instances == 1


def test_means_are_over_instances_of_all_slices() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (3, 12, 12))
    instances = rng.integers(0, 5, truth.shape)
    instances[1] = 0  # a slice without any
    expected = []
    for mask, true in zip(instances, truth > 0, strict=True):
        for number in np.unique(mask[mask > 0]):
            one = mask == number
            expected.append(
                [
                    metrics.jaccard_score(true.ravel(), one.ravel()),
                    metrics.f1_score(true.ravel(), one.ravel()),
                    metrics.precision_score(true.ravel(), one.ravel()),
                    metrics.recall_score(true.ravel(), one.ravel()),
                    metrics.rand_score(true.ravel(), one.ravel()),
                    metrics.adjusted_rand_score(true.ravel(), one.ravel()),
                ]
            )
    found = list(score_each_instance(instances, truth).as_dict().values())
    np.testing.assert_allclose(found, [*np.mean(expected, axis=0), len(expected)])


def test_without_an_instance_or_a_structure() -> None:
    nothing, all_of_it = np.zeros((1, 3, 3), int), np.ones((1, 3, 3), int)
    found = score_each_instance(nothing, all_of_it)
    assert (found.dice, found.recall, found.instances) == (0, 0, 0)
    assert math.isnan(found.precision)
    assert math.isnan(found.adjusted_rand_index)
    found = score_each_instance(all_of_it, nothing)
    assert (found.iou, found.precision, found.recall) == (0, 0, 0)


def test_numbers_of_regions_mean_nothing() -> None:
    truth = np.array([[0, 0, 5, 5], [2, 2, 5, 5]])
    other = np.array([[7, 7, 1, 1], [0, 0, 1, 1]])
    assert compare_partitions(other, truth) == (1, 1)
    halves = np.array([[0, 0, 0, 0], [1, 1, 1, 1]])
    rand, adjusted = compare_partitions(halves, truth)
    assert rand == pytest.approx(metrics.rand_score(truth.ravel(), halves.ravel()))
    assert adjusted == pytest.approx(metrics.adjusted_rand_score(truth.ravel(), halves.ravel()))
