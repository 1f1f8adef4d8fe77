"""Landmarks as a table."""

from __future__ import annotations

import numpy as np

from napari_fewshot import Landmark, Volume
from napari_fewshot.predict.sink import Prediction

POINTS = (Landmark("apex", 1, (1.0, 2.0, 3.0), 0.5), Landmark("base", 2, (0.0, 0.5, 4.0)))


def prediction(points: tuple[Landmark, ...]) -> Prediction:
    return Prediction(np.zeros((2, 3, 5), np.uint8), np.ones((2, 3, 5), np.float32), points, {})


def test_columns():
    table = prediction(POINTS).landmark_table()
    assert list(table) == ["name", "label", "z", "y", "x", "score"]
    assert table.loc[0].to_list() == ["apex", 1, 1.0, 2.0, 3.0, 0.5]
    assert np.isnan(table.loc[1, "score"])


def test_places_in_the_patient():
    affine = np.array([[0, 0, 2.0, 10], [0, 3, 0, 20], [4, 0, 0, 30], [0, 0, 0, 1]])
    image = Volume(np.zeros((2, 3, 5)), (4.0, 3.0, 2.0), affine)
    table = prediction(POINTS).landmark_table(image)
    assert table.loc[0, ["R", "A", "S"]].to_list() == [16.0, 26.0, 34.0]
    assert "R" not in prediction(POINTS).landmark_table(Volume.of(np.zeros((2, 3))))


def test_none_found():
    table = prediction(()).landmark_table()
    assert len(table) == 0
    assert list(table) == ["name", "label", "z", "y", "x", "score"]
