"""Pixels to cells by area, and cells to pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot.slices.cells import cells_to_pixels, coverage


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
