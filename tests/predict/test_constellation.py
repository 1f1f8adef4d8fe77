"""Landmarks that keep their arrangement."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.predict.constellation import Candidates, fit_constellation


def turn(axes, degrees):
    """Rotation in the plane of the last two axes, and in 3D in another one too."""
    angle = np.deg2rad(degrees)
    flat = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if axes == 2:
        return flat
    first, second = np.eye(3), np.eye(3)
    first[1:, 1:] = flat
    second[:2, :2] = flat
    return first @ second


def peaks(truth, rng, *, wrong=5, missed=0.5, size=100.0):
    """Weak peaks at the right places, but for some, and stronger ones anywhere."""
    labels, scores, places = [], [], []
    for label, place in enumerate(truth):
        if rng.random() >= missed and np.isfinite(place).all():
            labels.append(label)
            scores.append(0.3)
            places.append(place + rng.normal(0, 0.5, len(place)))
        for _ in range(wrong):
            labels.append(label)
            scores.append(rng.uniform(0.1, 0.8))
            places.append(rng.uniform(0, size, len(place)))
    return Candidates(np.array(labels), np.array(scores), np.array(places))


@pytest.mark.parametrize("axes", [2, 3])
def test_all_points_are_found_where_half_of_the_peaks_are_missing(axes):
    rng = np.random.default_rng(3)
    template = rng.uniform(10, 50, (24, axes))
    middle = template.mean(0)
    truth = 1.2 * (template - middle) @ turn(axes, 35).T + middle + 15
    found = peaks(truth, rng)
    places, scores = fit_constellation(found, [template])
    error = np.linalg.norm(places - truth, axis=1)
    strongest = [
        found.places[found.landmarks == k][found.scores[found.landmarks == k].argmax()]
        for k in range(24)
    ]
    assert (np.linalg.norm(strongest - truth, axis=1) < 3).mean() < 0.3  # each by itself
    assert (error < 1.5).all()
    assert ((scores >= 0) & (scores <= 0.8)).all()
    again = fit_constellation(found, [template])
    np.testing.assert_array_equal(again[0], places)


def test_points_that_one_template_lacks_come_from_another():
    rng = np.random.default_rng(5)
    whole = rng.uniform(10, 60, (20, 3))
    first, second = whole.copy(), whole @ turn(3, 20).T + 4
    first[:4], second[16:] = np.nan, np.nan
    places, _ = fit_constellation(peaks(whole, rng, missed=0.2), [first, second])
    assert (np.linalg.norm(places - whole, axis=1) < 2).all()


def test_a_mirrored_arrangement_is_none():
    rng = np.random.default_rng(7)
    template = rng.uniform(20, 80, (20, 3))
    mirrored = template * np.array([1, 1, -1]) + np.array([0, 0, 100])
    right = fit_constellation(peaks(template, rng, wrong=0, missed=0), [template])
    assert (np.linalg.norm(right[0] - template, axis=1) < 1).all()
    wrong = fit_constellation(peaks(mirrored, rng, wrong=0, missed=0), [template])
    assert wrong is None or (np.linalg.norm(wrong[0] - mirrored, axis=1) > 5).mean() > 0.5


def test_peaks_that_agree_on_nothing_are_left_alone():
    rng = np.random.default_rng(9)
    template = rng.uniform(40, 60, (20, 3))
    nothing = peaks(template, rng, wrong=2, missed=1, size=400.0)
    assert fit_constellation(nothing, [template]) is None
    few = template[:9]
    assert fit_constellation(peaks(few, rng, missed=0), [few]) is None
    empty = Candidates(np.zeros(0, int), np.zeros(0), np.zeros((0, 3)))
    assert fit_constellation(empty, [template]) is None


def test_places_give_way_to_peaks_nearby():
    rng = np.random.default_rng(11)
    template = rng.uniform(0, 100, (40, 2))
    bent = template + np.stack([np.zeros(40), 4 * np.sin(template[:, 0] / 20)], axis=1)
    places, _ = fit_constellation(peaks(bent, rng, wrong=0, missed=0), [template])
    stiff = template + (bent - template).mean(0)
    assert (
        np.linalg.norm(places - bent, axis=1).mean()
        < 0.6 * np.linalg.norm(stiff - bent, axis=1).mean()
    )
