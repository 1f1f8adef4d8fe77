"""Landmarks that somebody placed in an image are kept, and the others go with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot import InputError, Landmark
from napari_fewshot.slices.registration import has_registration

from .conftest import fitted, patients


def shifted(points, by):
    return [replace(p, position=tuple(np.array(p.position) + by)) for p in points]


def at(found):
    return {p.name: np.array(p.position) for p in found}


def test_in_a_plane_they_stay_and_the_others_follow():
    *templates, (image, truth) = patients(2, 4)
    model = fitted(templates)
    free = model.predict(image)
    known = shifted(truth[:2], (0, 14, 10))
    found = model.predict(image, known_landmarks=known)
    for point, placed in zip(found.landmarks[:2], known, strict=True):
        assert point.position == placed.position
        assert (point.name, point.score, point.candidates) == (placed.name, None, ())
    assert {1, 2} <= set(np.unique(found.labels))  # discs round them
    before, after = at(free.landmarks), at(found.landmarks)
    assert np.linalg.norm(after["p3"] - before["p3"]) > 1e-3
    finder = model.landmark_finder(image)
    for _ in range(2):  # what was computed is at hand
        again = finder.find(known)
        np.testing.assert_allclose(again[3].position, after["p3"])
    np.testing.assert_allclose(finder.find()[3].position, before["p3"])


def test_right_ones_help_where_the_image_shows_little():
    """Half of the image is gone: where its landmarks lie, those that are known tell."""
    *templates, (image, truth) = patients(2, 4)
    model = fitted(templates)
    blank = np.array(image.data)
    blank[95:] = 0
    cut = replace(image, data=blank)
    known = [truth[2], truth[4]]
    errors = []
    for given in ((), known):
        found = model.landmark_finder(cut).find(given)[4]
        place = found.position if isinstance(found, Landmark) else found[0].position
        errors.append(np.linalg.norm(np.array(place) - truth[3].position))
    assert errors[1] < 8
    assert errors[1] <= errors[0] + 1


def test_names_count_more_than_labels_and_what_is_wrong_is_said():
    *templates, (image, truth) = patients(2, 4)
    model = fitted(templates)
    own = replace(truth[0], name="P1 ", label=4)
    found = model.predict(image, known_landmarks=[own])
    assert found.landmarks[0].name == "p1"
    assert found.landmarks[0].label == 1
    for given, message in (
        ([replace(truth[0], name="nose")], r"landmarks of the model: p1, p2.*got nose.*names"),
        ([replace(truth[0], position=(0, 500, 3))], r"inside the volume of shape \(200, 130\).*p1"),
        ([truth[0], truth[0]], r"each landmark once; got p1 2 times"),
    ):
        with pytest.raises(InputError, match=message):
            model.predict(image, known_landmarks=given)
        with pytest.raises(InputError, match=message):
            model.slice_predictor(image, known_landmarks=given)


def test_where_points_are_peaks_they_are_kept_all_the_same():
    *templates, (image, truth) = patients(2, 2)
    model = fitted(templates, propagation={"landmarks": {"arrangement": False, "min_score": 0.01}})
    assert model.landmark_finder(image).find(truth[:1]) is None
    found = model.predict(image, known_landmarks=truth[:1]).landmarks
    mine = [p for p in found if p.label == 1]
    assert [(p.position, p.score) for p in mine] == [(truth[0].position, None)]


@pytest.mark.skipif(not has_registration(), reason="SimpleITK is not installed")
def test_in_a_volume_the_others_follow_and_what_was_registered_is_kept():
    *templates, (image, truth) = patients(3, 3, 2.0)
    model = fitted(templates)
    finder = model.landmark_finder(image)
    free = finder.find()
    known = shifted(truth[:1], (3, 3, 3))
    found = finder.find(known)
    assert found[1].position == known[0].position
    assert found[1].score is None
    assert {label for label, one in found.items() if isinstance(one, Landmark)} == {1, 2, 3, 4}
    for label in (2, 3, 4):  # what is seen there decides, near where they are expected
        assert np.linalg.norm(np.array(found[label].position) - free[label].position) < 4
    assert model.predict(image, known_landmarks=known).landmarks[0].position == known[0].position
