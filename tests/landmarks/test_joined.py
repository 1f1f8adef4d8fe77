"""Landmarks of two models are those of one."""

from __future__ import annotations

import numpy as np

from napari_fewshot.landmarks.known import KnownImage, KnownLandmarks


def known(labels, value, extent=(10.0, 20.0)):
    count = len(labels)
    image = KnownImage(
        np.full((count, 2), value, np.float32),
        extent,
        (1.0, 1.0),
        np.full((count, 3), value, np.float32),
        None,
        np.full((count, 5, 5), value, np.float32),
    )
    return KnownLandmarks(tuple(labels), (image,), np.full((2, 3), value, np.float32))


def test_each_image_has_its_own_and_lacks_the_others():
    both = known([2, 4], 1).joined(known([2, 3], 7))
    assert both.labels == (2, 3, 4)
    new, old = both.images
    np.testing.assert_array_equal(new.places[:, 0], [1, np.nan, 1])
    np.testing.assert_array_equal(old.places[:, 0], [7, 7, np.nan])
    assert new.descriptors[:, 0].tolist() == [1, 0, 1]
    assert old.patches[:, 0, 0].tolist() == [7, 7, 0]
    assert both.trials[:, 0].tolist() == [1, 1, 7, 7]


def test_others_are_left():
    new = known([1], 1)
    assert new.joined(None) is new
    assert new.joined(known([1], 2, (1.0, 2.0, 3.0))) is new
