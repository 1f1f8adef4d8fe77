"""How a slice is laid out for a backbone: enlarged, padded, cut into tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..backbones.base import BackboneSpec
from ..config import ExtractionConfig
from ..slices.tiles import tile_starts

__all__ = ["Layout", "plan_layout"]

UNTILED_PIXELS = 4096**2
UNTILED_SIDE = 4096


@dataclass(frozen=True)
class Layout:
    """The way of one slice into the network and of its features back.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the slice in pixels.
    resized : tuple of int
        Size after enlarging or shrinking.
    padded : tuple of int
        Size after padding at the lower and right edge.
    tile : tuple of int
        Size of every input of the network; equal to ``padded`` where there is one tile.
    origins : tuple of (int, int)
        Upper left corners of the tiles in pixels of the padded slice, multiples of ``stride``.
    stride : int
        Input pixels for each cell.
    whole : bool
        Whether cells of padding alone are kept: SAM's mask decoder wants them.
    """

    shape: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]
    tile: tuple[int, int]
    origins: tuple[tuple[int, int], ...]
    stride: int
    whole: bool = False

    @property
    def grid(self) -> tuple[int, int]:
        """Cells (h, w) that see any of the slice; all cells where they are kept."""
        sides = self.padded if self.whole else self.resized
        height, width = (-(-side // self.stride) for side in sides)
        return height, width

    @property
    def extent(self) -> tuple[float, float]:
        """Pixels of the slice that the grid covers, as a feature map tells them."""
        height, width = (
            n * cells * self.stride / side
            for n, cells, side in zip(self.shape, self.grid, self.resized, strict=True)
        )
        return height, width


def plan_layout(shape: tuple[int, int], spec: BackboneSpec, config: ExtractionConfig) -> Layout:
    """Lay out slices of ``shape`` for a backbone.

    ``grid``: the slice is enlarged, never shrunk, until its shorter side has
    ``config.min_tokens`` cells. Both sides grow alike until the longer one fills a tile; in a
    slice so narrow that this is not enough, the shorter side then grows alone, because thick
    slices seen from the side are narrow in voxels rather than in mm, and dozens of tiles of
    almost nothing help nobody. Sides above ``config.max_side`` are cut into tiles. A pixel grid
    (``none``) is cut at the size that the spec names, else only where a slice has more than
    4096² pixels.
    """
    prep = spec.preprocessing
    unit = math.lcm(prep.multiple, spec.stride)
    if prep.resize in ("longest", "square"):
        return _fixed(shape, spec, unit)
    if prep.resize == "grid":
        limit = max(min(config.max_side, prep.size or config.max_side) // unit, 1) * unit
        least = config.min_tokens * spec.stride if spec.stride > 1 else 1
        resized = _enlarged(shape, least, limit)
    else:
        resized = shape
        limit = (prep.size or UNTILED_SIDE) // unit * unit
        if prep.size is None and shape[0] * shape[1] <= UNTILED_PIXELS:
            limit = _round_up(max(shape), unit)
    padded = _round_up(resized[0], unit), _round_up(resized[1], unit)
    tile = min(padded[0], limit), min(padded[1], limit)
    rows, columns = (
        tile_starts(side, part, config.overlap, unit)
        for side, part in zip(padded, tile, strict=True)
    )
    origins = tuple((row, column) for row in rows for column in columns)
    return Layout(shape, resized, padded, tile, origins, spec.stride)


def _fixed(shape: tuple[int, int], spec: BackboneSpec, unit: int) -> Layout:
    """Layouts of networks of one input size."""
    prep = spec.preprocessing
    if prep.size is None or prep.size % unit:
        raise ValueError(f"backbone {spec.name}: size must be a multiple of {unit}")
    square = (prep.size, prep.size)
    resized = square
    if prep.resize == "longest":
        scale = prep.size / max(shape)
        resized = (max(1, int(shape[0] * scale + 0.5)), max(1, int(shape[1] * scale + 0.5)))
    return Layout(shape, resized, square, square, ((0, 0),), spec.stride, whole=True)


def _enlarged(shape: tuple[int, int], least: int, limit: int) -> tuple[int, int]:
    """Size at which no side is below ``least``; see :func:`plan_layout`."""
    if min(shape) >= least:
        return shape
    scale = min(least / min(shape), max(1.0, max(limit, least) / max(shape)))
    return max(least, round(shape[0] * scale)), max(least, round(shape[1] * scale))


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
