"""Confidence of labels that came without one."""

from __future__ import annotations

import numpy as np

from napari_fewshot.predict.refine import distance_confidence


def test_it_grows_with_the_distance_from_the_border():
    labels = np.zeros((3, 16), np.uint16)
    labels[:, 8:] = 700
    row = distance_confidence(labels, radius=4)[1]
    np.testing.assert_allclose(row[8:], [0.5, 0.625, 0.75, 0.875, 1, 1, 1, 1])
    np.testing.assert_allclose(row[:8], row[:7:-1])


def test_thin_regions_are_sure_in_their_middle():
    labels = np.zeros((9, 12), np.int32)
    labels[4, 2:10] = 5  # one pixel wide
    labels[0:3, 0:12] = -2  # three wide, at the edge of the image
    found = distance_confidence(labels)
    assert (found[labels == 5] == 1).all()
    assert found[0, 5] == 1
    assert found[2, 5] == 0.5


def test_touching_labels_have_a_border():
    labels = np.ones((4, 12), np.uint8)
    labels[:, 6:] = 2
    assert distance_confidence(labels)[1, 5] == 0.5


def test_one_region_is_sure():
    assert (distance_confidence(np.full((4, 5), 7, np.uint8)) == 1).all()
