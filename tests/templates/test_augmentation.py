"""Augmented copies of slices."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import IntensityConfig
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.templates.augmentation import Augmentation, AugmentedSlices
from napari_fewshot.types import Volume


def stack(count=3, shape=(40, 50)):
    """Slices whose grey value tells where a pixel lies."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    plane = 0.3 + 0.4 * (rows * shape[1] + columns) / rows.size
    data = np.stack([plane + 0.01 * k for k in range(count)]).astype(np.float32)
    config = IntensityConfig(mode="window", low=0, high=1)
    return SliceStack(Volume(data, (1.0, 1.0, 1.0)), 0, config)


def test_copies_are_slices_of_the_same_kind():
    varied = AugmentedSlices(stack(), [2, 0], Augmentation(4))
    assert len(varied) == 8
    assert varied.shape == (40, 50)
    planes = [varied.slice(k) for k in range(8)]
    for plane in planes:
        assert plane.shape == (1, 40, 50)
        assert plane.dtype == np.float32
        assert plane.min() >= 0
        assert plane.max() <= 1
    assert len({varied.digest(k) for k in range(8)}) == 8
    assert not any(np.array_equal(plane, stack().slice(2)) for plane in planes)


def test_what_becomes_of_a_slice_does_not_depend_on_the_others():
    one = AugmentedSlices(stack(), [2], Augmentation(3, flips=True))
    many = AugmentedSlices(stack(), [0, 2, 1], Augmentation(3, flips=True))
    assert [one.digest(k) for k in range(3)] == [many.digest(3 + k) for k in range(3)]
    np.testing.assert_array_equal(one.slice(1), many.slice(4))
    more = AugmentedSlices(stack(), [2], Augmentation(5, flips=True))
    assert [more.digest(k) for k in range(3)] == [one.digest(k) for k in range(3)]
    other = AugmentedSlices(stack(), [2], Augmentation(3, flips=True, seed=1))
    assert other.digest(0) != one.digest(0)


@pytest.mark.parametrize("flips", [False, True])
def test_labels_move_with_their_pixels(flips):
    """Labels painted by grey value lie on that grey value in every copy."""
    source = stack(1)
    labels = np.where(source.slice(0)[0] > 0.5, 7, 0).astype(np.int32)
    labels[:4] = -1
    varied = AugmentedSlices(source, [0], Augmentation(12, flips=flips))
    mirrored = 0
    for k in range(len(varied)):
        plane, moved = varied.slice(k)[0], varied.labels(labels, k)
        assert moved.dtype == labels.dtype
        assert set(np.unique(moved)) <= {-1, 0, 7}
        inside, outside = plane[moved == 7], plane[moved == 0]
        assert np.median(inside) > np.median(outside)
        mirrored += bool(
            np.median(np.nonzero(moved == 7)[0]) < np.median(np.nonzero(moved == 0)[0])
        )
    assert (mirrored > 0) is flips
