"""Target embeddings and targets, beside slow plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.sam.target_embeddings import TargetEmbeddings, targets_of
from napari_fewshot.slices.stack import SlicePosition
from napari_fewshot.templates.known import KnownSlice
from napari_fewshot.types import FeatureMap

SHAPE = (20, 30)
EXTENT = (32.0, 32.0)  # padded to a square, and a bit more
GRID = 8


def example(labels, known=(3, 7, 9), index=0):
    return KnownSlice(
        np.asarray(labels, np.int32), SlicePosition(index, (9, *SHAPE), 0), frozenset(known), 0
    )


def embedding(seed=0):
    data = np.random.default_rng(seed).normal(size=(5, GRID, GRID)).astype(np.float16)
    return FeatureMap(data, SHAPE, EXTENT)


def painted(*regions):
    plane = np.zeros(SHAPE, np.int32)
    for value, rows, columns in regions:
        plane[rows, columns] = value
    return plane


def plain_mean(labels, value, data):
    """Every pixel weighs its cell by the part of it that lies there: here cells are 4 × 4."""
    total, weight = np.zeros(len(data)), 0.0
    for row, column in zip(*np.nonzero(labels == value), strict=True):
        total += data[:, row * GRID // 32, column * GRID // 32]
        weight += 1
    return total / weight


def test_mean_inside_the_label_by_coverage():
    labels = [
        painted((3, slice(2, 11), slice(3, 17)), (7, slice(15, 16), slice(22, 23))),
        painted((7, slice(5, 20), slice(0, 30))),
    ]
    maps = [embedding(0), embedding(1)]
    found = TargetEmbeddings.of([example(plane) for plane in labels], maps, [3, 7, 9])
    assert found.vectors.shape == (2, 3, 5)
    assert found.vectors.dtype == np.float32
    assert found.present.tolist() == [[True, True, False], [False, True, False]]
    for n, c, value in [(0, 0, 3), (0, 1, 7), (1, 1, 7)]:
        expected = plain_mean(labels[n], value, maps[n].data.astype(float))
        np.testing.assert_allclose(found.vectors[n, c], expected, rtol=1e-5)
    # One pixel is far smaller than a cell of 4 × 4 and still has the vector of that cell.
    np.testing.assert_allclose(found.vectors[0, 1], maps[0].data[:, 3, 5], rtol=1e-5)
    assert not found.vectors[~found.present].any()
    assert len(found.of_label(2)) == 0
    np.testing.assert_array_equal(found.of_label(1), found.vectors[:, 1])


def test_slices_that_are_hidden_have_no_label():
    present = np.array([[True, True], [True, False], [True, False], [False, False]])
    vectors = np.arange(8, dtype=np.float32).reshape(4, 2, 1) * present[..., None]
    targets = TargetEmbeddings(vectors, present)
    hidden = targets.hiding([0, 1])
    assert hidden.of_label(0).ravel().tolist() == [4.0]
    assert len(hidden.of_label(1)) == 0
    assert targets.present.tolist() == present.tolist()


def test_targets_are_shares_of_what_is_known():
    plane = painted((3, slice(0, 6), slice(0, 30)), (-1, slice(10, 20), slice(0, 30)))
    found = targets_of(example(plane), [3, 7], (GRID, GRID), EXTENT)
    assert found.labels == (0, 1)
    columns = [1] * 7 + [0.5]  # the slice is 30 wide: half of the last cell of four
    np.testing.assert_allclose(found.known[0, :2], [columns] * 2)
    np.testing.assert_allclose(found.known[0, 2], np.array(columns) / 2)  # rows 8, 9 are known
    assert not found.known[0, 3:].any()
    np.testing.assert_allclose(found.shares[0, 0], 1)
    np.testing.assert_allclose(found.shares[0, 1], 0.5)
    assert not found.shares[0, 2:].any()
    assert not found.shares[1].any()


@pytest.mark.parametrize("also_painted", [False, True])
def test_a_label_nobody_looked_for_is_absent_only_where_others_are(also_painted):
    regions = [(7, slice(12, 16), slice(8, 12))] if also_painted else []
    plane = painted((3, slice(0, 4), slice(0, 8)), *regions)
    found = targets_of(example(plane, known=(3,)), [3, 7], (GRID, GRID), EXTENT)
    assert found.labels == (0, 1)
    if also_painted:  # painted is looked for
        np.testing.assert_array_equal(found.known[1], found.known[0])
        assert found.shares[1, 3, 2] == 1
    else:
        assert found.known[1].sum() == 2
        assert not found.shares[1].any()


def test_labels_of_which_nothing_is_known_are_left_out():
    found = targets_of(example(painted(), known=(3,)), [3, 7], (GRID, GRID), EXTENT)
    assert found.labels == (0,)
    found = targets_of(example(painted(), known=()), [3, 7], (GRID, GRID), EXTENT)
    assert found.labels == ()
    assert found.shares.shape == (0, GRID, GRID)
