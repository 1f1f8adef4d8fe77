"""Pixels to cells and back, target embeddings and labels of cells, beside slow plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot.sam.cells import (
    CellLabels,
    TargetEmbeddings,
    cells_to_pixels,
    coverage,
    guided_attention,
    known_numbers,
    nearest_cells,
    refined,
    similarity,
)
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
    hidden = targets.without([0, 1])
    assert hidden.of_label(0).ravel().tolist() == [4.0]
    assert len(hidden.of_label(1)) == 0
    assert targets.present.tolist() == present.tolist()


def test_targets_are_shares_of_what_is_known():
    plane = painted((3, slice(0, 6), slice(0, 30)), (-1, slice(10, 20), slice(0, 30)))
    found = CellLabels.of(example(plane), [3, 7], (GRID, GRID), EXTENT)
    columns = [1] * 7 + [0.5]  # the slice is 30 wide: half of the last cell of four
    np.testing.assert_allclose(found.known[0, :2], [columns] * 2)
    np.testing.assert_allclose(found.known[0, 2], np.array(columns) / 2)  # rows 8, 9 are known
    assert not found.known[0, 3:].any()
    np.testing.assert_allclose(found.fractions[0, 0], 1)
    np.testing.assert_allclose(found.fractions[0, 1], 0.5)
    assert not found.fractions[0, 2:].any()
    assert not found.fractions[1].any()


@pytest.mark.parametrize("also_painted", [False, True])
def test_a_label_nobody_looked_for_is_absent_only_where_others_are(also_painted):
    regions = [(7, slice(12, 16), slice(8, 12))] if also_painted else []
    plane = painted((3, slice(0, 4), slice(0, 8)), *regions)
    found = CellLabels.of(example(plane, known=(3,)), [3, 7], (GRID, GRID), EXTENT)
    if also_painted:  # painted is looked for
        np.testing.assert_array_equal(found.known[1], found.known[0])
        assert found.fractions[1, 3, 2] == 1
    else:
        assert found.known[1].sum() == 2
        assert not found.fractions[1].any()


@pytest.mark.parametrize(
    ("regions", "known", "numbers"),
    [
        ([], (3,), [0]),
        ([], (), []),
        ([(7, slice(0, 4), slice(0, 8))], (), [0, 1]),  # 3 is not where 7 is
        ([(-1, slice(0, 20), slice(0, 30))], (3, 7), []),
        ([(-1, slice(0, 20), slice(0, 29))], (3,), [0]),
    ],
)
def test_labels_of_which_something_is_known(regions, known, numbers):
    one = example(painted(*regions), known)
    assert known_numbers(one, [3, 7]) == numbers
    cells = CellLabels.of(one, [3, 7], (GRID, GRID), EXTENT)
    assert np.flatnonzero(cells.known.any(axis=(1, 2))).tolist() == numbers


def plain_coverage(mask, cells, extent, fine=60):
    """Count fine points of every cell."""
    found = np.zeros(cells)
    for row in range(cells[0]):
        for column in range(cells[1]):
            y = (row + (np.arange(fine) + 0.5) / fine) * extent[0] / cells[0]
            x = (column + (np.arange(fine) + 0.5) / fine) * extent[1] / cells[1]
            inside = np.zeros((fine, fine))
            here, there = y < mask.shape[0], x < mask.shape[1]
            rows, columns = y[here].astype(int), x[there].astype(int)
            inside[np.ix_(here, there)] = mask[np.ix_(rows, columns)]
            found[row, column] = inside.mean()
    return found


@pytest.mark.parametrize(
    ("shape", "cells", "extent"),
    [
        ((12, 18), (4, 6), (12.0, 18.0)),  # three pixels a cell
        ((5, 7), (12, 12), (8.4, 8.4)),  # cells smaller than pixels, padding below and right
        ((23, 9), (6, 6), (23.0, 23.0)),
    ],
)
def test_coverage_is_the_share_of_the_area(shape, cells, extent):
    mask = np.random.default_rng(0).random(shape) < 0.4
    np.testing.assert_allclose(
        coverage(mask, cells, extent), plain_coverage(mask, cells, extent), atol=0.03
    )
    whole = coverage(mask, cells, extent).sum() * extent[0] * extent[1] / np.prod(cells)
    assert whole == pytest.approx(mask.sum(), rel=1e-5)


def test_a_single_pixel_of_a_large_slice_leaves_a_trace():
    mask = np.zeros((512, 512), bool)
    mask[200, 300] = True
    share = coverage(mask, (16, 16), (512.0, 512.0))
    assert share[6, 9] == pytest.approx(1 / 32**2)
    assert np.count_nonzero(share) == 1


@pytest.mark.parametrize(
    ("shape", "cells", "extent"), [((12, 18), (4, 6), (18.0, 18.0)), ((5, 7), (12, 12), (8.4, 8.4))]
)
def test_masks_are_downsampled_to_cells_with_them_at_their_centre(shape, cells, extent):
    mask = np.random.default_rng(0).random(shape) < 0.4
    found = nearest_cells(mask, cells, extent)
    assert found.shape == cells
    for row, column in np.ndindex(cells):
        y, x = (
            int((k + 0.5) * e / c) for k, e, c in zip((row, column), extent, cells, strict=True)
        )
        inside = y < shape[0] and x < shape[1]
        assert found[row, column] == (inside and mask[y, x])
    assert not nearest_cells(np.zeros(shape, bool), cells, extent).any()


def test_a_label_between_the_centres_keeps_the_cell_it_covers_most():
    labels = painted((3, slice(3, 9), slice(5, 20)), (7, slice(7, 9), slice(15, 16)))
    data = embedding()
    found = TargetEmbeddings.of([example(labels)], [data], [3, 7], nearest_cells)
    whole = data.data.astype(float)
    # Centres are pixels 2, 6, 10 ... of cells of 4 × 4: rows 6, columns 6, 10, 14, 18 are inside.
    np.testing.assert_allclose(found.vectors[0, 0], whole[:, 1, 1:5].mean(axis=1), rtol=1e-5)
    # Of the other label one pixel lies in each of two cells: the first of equals.
    np.testing.assert_allclose(found.vectors[0, 1], whole[:, 1, 3], rtol=1e-5)
    assert found.present.tolist() == [[True, True]]


def test_refining_is_bilinear_between_centres_of_cells():
    values = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    assert refined(values, 4) is values
    fine = refined(values, 16)
    # The same plane as straight from the coarse cells to pixels of that size.
    torch.testing.assert_close(fine, cells_to_pixels(values, (16, 16), (16.0, 16.0)))


def test_cells_of_padding_take_no_part():
    values = torch.zeros(1, 1, 8, 8)
    values[..., :4, :] = torch.arange(8.0)
    values[..., 5:, :] = 1000  # beyond the slice of 4 × 8 pixels, but for the next row
    found = cells_to_pixels(values, (4, 8), (8.0, 8.0))
    np.testing.assert_allclose(found[0, 0], np.tile(np.arange(8.0), (4, 1)), atol=1e-5)


@pytest.mark.parametrize(("shape", "side"), [((40, 64), 16), ((10, 6), 16)])
def test_pixels_are_the_bilinear_mean_of_cell_centres(shape, side):
    values = torch.rand(2, 3, side, side, dtype=torch.float64).float()
    extent = (max(shape) * 1.0, max(shape) * 1.0)
    found = cells_to_pixels(values, shape, extent).numpy()
    for row, column in [(0, 0), (shape[0] - 1, shape[1] - 1), (3, 5), (7, 2)]:
        y, x = (
            np.clip((p + 0.5) * side / e - 0.5, 0, side - 1)
            for p, e in zip((row, column), extent, strict=True)
        )
        top, left = int(y), int(x)
        bottom, right = min(top + 1, side - 1), min(left + 1, side - 1)
        dy, dx = y - top, x - left
        v = values.numpy()
        upper = v[..., top, left] * (1 - dx) + v[..., top, right] * dx
        lower = v[..., bottom, left] * (1 - dx) + v[..., bottom, right] * dx
        np.testing.assert_allclose(
            found[..., row, column], upper * (1 - dy) + lower * dy, atol=1e-4
        )


def test_similarity_is_the_cosine():
    targets = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    embedding = torch.randn(32, 8, 8, generator=torch.Generator().manual_seed(5))
    found = similarity(targets, embedding).numpy()
    for k, row, column in np.ndindex(2, 8, 8):
        one, two = targets[k].numpy(), embedding[:, row, column].numpy()
        cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
        assert found[k, row, column] == pytest.approx(cosine, abs=1e-5)


def test_attention_is_the_standardised_similarity_and_low_in_padding():
    cells = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(2))
    found = guided_attention(cells, (40, 56), (56.0, 56.0)).numpy().reshape(8, 8)
    seen = cells[0, :6].numpy()  # 40 of 56 rows
    for row, column in np.ndindex(8, 8):
        value = cells[0, row, column].item() if row < 6 else seen.min()
        expected = 1 / (1 + np.exp(-(value - seen.mean()) / seen.std()))
        assert found[row, column] == pytest.approx(expected, abs=1e-5)
