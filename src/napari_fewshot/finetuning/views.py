"""Views of one slice and of its neighbour, with the same regions named in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..config import ContrastConfig
from ..types import Array
from .scans import Drawn

if TYPE_CHECKING:
    import torch

__all__ = ["Views", "draw_views", "in_colours", "placed", "sampled", "shaded"]

_VIEWS = 3
_MULTIPLE = 32
_ROOM = 1.5
"""Side of what views are cut from, as a multiple of theirs."""
_SCALES = (15.0, 250.0)
"""How coarse regions are: of the method of Felzenszwalb and Huttenlocher (2004)."""
_SIZES = (12, 120)
"""Smallest region in pixels, at the finest and the coarsest scale."""
_SMOOTH = 0.8
_BIAS = 4
"""Knots along each side of a shading that changes over a view."""


@dataclass(frozen=True, eq=False)
class Views:
    """An episode: one place of a volume seen several times.

    Parameters
    ----------
    images : array, shape (K, 3, S, S), float32 in 0..1
        Two views of a slice, and one of a slice near it, each turned, scaled and shaded.
    sources : array, shape (K, 3, H, W)
        What the views are of, as it is in the file.
    places : array, shape (K, S, S, 2)
        Row and column of the source that each pixel of a view is.
    regions : array, shape (K, S, S), int64
        Region of each pixel, the same number in all views; -1 beyond the slice, and in the view of
        the neighbour where regions meet.
    """

    images: Array
    sources: Array
    places: Array
    regions: Array


def draw_views(drawn: Drawn, config: ContrastConfig, rng: np.random.Generator) -> Views:
    """Cut a slice into regions, and show it as it could have been taken otherwise."""
    stack = drawn.stack
    side = _side(stack.shape, config.side)
    window = _window(stack.shape, side, rng)
    image = in_colours(stack.window(drawn.index, window), rng)
    regions = _regions(image, rng)
    near, sharp = image, regions
    neighbour = _neighbour(drawn, config.neighbour, rng)
    if neighbour != drawn.index:
        near = in_colours(stack.window(neighbour, window), rng)
        sharp = _without_borders(regions)
    sources, names = (image, image, near), (regions, regions, sharp)
    places = [_places(side, image.shape[1:], config, rng) for _ in sources]
    pairs = list(zip(sources, places, strict=True))
    images = [shaded(sampled(one, at), config.shading, rng) for one, at in pairs]
    named = [_named(one, at) for one, at in zip(names, places, strict=True)]
    return Views(np.stack(images), np.stack(sources), np.stack(places), np.stack(named))


def in_colours(image: Array, rng: np.random.Generator) -> Array:
    """Give a slice, (C, H, W), three channels; of more or two, one is drawn."""
    if len(image) == 3:
        return image
    grey = image if len(image) == 1 else image[rng.integers(len(image))][None]
    return np.repeat(grey, 3, axis=0)


def _side(shape: tuple[int, int], most: int) -> int:
    """Side of views: that of the slice, in such multiples, up to the largest."""
    return max(_MULTIPLE, min(most, -(-max(shape) // _MULTIPLE) * _MULTIPLE))


def _window(shape: tuple[int, int], side: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Part of a slice that views are cut from."""
    room = int(_ROOM * side)
    starts = [int(rng.integers(max(1, length - room + 1))) for length in shape]
    rows, columns = (slice(s, min(s + room, n)) for s, n in zip(starts, shape, strict=True))
    return rows, columns


def _neighbour(drawn: Drawn, most: int, rng: np.random.Generator) -> int:
    """A slice near the one that was drawn; not so far that another anatomy is there."""
    most = min(most, int(2 * most / max(1.0, drawn.stack.slice_distance)))
    near = drawn.index + int(rng.integers(-most, most + 1))
    return int(np.clip(near, 0, len(drawn.stack) - 1))


def _regions(image: Array, rng: np.random.Generator) -> Array:
    from skimage.segmentation import felzenszwalb

    at = float(rng.random())
    scale, least = (low * (high / low) ** at for low, high in (_SCALES, _SIZES))
    grey = (image[0] == image[1]).all() and (image[0] == image[2]).all()
    picture = image[0] if grey else np.moveaxis(image, 0, -1)
    found: Array = felzenszwalb(
        picture, scale, _SMOOTH, int(least), channel_axis=None if grey else -1
    )
    return found.astype(np.int64)


