"""The pose of a patient and its inverse; storage orders."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.phantoms.patient import Grid, Pose, orientation


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


def test_axes_of_the_array_are_named_from_the_last_letter_on():
    assert orientation("LPS").tolist() == [[2, 1], [1, -1], [0, -1]]
    assert orientation("pil").tolist() == [[0, -1], [2, -1], [1, -1]]
