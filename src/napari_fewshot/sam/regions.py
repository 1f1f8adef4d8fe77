"""Regions to prompts: the strategies that refinement chooses among."""

from __future__ import annotations

import numpy as np

from ..config import PromptConfig
from ..types import Array
from .predictor import Prompts, SamPredictor

__all__ = ["box_of", "components_of", "deepest_pixel", "region_prompts"]


def region_prompts(
    region: Array,
    outside: Array,
    config: PromptConfig,
    predictor: SamPredictor,
    rng: np.random.Generator,
) -> list[tuple[Array, Prompts | None]]:
    """Make the prompts of a region.

    Parameters
    ----------
    region : bool array, shape (H, W)
        Not empty.
    outside : bool array, shape (H, W)
        Pixels that negative points may be drawn from.
    config : PromptConfig
        Strategy and its settings.
    predictor : SamPredictor
        What gets them: a SAM that was trained with boxes alone gets no points.
    rng : numpy Generator
        Draws random points.

    Returns
    -------
    list of (bool array of shape (H, W), Prompts or None)
        What each prompt stands for (the region, or one of its components), and the prompt; None
        for a component that is too small to be asked about.
    """
    negatives = _draw(outside & ~region, config.negatives, rng)
    strategy = config.strategy
    if predictor.one_mask and strategy not in ("box", "boxes"):
        strategy = "box"
    if strategy == "boxes":
        parts = components_of(region, config.min_area)
        found: list[tuple[Array, Prompts | None]] = [
            (part, _box_prompt(part, config, _none(), negatives, predictor)) for part in parts
        ]
        small = region & ~np.any(parts, axis=0)
        return [*found, (small, None)] if small.any() else found
    if strategy == "box":
        return [(region, _box_prompt(region, config, _none(), negatives, predictor))]
    if strategy == "box-points":
        points = _draw(region, config.points, rng)
        return [(region, _box_prompt(region, config, points, negatives, predictor))]
    if strategy == "components":
        parts = components_of(region, config.min_area)
        return [(region, _points(np.array([deepest_pixel(part) for part in parts]), negatives))]
    if strategy == "mask":
        point = _points(deepest_pixel(region)[None], negatives)
        low = predictor.to_low(region)[None]
        return [(region, Prompts(point.points, point.point_labels, masks=low))]
    return [(region, _points(_draw(region, config.points, rng), negatives))]


def components_of(region: Array, least: int = 1) -> list[Array]:
    """Return connected components of at least ``least`` pixels; the largest if none is.

    Pixels that touch at a corner belong together. The largest component comes first.
    """
    from skimage.measure import label

    numbers = label(region, connectivity=2)
    sizes = np.bincount(numbers.ravel())[1:]
    order = np.argsort(-sizes, kind="stable")
    chosen = [k for k in order if sizes[k] >= least] or [order[0]]
    return [numbers == k + 1 for k in chosen]


def deepest_pixel(region: Array) -> Array:
    """(row, column) of the pixel that lies farthest from the border of the region."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    return np.array(np.unravel_index(int(depth.argmax()), region.shape), dtype=np.float64)


def box_of(region: Array, margin: float = 0.0) -> Array:
    """First row, first column, last row, last column, widened on each side.

    Parameters
    ----------
    region : bool array, shape (H, W)
        Not empty.
    margin : float
        Share of the side of the box.
    """
    sides = [np.flatnonzero(region.any(axis=axis)) for axis in (1, 0)]
    first = np.array([side[0] for side in sides], dtype=np.float64)
    last = np.array([side[-1] for side in sides], dtype=np.float64)
    wider = margin * (last - first + 1)
    limit = np.array(region.shape) - 1.0
    return np.concatenate([np.maximum(first - wider, 0), np.minimum(last + wider, limit)])


def _draw(region: Array, count: int, rng: np.random.Generator) -> Array:
    """Draw pixels, (row, column), without repetition; fewer where there are not as many."""
    flat = np.flatnonzero(region)
    chosen = rng.choice(flat, min(count, len(flat)), replace=False) if count else flat[:0]
    return np.stack(np.divmod(chosen, region.shape[1]), axis=1).astype(np.float64)


def _none() -> Array:
    return np.empty((0, 2))


def _points(positive: Array, negative: Array) -> Prompts:
    labels = np.repeat([1, 0], [len(positive), len(negative)])
    return Prompts(points=np.concatenate([positive, negative])[None], point_labels=labels[None])


def _box_prompt(
    region: Array, config: PromptConfig, points: Array, negatives: Array, predictor: SamPredictor
) -> Prompts:
    boxes = box_of(region, config.margin)[None]
    if predictor.one_mask or not len(points) + len(negatives):
        return Prompts(boxes=boxes)
    with_points = _points(points, negatives)
    return Prompts(with_points.points, with_points.point_labels, boxes=boxes)
