"""Points that are sure are filled, others hollow."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot._napari.session.landmark_look import fill_sure, point_size

pytest.importorskip("napari")


def test_points_below_one_half_are_hollow():
    from napari.layers import Points

    layer = Points(
        np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        features={"name": ["a", "b", "c"], "score": [0.9, 0.3, np.nan]},
        face_color="transparent",
    )
    fill_sure(layer)
    np.testing.assert_array_equal(layer.face_color[:, 3], [1, 0, 1])
    layer.data = np.zeros((0, 2))
    fill_sure(layer)
    assert len(layer.data) == 0
    without = Points(np.zeros((2, 2)), face_color="red")
    fill_sure(without)
    np.testing.assert_array_equal(without.face_color[0], [1, 0, 0, 1])


def test_points_are_larger_in_large_images():
    assert point_size((30, 200, 200)) == 3
    assert point_size((2800, 1100)) == 14
