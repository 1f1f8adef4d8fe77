"""Probabilities to labels, confidence and what landmarks are found in."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import LandmarkConfig
from napari_fewshot.predict import collect as module
from napari_fewshot.predict.collect import (
    LabelCollector,
    LabelProbabilities,
    smallest_label_dtype,
)

SHAPE = (4, 10, 12)


def planes(labels=2):
    rng = np.random.default_rng(0)
    for k in range(SHAPE[0]):
        raw = rng.random((labels + 1, *SHAPE[1:])).astype(np.float32)
        yield k, raw / raw.sum(0)


def collect(planes, shape, values, kept=None):
    collector = LabelCollector(shape, values, kept)
    for index, plane in planes:
        collector.put(index, plane)
    return collector


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ((), np.uint8),
        ((255,), np.uint8),
        ((256,), np.uint16),
        ((1, 65535), np.uint16),
        ((65536,), np.int32),
        ((2**31 - 1,), np.int32),
    ],
)
def test_smallest_dtype(values, dtype):
    assert smallest_label_dtype(values) == dtype


@pytest.mark.parametrize("values", [(3, 9), (7, 70000)])
def test_every_pixel_takes_its_most_probable_class(values):
    found = collect(planes(), SHAPE, values)
    assert found.labels.dtype == smallest_label_dtype(values)
    assert found.confidence.dtype == np.float32
    for k, plane in planes():
        np.testing.assert_array_equal(found.labels[k], np.array([0, *values])[plane.argmax(0)])
        np.testing.assert_array_equal(found.confidence[k], plane.max(0))


def test_confidence_after_cleaning_is_that_of_background():
    collector = LabelCollector(SHAPE, (3, 9), keep_background=True)
    given = dict(planes())
    for index, plane in given.items():
        collector.put(index, plane)
    cleaned = collector.labels.copy()
    cleaned[:, :5] = 0
    before = collector.confidence.copy()
    for _ in range(2):  # nothing is used up
        found = collector.confidence_of(cleaned)
        for k, plane in given.items():
            removed = (cleaned[k] == 0) & (collector.labels[k] != 0)
            assert removed.any()
            np.testing.assert_array_equal(found[k][removed], plane[0][removed])
            np.testing.assert_array_equal(found[k][~removed], before[k][~removed])
    np.testing.assert_array_equal(collector.confidence, before)


def test_ties_are_background():
    even = np.full((3, 2, 2), 1 / 3, np.float32)
    assert (collect([(0, even)], (1, 2, 2), (1, 2)).labels == 0).all()


@pytest.mark.parametrize("limit", [10**9, 1])
def test_probabilities_in_memory_and_on_disk(limit, monkeypatch):
    monkeypatch.setattr(module, "_IN_MEMORY", limit)
    kept = LabelProbabilities(SHAPE, 2)
    assert isinstance(kept.data, np.memmap) is (limit == 1)
    collect(planes(), SHAPE, (3, 9), kept)
    for k, plane in planes():
        np.testing.assert_allclose(kept.data[:, k] / 255, plane[1:], atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("limit", [10**9, 1])
def test_landmarks_of_wanted_labels(limit, monkeypatch):
    monkeypatch.setattr(module, "_IN_MEMORY", limit)
    kept = LabelProbabilities(SHAPE, 3)
    probability = np.zeros((4, *SHAPE), np.float32)
    probability[1, 1, 3:6, 4:7] = 1.0
    probability[2, 2, 6:9, 1:4] = 0.8
    for k in range(SHAPE[0]):
        kept.put(k, probability[:, k])
    config = LandmarkConfig(min_score=0.2)
    found = kept.landmarks((3, 9, 11), {3: "a"}, config, (1.0, 1.0, 1.0), (3, 9, 11))
    assert [(p.label, p.name) for p in found] == [(3, "a"), (9, "9")]
    np.testing.assert_allclose(found[0].position, (1, 4, 5), atol=0.3)
    np.testing.assert_allclose(found[1].position, (2, 7, 2), atol=0.3)
    assert found[0].score > found[1].score
    only = kept.landmarks((3, 9, 11), {}, config, (1.0, 1.0, 1.0), (9,))
    assert [p.label for p in only] == [9]
