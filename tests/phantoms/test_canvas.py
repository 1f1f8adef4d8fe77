"""The crop of a canvas, and shapes on it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.phantoms.canvas import Canvas, ellipsoid, from_axes
from napari_fewshot.phantoms.patient import Grid, Pose


def test_a_crop_holds_all_of_its_box():
    grid = Grid.centred((40, 40, 40), (3.0, 3.0, 3.0), "LPS")
    for seed in range(5):
        pose = Pose.draw(np.random.default_rng(seed), degrees=5, scale=0.05, shift=5, bend=0.4)
        canvas = Canvas(grid, pose, 0.0, np.random.default_rng(0))
        low, high = np.array([-20, -5, 0]), np.array([5, 25, 30])
        inside = np.all(
            [
                (c >= a) & (c <= b)
                for c, a, b in zip(pose.coordinates(grid), low, high, strict=True)
            ],
            axis=0,
        )
        outside_of_crop = inside.copy()
        outside_of_crop[canvas.crop(low, high, margin=0).box] = False
        assert inside.any()
        assert not outside_of_crop.any()


def test_points_along_a_tilted_ellipsoid_lie_on_it():
    grid = Grid.centred((8, 8, 8), (1.0, 1.0, 1.0), "LPS")
    pose = Pose.draw(np.random.default_rng(0), degrees=0, scale=0, shift=0, bend=0)
    space = Canvas(grid, pose, 0.0, np.random.default_rng(0)).everything()
    tip = from_axes((1.0, 2.0, 3.0), (0.0, 0.0, 9.0), (25.0, -10.0, 40.0))
    space.r[0, 0, 0], space.a[0, 0, 0], space.s[0, 0, 0] = tip
    shape = ellipsoid(space, (1.0, 2.0, 3.0), (3.0, 5.0, 9.0), (25.0, -10.0, 40.0))
    assert shape[0, 0, 0] == pytest.approx(0, abs=1e-4)
