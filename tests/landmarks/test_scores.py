"""Scores of landmarks: probabilities that they lie within a tolerance."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import InputError
from napari_fewshot.config import LandmarkConfig, Tolerance
from napari_fewshot.landmarks.known import KnownImage, KnownLandmarks
from napari_fewshot.landmarks.scores import probabilities, tolerance_share


def trials(count=400, seed=0):
    """Sure ones are right more often: within 0.05 with the probability that they say."""
    rng = np.random.default_rng(seed)
    sure = rng.uniform(0.05, 0.95, count)
    right = rng.random(count) < sure**2
    return np.stack([sure, np.where(right, 0.02, 0.2)], axis=1)


def test_a_score_is_the_share_that_is_right():
    found = probabilities(np.array([0.3, 0.6, 0.9]), trials(4000), 0.05)
    np.testing.assert_allclose(found, [0.09, 0.36, 0.81], atol=0.08)


def test_a_wider_tolerance_gives_higher_scores():
    sure = np.array([0.2, 0.5, 0.8])
    narrow, wide = (probabilities(sure, trials(), share) for share in (0.05, 0.5))
    assert (wide > narrow).all()
    assert (np.diff(narrow) > 0).all()


def test_few_trials_do_not_make_sure():
    all_right = np.array([[0.5, 0.001], [0.6, 0.001], [0.7, 0.001]])
    found = probabilities(np.array([0.5]), all_right, 0.05)
    assert 0.5 < found[0] < 0.99


def test_without_trials_it_is_what_was_found():
    np.testing.assert_array_equal(
        probabilities(np.array([0.2, 1.5]), np.zeros((0, 2)), 0.05), [0.2, 1]
    )


def test_where_the_sure_are_wrong_all_are_alike():
    rows = np.array([[s, 0.01 if s < 0.5 else 0.3] for s in np.linspace(0.05, 0.95, 200)])
    found = probabilities(np.array([0.1, 0.9]), rows, 0.05)
    assert found[0] == found[1] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("share", [0.005, 0.02, 0.05])
def test_trials_that_were_all_taken_for_certain_lower_the_score(share):
    rng = np.random.default_rng(0)
    sure = 1 - rng.uniform(0, 1e-3, 60)
    rows = np.stack([sure, np.tile([0.002, 0.01, 0.03, 0.2], 15)], axis=1)
    found = probabilities(sure, rows, share)
    right = (rows[:, 1] <= share).mean()
    np.testing.assert_allclose(found, right, atol=0.08)


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), ("2mm", 0.01), ("10px", 0.025), ("0.5 mm", 0.0025)]
)
def test_tolerances_in_their_units(text, share):
    found = tolerance_share(Tolerance.of(text), np.array([200.0, 100.0]), np.array([0.5, 0.5]))
    assert found == pytest.approx(share)


@pytest.mark.parametrize("text", ["5", "-1mm", "0%", "nanmm", "infpx", "mm", "5cm", ""])
def test_what_is_no_tolerance(text):
    with pytest.raises(ValueError, match="mm, % or px"):
        Tolerance.of(text)
    with pytest.raises(InputError, match="tolerance"):
        LandmarkConfig.of({"tolerance": text}, "landmarks")


@pytest.mark.parametrize(("side", "unit"), [(50.0, 20.0), (1000.0, 1000.0), (1.0, 1.0)])
def test_a_spacing_far_from_that_of_the_templates_is_not_believed(side, unit):
    one = KnownImage(np.zeros((1, 2)), (20.0, 10.0), (0.1, 0.1), np.zeros((1, 0)))
    known = KnownLandmarks((1,), (one,))
    assert known.unit(np.array([side, side / 2]), (0.5, 0.5)) == unit