def _without_borders(regions: Array) -> Array:
    """Regions with -1 where they meet: in a neighbouring slice borders lie elsewhere."""
    from scipy.ndimage import maximum_filter, minimum_filter

    inside = maximum_filter(regions, 5) == minimum_filter(regions, 5)
    return np.where(inside, regions, -1)


def _places(
    side: int, shape: tuple[int, ...], config: ContrastConfig, rng: np.random.Generator
) -> Array:
    """Row and column in the window of each pixel of a view, shape (S, S, 2)."""
    angle = rng.normal(0, config.rotation)
    factor = np.exp(rng.normal(0, config.scale) + rng.normal(0, config.scale / 3, 2))
    spare = np.maximum(0, (np.array(shape) - side) / 2)
    shift = rng.normal(0, 0.05 * side, 2) + rng.uniform(-0.5, 0.5, 2) * spare
    return placed(side, (np.array(shape) - 1) / 2 + shift, angle, factor)


def placed(side: int, middle: Array, angle: float, factor: Array | float) -> Array:
    """Row and column that each pixel of a square view is read at, shape (S, S, 2).

    ``angle`` is in degrees, ``factor`` the pixels of the image for each of the view.
    """
    turned = np.deg2rad(angle)
    turn = np.array([[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]])
    offsets = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1)
    places: Array = (offsets - (side - 1) / 2) @ (turn * factor).T + middle
    return places


def sampled(image: Array, places: Array) -> Array:
    """Read an image, (3, H, W), at places, mirrored beyond its sides."""
    import torch
    from torch.nn.functional import grid_sample

    shape = np.array(image.shape[1:])
    at = mirrored_places(places, shape)
    # grid_sample counts in halves of the image from its centre, columns first.
    halves = ((at + 0.5) * 2 / shape - 1)[..., ::-1]
    grid = torch.from_numpy(np.ascontiguousarray(halves, dtype=np.float32))[None]
    source = torch.from_numpy(np.ascontiguousarray(image))[None]
    moved: torch.Tensor = grid_sample(source, grid, "bilinear", "border", align_corners=False)[0]
    found: Array = moved.numpy()
    return found


def mirrored_places(places: Array, shape: Array) -> Array:
    """Where places beyond an image of (rows, columns) are read, so that it goes on mirrored."""
    folded = np.mod(places + 0.5, 2 * shape)
    at: Array = np.clip(np.minimum(folded, 2 * shape - folded) - 0.5, 0, shape - 1)
    return at


def _named(regions: Array, places: Array) -> Array:
    nearest = np.rint(places).astype(int)
    inside = ((nearest >= 0) & (nearest < regions.shape)).all(axis=-1)
    row, column = np.moveaxis(np.clip(nearest, 0, np.array(regions.shape) - 1), -1, 0)
    found: Array = np.where(inside, regions[row, column], -1)
    return found


def shaded(image: Array, strength: float, rng: np.random.Generator) -> Array:
    """Change grey values as another scanner, or another day, might have."""
    from scipy.ndimage import gaussian_filter, zoom

    gamma, contrast = np.exp(strength * rng.normal(0, (0.25, 0.15)))
    knots = rng.normal(0, 0.12 * strength, (_BIAS, _BIAS))
    bias = np.exp(zoom(knots, image.shape[-1] / _BIAS, order=1))
    changed = image.astype(np.float32) ** np.float32(gamma)
    middle = changed.mean()
    changed = ((changed - middle) * contrast + middle) * bias
    changed = changed + strength * rng.normal(0, 0.05)
    if rng.random() < 0.5:
        changed = gaussian_filter(changed, (0, *[strength * rng.uniform(0, 1)] * 2))
    noise = rng.standard_normal(changed.shape[1:]) * strength * rng.uniform(0, 0.06)
    found: Array = np.clip(changed + noise, 0, 1).astype(np.float32)
    return found
