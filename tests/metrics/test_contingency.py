from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.metrics.contingency import (
    compact_labels,
    match_instances,
    present_labels,
)


def plainly(instances, truth, share=0.5):
    result = np.zeros(instances.shape, np.int32)
    for number in set(instances.ravel()) - {0}:
        inside = instances == number
        for value in set(truth.ravel()) - {0}:
            if (truth[inside] == value).sum() > share * inside.sum():
                result[inside] = value
    return result


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_instances_get_the_label_that_most_of_them_has(share):
    rng = np.random.default_rng(0)
    truth = np.repeat(np.repeat(rng.integers(0, 4, (3, 4, 5)), 4, axis=1), 4, axis=2)
    instances = np.repeat(np.repeat(rng.integers(0, 100, (3, 8, 10)) * 7, 2, axis=1), 2, axis=2)
    expected = plainly(instances, truth, share)
    assert (expected > 0).any()
    np.testing.assert_array_equal(match_instances(instances, truth, share), expected)


def test_half_is_not_more_than_half():
    truth = np.array([[1, 1, 0, 0], [1, 1, 1, 0]])
    instances = np.array([[2, 2, 2, 2], [3, 3, 3, 3]])
    np.testing.assert_array_equal(match_instances(instances, truth), [[0] * 4, [1] * 4])


def test_arrays_that_do_not_fit_are_refused():
    flat = np.zeros((2, 3), int)
    with pytest.raises(InputError, match=r"have the shape \(2, 3\)"):
        match_instances(np.zeros((3, 2), int), flat)
    with pytest.raises(InputError, match="be integers"):
        match_instances(flat, flat + 0.5)
    with pytest.raises(InputError, match="be at least 0;"):
        match_instances(flat - 1, flat)
    with pytest.raises(InputError, match="share"):
        match_instances(flat, flat, 0.4)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "<i8"])
def test_labels_are_compacted_whatever_their_type(dtype: str) -> None:
    labels = np.array([[0, 7, 3], [200, 3, 9]])
    given = labels.astype(dtype)
    given.setflags(write=False)  # as those of mapped files
    values = np.array([3, 9, 100, 200, 70_000, 2**40])
    np.testing.assert_array_equal(present_labels(given), np.setdiff1d(labels, [0]))
    found = compact_labels(given, values)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [[0, 0, 1], [4, 1, 2]])


def test_nothing_is_matched_in_nothing() -> None:
    nothing = np.zeros((0, 3), np.uint8)
    assert match_instances(nothing, nothing).shape == (0, 3)


def test_labels_that_are_read_block_by_block() -> None:
    import dask.array as da

    labels = np.zeros((4, 6, 6), np.int32)
    labels[1, 2], labels[3, 5, 5] = 7, 200_000
    lazy = da.from_array(labels, chunks=(2, 3, 6))
    np.testing.assert_array_equal(present_labels(lazy), [7, 200_000])
