"""Between the pixels of a slice and the cells of its embedding, which may reach into padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ..templates.known import KnownSlice
from ..types import Array, FeatureMap

if TYPE_CHECKING:
    import torch

__all__ = [
    "CellLabels",
    "TargetEmbeddings",
    "cells_to_pixels",
    "coverage",
    "guided_attention",
    "known_numbers",
    "nearest_cells",
    "refined",
    "similarity",
]


def coverage(mask: Array, cells: tuple[int, int], extent: tuple[float, float]) -> Array:
    """Fraction of each cell that a mask covers, by area: nothing is too small to leave a trace.

    ``mask``, (H, W), is boolean or weights of pixels; ``cells`` is (h, w) of the grid; ``extent``
    the pixels of the slice that it covers, as :class:`~napari_fewshot.types.FeatureMap` tells
    them. What lies beyond the slice is covered by nothing. Returns float32, shape (h, w).
    """
    rows, columns = (
        _overlaps(pixels, count, length)
        for pixels, count, length in zip(mask.shape, cells, extent, strict=True)
    )
    fractions: Array = rows @ mask.astype(np.float32) @ columns.T
    return fractions


def nearest_cells(mask: Array, cells: tuple[int, int], extent: tuple[float, float]) -> Array:
    """Downsample a mask, (H, W), to the cells that have it at their centre, (h, w), bool.

    A mask that lies at no centre keeps the cell of which it covers most, so that it is not lost.
    Arguments are those of :func:`coverage`.
    """
    rows, columns = (
        np.floor((np.arange(count) + 0.5) * length / count).astype(int)
        for count, length in zip(cells, extent, strict=True)
    )
    height, width = mask.shape
    found = np.zeros(cells, dtype=bool)
    inside = np.ix_(rows < height, columns < width)
    found[inside] = mask[np.ix_(rows[rows < height], columns[columns < width])]
    if mask.any() and not found.any():
        found.flat[coverage(mask, cells, extent).argmax()] = True
    return found


def _overlaps(pixels: int, cells: int, extent: float) -> Array:
    """Fraction of each cell that each pixel covers along one axis, shape (cells, pixels)."""
    edges = np.arange(cells + 1) * extent / cells
    start = np.maximum(edges[:-1, None], np.arange(pixels))
    stop = np.minimum(edges[1:, None], np.arange(pixels) + 1)
    fractions: Array = np.clip(stop - start, 0, None) * cells / extent
    return fractions.astype(np.float32)


def refined(values: torch.Tensor, side: int) -> torch.Tensor:
    """Bring values of cells, (B, M, h, h), to a grid of ``side`` cells a side, bilinear."""
    from torch.nn.functional import interpolate

    if values.shape[-1] == side:
        return values
    return interpolate(values, (side, side), mode="bilinear", align_corners=False)


def cells_to_pixels(
    values: torch.Tensor, shape: tuple[int, int], extent: tuple[float, float]
) -> torch.Tensor:
    """Bring values of cells, (B, M, h, w), to the pixels of a slice, (B, M, H, W), bilinear.

    Cells of padding are left out. In one step: the official code of SAM goes by way of the padded
    input of 1024², which costs a hundred times the memory for small slices.
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


