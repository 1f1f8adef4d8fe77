"""Layers lie where the voxels lie in the patient."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot._napari.layers import image_layer, labels_layer, landmarks_layer
from napari_fewshot.types import Landmark, Volume

# k grows to the left (1.5 mm), j to the front (0.5 mm), i downwards (2 mm).
AFFINE = np.array([[-1.5, 0, 0, 40], [0, 0.5, 0, -7], [0, 0, -2, 90], [0, 0, 0, 1]], dtype=float)
SHAPE = (3, 4, 5)


@pytest.fixture
def volume() -> Volume:
    data = np.arange(60, dtype=np.int16).reshape(SHAPE)
    return Volume(data, (1.5, 0.5, 2.0), AFFINE, names={7: "tibia"})


def world(options: dict, index: tuple[int, ...]) -> np.ndarray:
    return np.asarray(options["translate"]) + np.asarray(options["scale"]) * index


def test_every_voxel_is_shown_at_its_place_in_the_patient(volume):
    data, options, kind = image_layer(volume, "knee")
    assert kind == "image"
    assert data.shape == (5, 4, 3)
    for index in np.ndindex(*data.shape):
        file_index = np.argwhere(volume.data == data[index])[0]
        patient = AFFINE @ [*file_index, 1]
        np.testing.assert_allclose(world(options, index), patient[2::-1])


def test_layers_of_one_volume_agree_in_all_that_napari_compares(volume):
    layers = [
        image_layer(volume, "a"),
        labels_layer(volume, "b"),
        landmarks_layer([Landmark("p", 7, (0, 1, 2))], volume, "c"),
    ]
    for key in ("scale", "translate", "units", "axis_labels"):
        assert len({layer[1][key] for layer in layers}) == 1, key
    assert layers[0][1]["units"] == ("mm", "mm", "mm")


def test_labels_can_be_painted_without_changing_the_volume(volume):
    before = volume.data.copy()
    data, options, _ = labels_layer(volume, "labels")
    data[...] = 1
    np.testing.assert_array_equal(volume.data, before)
    assert options["features"] == {"index": [0, 7], "name": ["background", "tibia"]}


def test_landmarks_lie_on_their_voxel(volume):
    points, options, _ = landmarks_layer([Landmark("p", 7, (2, 3, 1))], volume, "c")
    patient = AFFINE @ [2, 3, 1, 1]
    np.testing.assert_allclose(world(options, points[0]), patient[2::-1])
    assert options["features"]["name"] == ["p"]


def test_no_landmarks_make_an_empty_layer(volume):
    points, _, _ = landmarks_layer([], volume, "c")
    assert points.shape == (0, 3)


def test_a_picture_without_orientation_starts_at_the_origin():
    picture = Volume(np.zeros((4, 6, 3), np.uint8), (0.5, 0.5), has_channels=True)
    data, options, _ = image_layer(picture, "cells")
    assert data.shape == (4, 6, 3)
    assert options["rgb"] is True
    assert options["translate"] == (0, 0)
    assert options["axis_labels"] == ("Y", "X")
    points, _, _ = landmarks_layer([Landmark("p", 1, (0, 2, 3))], picture, "c")
    np.testing.assert_array_equal(points, [[2, 3]])
