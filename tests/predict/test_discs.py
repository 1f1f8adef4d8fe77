"""Labels round points that were found."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Landmark, Template, Volume
from napari_fewshot.predict.discs import disc_radius

from ..landmarks.conftest import QUICK, fitted, patients


def test_each_point_has_a_disc_of_its_label_and_its_score():
    *templates, (image, _) = patients(2, 4)
    found = fitted(templates).predict(image)
    radius = disc_radius(image, 3.0)
    for point in found.landmarks:
        at = tuple(np.round(point.position[1:]).astype(int))
        assert found.labels[at] == point.label
        assert found.confidence[at] == pytest.approx(point.score)
        rows, columns = np.nonzero(found.labels == point.label)
        far = np.hypot(rows - at[0], columns - at[1])
        assert far.max() <= radius
        assert len(rows) == pytest.approx(np.pi * radius**2, rel=0.2)
    assert (found.confidence[found.labels == 0] == 1).all()
    assert found.labels.dtype == np.uint8


def test_the_adapters_are_not_asked(monkeypatch):
    *templates, (image, _) = patients(2, 4)
    model = fitted(templates)

    def fail(*_, **__):
        raise AssertionError

    monkeypatch.setattr("napari_fewshot.predict.predictor.slice_probabilities", fail)
    assert len(model.predict(image).landmarks) == 5
    alone = model.predict(image, landmarks=False)
    assert alone.landmarks == ()
    assert set(np.unique(alone.labels)) == {0, 1, 2, 3, 4, 5}


def test_points_that_lie_together_share_the_pixels_between_them():
    *templates, (image, _) = patients(2, 4)
    near = []
    for template, points in templates:
        first = points[0]
        z, y, x = first.position
        near.append((template, [*points, Landmark("beside", 9, (z, y + 2, x))]))
    found = fitted(near).predict(image)
    at = {p.label: np.round(p.position[1:]).astype(int) for p in found.landmarks}
    assert {1, 9} <= at.keys()
    for label in (1, 9):
        rows, columns = np.nonzero(found.labels == label)
        own = np.hypot(rows - at[label][0], columns - at[label][1])
        other = np.hypot(rows - at[10 - label][0], columns - at[10 - label][1])
        assert len(rows)
        assert (own <= other).all()


def test_outside_of_a_region_there_is_nothing():
    *templates, (image, _) = patients(2, 4)
    found = fitted(templates).predict(image, region=((0, 100), None))
    assert not found.labels[100:].any()
    assert not found.confidence[100:].any()
    assert {p.label for p in found.landmarks} == set(np.unique(found.labels)) - {0}


def test_painted_labels_and_refinement_are_predicted_as_ever():
    *templates, (image, _) = patients(2, 3)
    model = fitted(templates)
    refined = model.predict(image, refine="random-walker")
    assert ((refined.confidence < 1) & (refined.labels == 0)).any()
    painted = np.zeros(image.shape, np.uint8)
    painted[20:60, 20:60] = 7
    model = FewShotSegmenter(**QUICK)
    model.fit([*(Template(i, points=p) for i, p in templates), Template(image, painted)])
    both = model.predict(image)
    assert 7 in both.labels
    assert not model.volume_predictor().model.shows_points_alone


def test_radius_grows_with_the_image():
    assert disc_radius(Volume(np.zeros((100, 80)), (1.0, 1.0)), 3.0) == 3.0
    assert disc_radius(Volume(np.zeros((2800, 1100)), (0.2, 0.2)), 3.0) == pytest.approx(2.8)
