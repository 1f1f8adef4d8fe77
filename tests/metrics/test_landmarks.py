"""Scores of landmarks, by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.metrics.landmarks import evaluate_landmarks
from napari_fewshot.types import Landmark


def point(
    name: str, position: tuple[float, float, float], score: float | None = None, label: int = 1
) -> Landmark:
    return Landmark(name, label, position, score)


def test_2d_by_hand() -> None:
    truth = [point("a", (0, 10, 10)), point("b", (0, 50, 50)), point("c", (0, 5, 5))]
    pred = [point("a", (0, 13, 14), 0.9), point("b", (0, 50, 60), 0.8)]

    scores = evaluate_landmarks(pred, truth, (0.5, 0.5))

    a, b, c = scores.landmarks
    assert (a.error_px, a.error_mm, a.hit) == (5.0, 2.5, True)
    assert (b.error_px, b.error_mm, b.hit) == (10.0, 5.0, False)  # below 10, not at 10
    assert (c.found, c.hit) == (False, False)
    assert math.isnan(c.error_mm)
    assert scores.accuracy == pytest.approx(1 / 3)
    assert scores.mean_error_mm == pytest.approx(3.75)
    assert scores.sd_error_mm == pytest.approx(np.std([2.5, 5.0], ddof=1))
    assert scores.median_error_mm == pytest.approx(3.75)
    assert (scores.missing, scores.extra) == (1, 0)


def test_pixels_are_those_of_the_plane_when_not_square() -> None:
    scores = evaluate_landmarks([point("a", (0, 3, 4))], [point("a", (0, 0, 0))], (2.0, 1.0))
    assert scores.landmarks[0].error_px == 5.0
    assert scores.landmarks[0].error_mm == pytest.approx(math.hypot(6, 4))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_distance_across_slices_counts_in_pixels_of_the_plane(axis: int) -> None:
    spacing = np.full(3, 0.5)
    spacing[axis] = 3.0
    position = np.full(3, 4.0)
    position[axis] = 2.0  # 2 slices of 3 mm are 12 pixels of 0.5 mm; in the plane (4, 4)
    guess = point("a", tuple(position))

    row = evaluate_landmarks([guess], [point("a", (0, 0, 0))], spacing, axis=axis).landmarks[0]

    assert row.error_px == pytest.approx(math.sqrt(12**2 + 4**2 + 4**2))
    assert row.error_mm == pytest.approx(row.error_px * 0.5)
    assert not row.hit


def test_highest_score_is_taken() -> None:
    truth = [point("a", (0, 0, 0))]
    near, far = point("a", (0, 1, 0), 0.4), point("a", (0, 20, 0), 0.6)
    assert evaluate_landmarks([near, far], truth, (1, 1)).accuracy == 0
    placed = point("a", (0, 2, 0), None)
    assert evaluate_landmarks([far, placed, near], truth, (1, 1)).landmarks[0].error_px == 2


def test_several_of_one_name_are_assigned_one_to_one() -> None:
    truth = [point("rib", (0, 0, 0)), point("rib", (0, 0, 30)), point("rib", (0, 0, 60))]
    pred = [point("rib", (0, 0, 29), 0.9), point("rib", (0, 0, 2), 0.8)]
    scores = evaluate_landmarks(pred, truth, (1, 1))
    assert [row.error_px for row in scores.landmarks[:2]] == [2, 1]
    assert scores.missing == 1


def test_matched_by_label_without_names() -> None:
    truth = [point("a", (0, 0, 0), label=3), point("b", (0, 9, 9), label=4)]
    pred = [point("", (0, 9, 8), 0.5, label=4), point("", (0, 1, 0), 0.5, label=3)]
    scores = evaluate_landmarks(pred, truth, (1, 1))
    assert [row.error_px for row in scores.landmarks] == [1, 1]
    nameless = [point("", (0, 0, 0), label=3)]
    named = [point("x", (0, 4, 3), 0.5, label=3)]
    assert evaluate_landmarks(named, nameless, (1, 1)).landmarks[0].error_px == 5


def test_extra_predictions_are_counted() -> None:
    truth = [point("a", (0, 0, 0))]
    pred = [point("a", (0, 0, 0), 0.9), point("b", (0, 0, 0), 0.9, label=2)]
    assert evaluate_landmarks(pred, truth, (1, 1)).extra == 1


def test_nothing_predicted_and_nothing_there() -> None:
    scores = evaluate_landmarks([], [point("a", (0, 0, 0))], (1, 1, 1))
    assert (scores.accuracy, scores.missing) == (0.0, 1)
    assert math.isnan(scores.mean_error_mm)
    assert math.isnan(evaluate_landmarks([], [], (1, 1)).accuracy)


def test_records_are_json_and_text() -> None:
    truth = [point("tip", (0, 0, 0)), point("base", (0, 9, 9), label=2)]
    scores = evaluate_landmarks([point("tip", (0, 3, 4))], truth, (1, 1))
    plain = json.loads(json.dumps(scores.as_dict(), allow_nan=False))
    assert plain["sd_error_mm"] is None
    assert plain["landmarks"][0]["error_px"] == 5
    text = scores.format_table()
    assert text.splitlines()[2].split() == ["2", "base", "-", "-", "missing"]
    assert "localisation accuracy 0.500" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spacing": (1,)}, "spacing must"),
        ({"axis": 1}, "axis must be 0 in 2D"),
        ({"radius_px": 0}, "radius_px must be above 0"),
        ({"pred": [point("a", (0, math.nan, 0))]}, "pred must have finite positions"),
    ],
)
def test_bad_input(change: dict[str, object], message: str) -> None:
    good: dict[str, object] = {"pred": [], "truth": [point("a", (0, 0, 0))], "spacing": (1, 1)}
    with pytest.raises(InputError, match=message):
        evaluate_landmarks(**{**good, **change})  # type: ignore[arg-type]
