"""Between the pixels of a slice and grids of cells that may reach into padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..types import Array

if TYPE_CHECKING:
    import torch

__all__ = ["cells_to_pixels", "coverage"]


def coverage(mask: Array, cells: tuple[int, int], extent: tuple[float, float]) -> Array:
    """Share of each cell that a mask covers, by area: nothing is too small to leave a trace.

    Parameters
    ----------
    mask : array, shape (H, W)
        Boolean, or weights of pixels.
    cells : tuple of int
        (h, w) of the grid.
    extent : tuple of float
        Pixels of the slice that the grid covers, as :class:`~napari_fewshot.types.FeatureMap`
        tells them; what lies beyond the slice is covered by nothing.

    Returns
    -------
    array, shape (h, w), float32
        In 0..1 for a boolean mask.
    """
    rows, columns = (
        _overlaps(pixels, count, length)
        for pixels, count, length in zip(mask.shape, cells, extent, strict=True)
    )
    shares: Array = rows @ mask.astype(np.float32) @ columns.T
    return shares


def _overlaps(pixels: int, cells: int, extent: float) -> Array:
    """Share of each cell that each pixel covers along one axis, shape (cells, pixels)."""
    edges = np.arange(cells + 1) * extent / cells
    start = np.maximum(edges[:-1, None], np.arange(pixels))
    stop = np.minimum(edges[1:, None], np.arange(pixels) + 1)
    shares: Array = np.clip(stop - start, 0, None) * cells / extent
    return shares.astype(np.float32)


def cells_to_pixels(
    values: torch.Tensor, shape: tuple[int, int], extent: tuple[float, float]
) -> torch.Tensor:
    """Bring values of cells to the pixels of a slice, bilinear; cells of padding are left out.

    In one step: the official code of SAM goes by way of the padded input of 1024², which costs a
    hundred times the memory for small slices.

    Parameters
    ----------
    values : tensor, shape (B, M, h, w)
        One value for each cell.
    shape : tuple of int
        (H, W) of the slice.
    extent : tuple of float
        Pixels of the slice that the cells cover.

    Returns
    -------
    tensor, shape (B, M, H, W)
    """
    import torch
    from torch.nn.functional import grid_sample

    axes = [
        2 * (torch.arange(pixels, device=values.device) + 0.5) / length - 1
        for pixels, length in zip(shape, extent, strict=True)
    ]
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([columns, rows], dim=-1)[None].expand(len(values), -1, -1, -1)
    return grid_sample(values, grid, align_corners=False, padding_mode="border")
