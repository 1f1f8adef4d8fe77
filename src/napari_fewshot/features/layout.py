"""From a slice to inputs of a network, and back: enlarged, padded, cut into tiles, stitched."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import release
from ..backbones.base import BackboneSpec, Preprocessing
from ..config import ExtractionConfig
from ..errors import InputError
from ..scratch import scratch_array
from ..slices.stack import Window
from ..types import Array

if TYPE_CHECKING:
    import torch

__all__ = [
    "FLAT",
    "Layout",
    "blend_weights",
    "blended",
    "input_groups",
    "plan_layout",
    "prepare",
    "tile_starts",
]

UNTILED_PIXELS = 4096**2
UNTILED_SIDE = 4096
_NEXT_TO_NONE = 1e-5


@dataclass(frozen=True)
class Layout:
    """The way of one slice into the network and of its features back.

    The slice of ``shape`` (H, W) is enlarged or shrunk to ``resized``, and padded at the lower and
    right edge to ``padded``. Inputs of the network have the size ``tile``; ``origins`` are the
    upper left corners of the tiles in the padded slice, multiples of ``stride``, the input pixels
    for each cell. ``whole`` keeps cells of padding alone: SAM's mask decoder wants them. ``halo``
    cells at the sides of a tile do not count where another one has them.
    """

    shape: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]
    tile: tuple[int, int]
    origins: tuple[tuple[int, int], ...]
    stride: int
    whole: bool = False
    halo: int = 0

    @property
    def grid(self) -> tuple[int, int]:
        """Cells (h, w) that see any of the slice; all cells where they are kept."""
        sides = self.padded if self.whole else self.resized
        height, width = (-(-side // self.stride) for side in sides)
        return height, width

    @property
    def starts(self) -> tuple[list[int], list[int]]:
        """First rows and first columns of the tiles, in cells."""
        rows, columns = (
            sorted({origin[axis] // self.stride for origin in self.origins}) for axis in (0, 1)
        )
        return rows, columns

    @property
    def is_cut(self) -> bool:
        """Whether tiles are parts of the slice as it is."""
        return len(self.origins) > 1 and self.resized == self.shape

    @property
    def is_dense_cut(self) -> bool:
        """Whether tiles have a cell for each pixel of their part of the slice."""
        return self.is_cut and self.grid == self.shape

    def touching(self, window: Window | None) -> tuple[range, range]:
        """Rows and columns of tiles that see any of a window, in cells; None: all."""
        chosen = []
        for axis, starts in enumerate(self.starts):
            side = slice(None) if window is None else window[axis]
            first, stop, _ = side.indices(self.grid[axis])
            length = self.tile[axis] // self.stride
            seen = [n for n, at in enumerate(starts) if at < stop and at + length > first]
            chosen.append(range(seen[0], seen[-1] + 1))
        return chosen[0], chosen[1]

    def numbers(self, window: Window | None) -> list[int]:
        """Number in ``origins`` of each of these tiles, in their order."""
        rows, columns = self.touching(window)
        return [row * len(self.starts[1]) + column for row in rows for column in columns]

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

    A token ``grid`` is enlarged (:func:`_enlarged`), and sides above ``config.max_side`` are cut
    into tiles. A pixel grid (``none``) is cut at the size of the spec, else above 4096² pixels.
    """
    prep = spec.preprocessing
    unit = math.lcm(prep.multiple, spec.stride)
    if prep.is_fixed:
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
    shared = 2 * spec.halo + 1  # what tiles need to join without a trace
    if spec.halo:
        tile = _fitting(padded[0], limit, shared), _fitting(padded[1], limit, shared)
    else:
        tile = min(padded[0], limit), min(padded[1], limit)
    rows, columns = (
        tile_starts(side, part, (shared - 0.5) / part if spec.halo else config.overlap, unit)
        for side, part in zip(padded, tile, strict=True)
    )
    origins = tuple((row, column) for row in rows for column in columns)
    return Layout(shape, resized, padded, tile, origins, spec.stride, halo=spec.halo)