def similarity(targets: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
    """Cosine similarity of the cells of a slice, (C, g, g), to targets, (L, C): (L, g, g)."""
    import torch
    from torch.nn.functional import normalize

    return torch.einsum("lc,chw->lhw", normalize(targets, dim=1), normalize(embedding, dim=0))


def guided_attention(
    cells: torch.Tensor, shape: tuple[int, int], extent: tuple[float, float]
) -> torch.Tensor:
    """Guidance of attention, (L, g * g): standardised similarity, (L, g, g), through a sigmoid.

    Mean and spread are those of the cells that see the slice; cells of padding count as the least
    similar of them.
    """
    height, width = (
        ceil(count * pixels / covered - 1e-6)
        for count, pixels, covered in zip(cells.shape[1:], shape, extent, strict=True)
    )
    seen = cells[:, :height, :width].flatten(1)
    mean = seen.mean(1)[:, None, None]
    spread = seen.std(1, correction=0).clamp(min=1e-6)[:, None, None]
    guidance = seen.amin(1)[:, None, None].expand_as(cells).clone()
    guidance[:, :height, :width] = cells[:, :height, :width]
    return ((guidance - mean) / spread).sigmoid().flatten(1)


@dataclass(frozen=True, eq=False)
class TargetEmbeddings:
    """What labels look like to SAM's image encoder: one vector for each known slice and label."""

    vectors: Array
    """Mean embedding inside the label, (N, L, C), float32; 0 where the slice lacks it."""
    present: Array
    """Whether the slice has the label, (N, L), bool."""

    @classmethod
    def of(
        cls,
        slices: Sequence[KnownSlice],
        maps: Sequence[FeatureMap],
        label_values: Sequence[int],
        weigh: Callable[[Array, tuple[int, int], tuple[float, float]], Array] = coverage,
    ) -> TargetEmbeddings:
        """Average the cells of each label (Xie et al. 2024, section 3.2.1, first formula).

        ``weigh`` brings the mask of a label to weights of cells: :func:`coverage` or
        :func:`nearest_cells`. With either, structures far smaller than a cell have a vector too.
        """
        channels = maps[0].channels if maps else 0
        vectors = np.zeros((len(slices), len(label_values), channels), np.float32)
        present = np.zeros(vectors.shape[:2], dtype=bool)
        for n, (known, features) in enumerate(zip(slices, maps, strict=True)):
            cells = (features.data.shape[1], features.data.shape[2])
            for c, value in enumerate(label_values):
                mask = known.labels == value
                if mask.any():
                    weights = weigh(mask, cells, features.extent).astype(np.float64)
                    total = np.tensordot(features.data.astype(np.float64), weights, 2)
                    vectors[n, c] = total / weights.sum()
                    present[n, c] = True
        return cls(vectors, present)

    def of_label(self, label: int) -> Array:
        """All vectors of the label of this number, shape (T, C)."""
        vectors: Array = self.vectors[self.present[:, label], label]
        return vectors

    def only(self, slices: Sequence[int]) -> TargetEmbeddings:
        """Return those of some of the slices."""
        return TargetEmbeddings(self.vectors[list(slices)], self.present[list(slices)])

    def joined(self, earlier: TargetEmbeddings, columns: Sequence[int]) -> TargetEmbeddings:
        """Return them with others behind them, whose labels have these numbers here."""
        count = len(earlier.vectors)
        vectors = np.zeros((count, *self.vectors.shape[1:]), np.float32)
        present = np.zeros(vectors.shape[:2], dtype=bool)
        vectors[:, columns], present[:, columns] = earlier.vectors, earlier.present
        return TargetEmbeddings(
            np.concatenate([self.vectors, vectors]), np.concatenate([self.present, present])
        )

    def without(self, slices: Sequence[int]) -> TargetEmbeddings:
        """Return them as if some of the slices had no label."""
        present = self.present.copy()
        present[list(slices)] = False
        return TargetEmbeddings(self.vectors, present)


def known_numbers(known: KnownSlice, label_values: Sequence[int]) -> list[int]:
    """Numbers of the labels of which something is known in a slice."""
    here = set(np.unique(known.labels).tolist())
    return [
        number
        for number, value in enumerate(label_values)
        if max(here) > 0 or (value in known.known_labels and 0 in here)
    ]


@dataclass(frozen=True, eq=False)
class CellLabels:
    """Labels of a known slice on a grid of cells, by area: what the decoder should find."""

    fractions: Array
    """Fraction of each label in what is known of a cell, (L, h, w), float32."""
    known: Array
    """Fraction of each cell of which is known whether it has the label, of the same shape."""

    @classmethod
    def of(
        cls,
        known: KnownSlice,
        label_values: Sequence[int],
        cells: tuple[int, int],
        extent: tuple[float, float],
    ) -> CellLabels:
        """Bring L labels of a slice to a grid of cells.

        Padding and pixels of which nothing is known do not count. Of a label that nobody looked
        for it is only known that it is not where other labels were painted.
        """
        everywhere = coverage(known.labels >= 0, cells, extent)
        painted = coverage(known.labels > 0, cells, extent)
        here = set(np.unique(known.labels).tolist())
        fractions = np.zeros((len(label_values), *cells), np.float32)
        weights = np.zeros_like(fractions)
        for number, value in enumerate(label_values):
            looked_for = value in known.known_labels or value in here
            weights[number] = everywhere if looked_for else painted
            if value in here:
                covered = coverage(known.labels == value, cells, extent)
                fractions[number] = np.clip(covered / np.maximum(weights[number], 1e-6), 0, 1)
        return cls(fractions, weights)
