"""The pose and its inverse; the crop of a canvas."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.phantoms.canvas import Canvas, ellipsoid, from_axes
from napari_fewshot.phantoms.patient import Grid, Pose


@pytest.mark.parametrize("seed", range(4))
def test_pose_and_its_inverse_agree_to_a_micrometre(seed):
    rng = np.random.default_rng(seed)
    pose = Pose.draw(rng, degrees=5, scale=0.05, shift=5, bend=0.4)
    model = rng.uniform(-120, 120, (50, 3))
    world = pose.to_world(model)
    wave = np.sin(world @ pose.waves.T + pose.phases) @ pose.amplitudes
    again = (world - pose.shift) @ pose.matrix.T + wave
    np.testing.assert_allclose(again, model, atol=1e-3)


def test_voxels_know_their_model_position():
    grid = Grid.centred((9, 10, 11), (4.0, 3.0, 2.0), "PIL")
    pose = Pose.draw(np.random.default_rng(3), degrees=5, scale=0.05, shift=5, bend=0.4)
    coordinates = np.stack(pose.coordinates(grid), axis=-1)
    model = coordinates[6, 2, 7].astype(float)
    np.testing.assert_allclose(grid.to_index(pose.to_world(model)), (6, 2, 7), atol=1e-3)


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