def _fitting(side: int, limit: int, shared: int) -> int:
    """Side of the smallest tiles that cover a side, no more of them than of the largest ones."""
    if side <= limit:
        return side
    count = -(-(side - shared) // (limit - shared))
    return -(-(side + (count - 1) * shared) // count)


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
    """Size at which no side is below ``least``: both grow alike until the longer fills a tile.

    Then the shorter one grows alone: thick slices seen from the side are narrow in voxels, not in
    mm, and dozens of tiles of almost nothing help nobody.
    """
    if min(shape) >= least:
        return shape
    scale = min(least / min(shape), max(1.0, max(limit, least) / max(shape)))
    return max(least, round(shape[0] * scale)), max(least, round(shape[1] * scale))


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def tile_starts(length: int, tile: int, overlap: float, unit: int) -> tuple[int, ...]:
    """Origins of the tiles that cover a side of ``length`` pixels, spread evenly from 0 to the end.

    Neighbours share at least the fraction ``overlap`` of a tile. All is in multiples of ``unit``
    (a cell), so that the cells of neighbours coincide, and stitching interpolates nothing.
    """
    span = (length - tile) // unit
    if span <= 0:
        return (0,)
    step = max(1, int(tile * (1 - overlap)) // unit)
    count = -(-span // step) + 1
    return tuple(round(i * span / (count - 1)) * unit for i in range(count))


def blend_weights(cells: int, halo: int = 0) -> Array:
    """Weight of each cell along one side of a tile, (cells,), float32: rises from both ends.

    Divided by their sum over the tiles, weights fade one tile into the next linearly. Cells of the
    halo have next to none: they count where no other tile has them, at the edges of the slice.
    """
    index = np.arange(cells, dtype=np.float32) + 0.5
    weights: Array = np.maximum(np.minimum(index, cells - index) - halo, _NEXT_TO_NONE)
    return weights


def blended(
    tiles: Iterable[Array], layout: Layout, window: Window | None = None
) -> Iterator[tuple[int, int, Array]]:
    """Blend tiles into parts that cover the grid; the whole is never in memory.

    A part is given as soon as no later tile overlaps it. What the next tile of the row and the next
    row share with a tile is kept until then.

    Parameters
    ----------
    tiles : iterable of float32 arrays, shape (C, h, w)
        Features of the tiles of a slice, in the order of ``layout.origins``; they are used up.
    layout : Layout
        How they cover the slice.
    window : Window, optional
        Cells that are wanted: tiles are then those that see any of them, and of parts only what
        lies in the window is as it should be.

    Yields
    ------
    row, column : int
        Upper left cell of the part.
    data : float32 array, shape (C, h', w')
    """
    rows, columns = layout.starts
    tiles = iter(tiles)
    if len(rows) == len(columns) == 1:
        yield 0, 0, next(tiles)[:, : layout.grid[0], : layout.grid[1]]
        return
    height, width = (side // layout.stride for side in layout.tile)
    halo = layout.halo
    weight = np.outer(blend_weights(height, halo), blend_weights(width, halo))
    below = np.zeros((0, 0, 0), np.float32)  # sums that the next row of tiles adds to
    kept = 0  # rows of it
    bottoms, rights = [*rows[1:], layout.grid[0]], [*columns[1:], layout.grid[1]]
    chosen = layout.touching(window)
    for row in chosen[0]:
        top, bottom = rows[row], bottoms[row]
        wide = np.zeros((0, 0, 0), np.float32)  # sums of the tile before
        shared = 0  # columns of it that the next one adds to
        for column in chosen[1]:
            left, right = columns[column], rights[column]
            tile = next(tiles)
            sums = np.zeros((len(tile) + 1, height, width), np.float32)  # weights are the last
            if kept:
                inside = below[:, :kept, left + shared : left + width]
                sums[:, :kept, shared : shared + inside.shape[2]] = inside
            if shared:
                sums[:, :, :shared] = wide[:, :, width - shared :]
            sums[:-1] += np.multiply(tile, weight, out=tile)
            sums[-1] += weight
            done = sums[:, : bottom - top, : right - left]
            yield top, left, done[:-1] / done[-1]
            if row + 1 < chosen[0].stop:
                if not below.size:
                    deepest = height - min(b - a for a, b in pairwise(rows))
                    below = scratch_array((len(sums), deepest, layout.grid[1]), np.float32)
                # Nobody needs these columns of the row before any more.
                rest = sums[:, bottom - top :, : right - left]
                below[:, : rest.shape[1], left : left + rest.shape[2]] = rest
                release(below)
            wide, shared = sums, left + width - right
        kept = height - (bottom - top)


FLAT = 1e-6
"""A slice in 0..1 whose values differ by less is constant: the rest is rounding of float32."""


def input_groups(channels: int, prep: Preprocessing) -> int:
    """Count the inputs that a slice of ``channels`` channels makes; their features are joined."""
    return 1 if prep.channels is None or channels in (1, prep.channels) else channels


def prepare(image: Array, prep: Preprocessing, layout: Layout) -> torch.Tensor:
    """Prepare one slice, (C, H, W), float32 in 0..1, as the backbone expects it.

    Returns G inputs (:func:`input_groups`), (G, C', h, w), float32, of the padded size of the
    layout. InputError if the slice has another shape than the layout, or is not finite.
    """
    import torch

    if image.ndim != 3 or image.shape[1:] != layout.shape:
        raise InputError(
            "slice", f"have shape (C, {layout.shape[0]}, {layout.shape[1]})", f"shape {image.shape}"
        )
    if not np.isfinite(image).all():
        raise InputError("slice", "be finite", "NaN or infinity", "Normalise the volume first.")
    x = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
    if prep.channels is None or len(x) == prep.channels:
        x = x[None]
    else:
        x = x[:, None].expand(-1, prep.channels, -1, -1)
    x = _resize(x, layout.resized, smooth=prep.resize in ("grid", "square"))
    if prep.scale == "minmax":
        low = x.amin(dim=(1, 2, 3), keepdim=True)
        width = x.amax(dim=(1, 2, 3), keepdim=True) - low
        x = (x - low) / torch.where(width < FLAT, 1.0, width)
    mean = torch.tensor(prep.mean, dtype=torch.float32).view(1, -1, 1, 1)
    std = torch.tensor(prep.std, dtype=torch.float32).view(1, -1, 1, 1)
    x = (x - mean) / std
    return _pad(x, layout.padded, zeros=prep.resize == "longest")


def _resize(x: torch.Tensor, size: tuple[int, int], *, smooth: bool) -> torch.Tensor:
    """Bicubic without overshoot (``smooth``) or bilinear, with antialiasing when shrinking."""
    from torch.nn.functional import interpolate

    if tuple(x.shape[-2:]) == size:
        return x
    low, high = x.amin(), x.amax()
    mode = "bicubic" if smooth else "bilinear"
    # Enlarging has nothing to antialias, but with it torch takes the cubic kernel of Pillow,
    # which keeps linear ramps straight (a = -0.5); the other one (a = -0.75) does not.
    return interpolate(x, size, mode=mode, align_corners=False, antialias=True).clamp(low, high)


def _pad(x: torch.Tensor, size: tuple[int, int], *, zeros: bool) -> torch.Tensor:
    """Pad at the lower and right edge: with zeros after normalisation (SAM), else mirrored.

    numpy's ``symmetric`` also pads by more than the slice has, where torch's ``reflect`` fails.
    """
    import torch

    below, right = size[0] - x.shape[-2], size[1] - x.shape[-1]
    if not (below or right):
        return x
    if zeros:
        return torch.nn.functional.pad(x, (0, right, 0, below))
    widths = ((0, 0), (0, 0), (0, below), (0, right))
    return torch.from_numpy(np.pad(x.numpy(), widths, mode="symmetric"))
