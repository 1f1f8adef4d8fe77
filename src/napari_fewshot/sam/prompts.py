"""Prompts out of what is known of a slice: a region, a label map, or boxes that somebody drew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..config import PromptConfig, RegionConfig, TuneConfig
from ..errors import InputError
from ..slices.stack import SliceStack
from ..types import Array
from .predictor import Prompts, SamPredictor

__all__ = [
    "LabelPrompts",
    "PromptBox",
    "box_of",
    "box_prompts",
    "boxes_by_slice",
    "components_of",
    "deepest_pixel",
    "point_prompts",
    "region_prompts",
    "training_prompts",
]

LabelPrompts = tuple[list[int], Prompts]
"""Labels, and a prompt for each."""


@dataclass(frozen=True)
class PromptBox:
    """A box that somebody drew on a slice."""

    label: int
    """What is in it, at least 1."""
    first: tuple[float, ...]
    """Corner (z, y, x), or (y, x) in 2D, in voxels of the file order, that voxel included."""
    last: tuple[float, ...]
    """The opposite corner, in the same slice."""


def components_of(region: Array, min_area: int = 1) -> list[Array]:
    """Return connected components of at least ``min_area`` pixels; the largest if none is.

    Pixels that touch at a corner belong together. The largest component comes first.
    """
    from skimage.measure import label

    numbers = label(region, connectivity=2)
    sizes = np.bincount(numbers.ravel())[1:]
    order = np.argsort(-sizes, kind="stable")
    chosen = [k for k in order if sizes[k] >= min_area] or [order[0]]
    return [numbers == k + 1 for k in chosen]


def deepest_pixel(region: Array) -> Array:
    """(row, column) of the pixel that lies farthest from the border of the region."""
    from scipy.ndimage import distance_transform_edt

    distance = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    return np.array(np.unravel_index(int(distance.argmax()), region.shape), dtype=np.float64)


def box_of(region: Array, margin: float = 0.0) -> Array:
    """First row, first column, last row, last column of a region that is not empty.

    They are widened on each side by ``margin``, a fraction of the side of the box, within the
    slice.
    """
    sides = [np.flatnonzero(region.any(axis=axis)) for axis in (1, 0)]
    first = np.array([side[0] for side in sides], dtype=np.float64)
    last = np.array([side[-1] for side in sides], dtype=np.float64)
    return _widened(first, last, margin, region.shape)


def _widened(first: Array, last: Array, margin: float, shape: tuple[int, ...]) -> Array:
    wider = margin * (last - first + 1)
    corners: Array = np.clip([first - wider, last + wider], 0, np.array(shape) - 1).ravel()
    return corners


def region_prompts(
    region: Array,
    outside: Array,
    config: PromptConfig,
    predictor: SamPredictor,
    rng: np.random.Generator,
) -> list[tuple[Array, Prompts | None]]:
    """Make the prompts of a region, bool, (H, W), not empty, by the strategy of refinement.

    Negative points are drawn from ``outside``. A SAM that was trained with boxes alone gets no
    points. Returns what each prompt stands for (the region, or one of its components), and the
    prompt; None for a component that is too small to be asked about.
    """
    negatives = _draw(outside & ~region, config.negatives, rng)
    none = np.empty((0, 2))
    strategy = config.strategy
    if predictor.one_mask:
        strategy, negatives = "boxes" if strategy == "boxes" else "box", none
    if strategy == "boxes":
        parts = components_of(region, config.min_area)
        found: list[tuple[Array, Prompts | None]] = [
            (part, _box_prompt(part, config.margin, none, negatives)) for part in parts
        ]
        small = region & ~np.any(parts, axis=0)
        return [*found, (small, None)] if small.any() else found
    if strategy in ("box", "box-points"):
        points = none if strategy == "box" else _draw(region, config.points, rng)
        return [(region, _box_prompt(region, config.margin, points, negatives))]
    if strategy == "components":
        parts = components_of(region, config.min_area)
        return [(region, _points(np.array([deepest_pixel(part) for part in parts]), negatives))]
    if strategy == "mask":
        point = _points(deepest_pixel(region)[None], negatives)
        low = predictor.to_low(region)[None]
        return [(region, Prompts(point.points, point.point_labels, masks=low))]
    return [(region, _points(_draw(region, config.points, rng), negatives))]


def training_prompts(
    regions: Sequence[Array], config: TuneConfig, rng: np.random.Generator
) -> Prompts:
    """Draw a prompt for each region, bool, (H, W), not empty: all boxes, or all points."""
    kind = config.prompts if config.prompts != "both" else rng.choice(["boxes", "points"])
    if kind == "points":
        count = 1 if rng.random() < 0.5 else int(rng.integers(1, config.points + 1))
        flat = np.array([rng.choice(np.flatnonzero(one), count) for one in regions])
        points = np.stack(np.divmod(flat, regions[0].shape[1]), axis=-1).astype(np.float64)
        return Prompts(points, np.ones((len(regions), count)))
    corners = np.array([box_of(one) for one in regions]).reshape(-1, 2, 2)
    off = rng.normal(0, config.jitter, corners.shape) * (corners[:, 1:] - corners[:, :1] + 1)
    boxes = np.sort(np.clip(corners + off, 0, np.array(regions[0].shape) - 1), axis=1)
    return Prompts(boxes=boxes.reshape(-1, 4))


def _draw(region: Array, count: int, rng: np.random.Generator) -> Array:
    """Draw pixels, (row, column), without repetition; fewer where there are not as many."""
    flat = np.flatnonzero(region)
    chosen = rng.choice(flat, min(count, len(flat)), replace=False) if count else flat[:0]
    return np.stack(np.divmod(chosen, region.shape[1]), axis=1).astype(np.float64)


def _points(positive: Array, negative: Array) -> Prompts:
    labels = np.repeat([1, 0], [len(positive), len(negative)])
    return Prompts(points=np.concatenate([positive, negative])[None], point_labels=labels[None])


def _box_prompt(region: Array, margin: float, points: Array, negatives: Array) -> Prompts:
    boxes = box_of(region, margin)[None]
    if not len(points) + len(negatives):
        return Prompts(boxes=boxes)
    with_points = _points(points, negatives)
    return Prompts(with_points.points, with_points.point_labels, boxes=boxes)


def box_prompts(plane: Array, config: RegionConfig) -> LabelPrompts:
    """Boxes round the components, or round each label, of a slice of labels, shape (H, W)."""
    groups = list(_groups(plane, config))
    boxes = [box_of(np.any(parts, axis=0), config.margin) for _, parts in groups]
    return [label for label, _ in groups], Prompts(boxes=np.reshape(boxes, (-1, 4)))


def point_prompts(plane: Array, config: RegionConfig) -> LabelPrompts:
    """Deepest pixels of the components of a slice of labels, shape (H, W)."""
    groups = list(_groups(plane, config))
    most = max((len(parts) for _, parts in groups), default=0)
    points, kinds = np.zeros((len(groups), most, 2)), np.full((len(groups), most), -1)
    for row, (_, parts) in enumerate(groups):
        points[row, : len(parts)] = [deepest_pixel(part) for part in parts]
        kinds[row, : len(parts)] = 1
    return [label for label, _ in groups], Prompts(points=points, point_labels=kinds)


def _groups(plane: Array, config: RegionConfig) -> Iterator[tuple[int, list[Array]]]:
    """Labels, and components that are prompted together; small components are left out."""
    for value in np.unique(plane[plane > 0]).tolist():
        parts = components_of(plane == value, config.min_area)
        parts = [part for part in parts if part.sum() >= config.min_area]
        groups = [[part] for part in parts] if config.each == "component" else [parts]
        yield from ((int(value), group) for group in groups if group)


def boxes_by_slice(
    boxes: Sequence[PromptBox], stack: SliceStack, config: RegionConfig
) -> dict[int, LabelPrompts]:
    """Prompts for the slices of a stack, out of boxes in file order.

    Boxes without a label, in two slices or outside of the volume are an :class:`InputError`.
    """
    labels: dict[int, list[int]] = {}
    found: dict[int, list[Array]] = {}
    shape = stack.volume.shape
    for one in boxes:
        corners = np.array([one.first, one.last], dtype=np.float64)
        if corners.shape != (2, len(shape)) or one.label < 1:
            raise InputError("boxes", f"have corners of {len(shape)} numbers, label >= 1", one)
        if not ((corners > -1).all() and (corners < np.array(shape)).all()):
            raise InputError("boxes", f"lie inside the image of shape {shape}", one)
        number = 0
        if len(shape) == 3:
            moved = stack.frame.points_to_canonical(corners, shape)
            first, last = np.floor(moved[:, stack.axis] + 0.5).astype(int).tolist()
            if first != last:
                raise InputError("boxes", "have both corners in one slice", one)
            number, corners = first, np.delete(moved, stack.axis, axis=1)
        box = _widened(corners.min(axis=0), corners.max(axis=0), config.margin, stack.shape)
        labels.setdefault(number, []).append(one.label)
        found.setdefault(number, []).append(box)
    return {number: (labels[number], Prompts(boxes=np.stack(found[number]))) for number in found}
