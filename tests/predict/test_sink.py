"""Probabilities to labels, confidence and landmarks; arrays in memory or in a nameless file."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_fewshot import scratch
from napari_fewshot.config import IntensityConfig, PropagationConfig
from napari_fewshot.errors import InputError
from napari_fewshot.predict.sink import PredictionSink, smallest_label_dtype
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Volume

SHAPE = (4, 10, 12)
PLAIN = PropagationConfig(cleanup={"min_size": 1})


def planes(labels=2):
    rng = np.random.default_rng(0)
    for k in range(SHAPE[0]):
        raw = rng.random((labels + 1, *SHAPE[1:])).astype(np.float32)
        yield k, raw / raw.sum(0)


def sink_of(values, settings=PLAIN, names=None, shape=SHAPE, landmarks=()):
    learned = SimpleNamespace(
        label_values=values,
        names=names or {v: str(v) for v in values},
        point_labels=frozenset(),
        arrangements=(),
    )
    stack = SliceStack(Volume.of(np.zeros(shape)), 0, IntensityConfig())
    return PredictionSink(stack, learned, settings, landmarks)


def filled(planes, *given, **options):
    sink = sink_of(*given, **options)
    for index, plane in planes:
        sink.put(index, plane)
    return sink


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


@pytest.mark.parametrize("limit", [10**9, 1])
@pytest.mark.parametrize("values", [(3, 9), (7, 70000)])
def test_every_pixel_takes_its_most_probable_class(values, limit, monkeypatch):
    monkeypatch.setattr(scratch, "IN_MEMORY", limit)
    found = filled(planes(), values).finish()
    assert found.labels.dtype == smallest_label_dtype(values)
    assert found.confidence.dtype == np.float32
    for k, plane in planes():
        np.testing.assert_array_equal(found.labels[k], np.array([0, *values])[plane.argmax(0)])
        np.testing.assert_array_equal(found.confidence[k], plane.max(0))


def test_confidence_after_cleaning_is_that_of_background():
    settings = PropagationConfig(cleanup={"min_size": 10, "connectivity": 1})
    given = dict(planes())
    sink = filled(given.items(), (3, 9), settings)
    labels, confidence = sink.labels.copy(), sink.confidence.copy()
    for _ in range(2):  # nothing is used up
        found = sink.finish()
        removed = (found.labels == 0) & (labels != 0)
        assert removed.any()
        assert (found.labels != 0).any()
        background = np.stack([given[k][0] for k in range(SHAPE[0])])
        expected = np.where(removed, background, confidence)
        np.testing.assert_array_equal(found.confidence, expected)
    np.testing.assert_array_equal(sink.labels, labels)
    np.testing.assert_array_equal(sink.confidence, confidence)


def test_ties_are_background():
    even = np.full((3, 2, 2), 1 / 3, np.float32)
    assert not filled([(0, even)], (1, 2), shape=(1, 2, 2)).labels.any()


@pytest.mark.parametrize("limit", [10**9, 1])
def test_landmarks_of_wanted_labels(limit, monkeypatch):
    monkeypatch.setattr(scratch, "IN_MEMORY", limit)
    probability = np.zeros((4, *SHAPE), np.float32)
    probability[1, 1, 3:6, 4:7] = 1.0
    probability[2, 2, 6:9, 1:4] = 0.8
    settings = PropagationConfig(landmarks={"min_score": 0.2})
    given = [(k, probability[:, k]) for k in range(SHAPE[0])]
    names = {3: "a", 9: "b", 11: "c"}
    found = filled(given, (3, 9, 11), settings, names, landmarks=None).finish().landmarks
    assert [(p.label, p.name) for p in found] == [(3, "a"), (9, "b")]
    np.testing.assert_allclose(found[0].position, (1, 4, 5), atol=0.3)
    np.testing.assert_allclose(found[1].position, (2, 7, 2), atol=0.3)
    assert found[0].score > found[1].score
    only = filled(given, (3, 9, 11), settings, names, landmarks=(9,)).finish().landmarks
    assert [p.label for p in only] == [9]
    assert filled(given, (3, 9, 11), settings, names).finish().landmarks == ()


def test_landmarks_of_the_cleaned_labels():
    """A stray pixel is surer than the landmark, but the clean-up removes it."""
    probability = np.zeros((2, *SHAPE), np.float32)
    probability[1, 1, 3:6, 4:7] = 0.6
    probability[1, 1, 0, 0] = probability[1, 3, 9, 9] = 1.0
    probability[0] = 1 - probability[1]
    given = [(k, probability[:, k]) for k in range(SHAPE[0])]
    points = {"source": "labels", "per_label": 5, "min_score": 0.9}
    settings = PropagationConfig(landmarks=points, cleanup={"min_fraction": 0.5, "dimensions": 2})
    found = filled(given, (7,), settings, {7: "tip"}, landmarks=None).finish().landmarks
    assert [(mark.name, mark.label, mark.position) for mark in found] == [
        ("tip", 7, (1.0, 4.0, 5.0)),
        ("tip", 7, (3.0, 9.0, 9.0)),  # alone in its slice
    ]
    assert [mark.score for mark in found] == pytest.approx([0.6, 1.0])
    assert filled(given, (7,), settings).finish().landmarks == ()


EVERYTHING = PropagationConfig(cleanup={"min_size": 10}, landmarks={"min_score": 0.2})


def arrays_of(sink):
    return sink.part(0, SHAPE[0])


def test_rows_of_a_slice_come_one_after_the_other():
    whole = filled(planes(), (3, 9), EVERYTHING, landmarks=None)
    banded = sink_of((3, 9), EVERYTHING, landmarks=None)
    for k, plane in planes():
        for rows in ((6, 10), (0, 1), (1, 6)):
            banded.put(k, plane[:, slice(*rows)], rows)
    for name, expected in arrays_of(whole).items():
        np.testing.assert_array_equal(arrays_of(banded)[name], expected)


@pytest.mark.parametrize("limit", [10**9, 1])
def test_parts_of_several_sinks_make_one(limit, monkeypatch):
    monkeypatch.setattr(scratch, "IN_MEMORY", limit)
    whole = filled(planes(), (3, 9), EVERYTHING, landmarks=None)
    joined = sink_of((3, 9), EVERYTHING, landmarks=None)
    for start, stop in ((1, 4), (0, 1)):
        one = sink_of((3, 9), EVERYTHING, landmarks=None)
        for k, plane in planes():
            if start <= k < stop:
                one.put(k, plane)
        joined.put_part(start, one.part(start, stop))
    assert sorted(arrays_of(whole)) == ["background", "confidence", "labels", "probabilities"]
    for name, expected in arrays_of(whole).items():
        assert arrays_of(joined)[name].tobytes() == expected.tobytes()
    found, expected = joined.finish(), whole.finish()
    assert found.labels.tobytes() == expected.labels.tobytes()
    assert found.confidence.tobytes() == expected.confidence.tobytes()
    assert found.landmarks == expected.landmarks


def test_parts_of_another_kind_of_sink_are_refused():
    sink = filled(planes(), (3, 9), EVERYTHING, landmarks=None)
    plain = filled(planes(), (3, 9))
    before = arrays_of(plain)
    with pytest.raises(InputError, match="part must have the arrays labels, confidence; got"):
        plain.put_part(0, sink.part(0, 1))
    with pytest.raises(InputError, match="labels must be uint8 of shape"):
        plain.put_part(3, plain.part(0, 2))
    with pytest.raises(InputError, match="labels must be uint8 of shape .* got uint16"):
        plain.put_part(0, filled(planes(), (3, 300)).part(0, 1))
    for name, expected in before.items():
        np.testing.assert_array_equal(arrays_of(plain)[name], expected)


def test_confidence_is_never_above_1():
    plane = np.zeros((3, *SHAPE[1:]), np.float32)
    plane[1] = np.nextafter(np.float32(1), np.float32(2))
    assert filled([(0, plane)], (3, 7)).finish().confidence.max() == 1
