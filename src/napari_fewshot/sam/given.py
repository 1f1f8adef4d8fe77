"""Prompts for labels: out of a label map, or from boxes that somebody drew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..config import RegionConfig
from ..errors import InputError
from ..slices.stack import SliceStack
from ..types import Array
from .predictor import Prompts
from .regions import box_of, components_of, deepest_pixel

__all__ = ["PromptBox", "Prompted", "box_prompts", "boxes_by_slice", "joined", "point_prompts"]


@dataclass(frozen=True)
class PromptBox:
    """A box that somebody drew on a slice.

    Parameters
    ----------
    label : int
        What is in it, at least 1.
    first, last : tuple of float
        Opposite corners (z, y, x), or (y, x) in a 2D image, in voxels of the file order, the
        voxels at the corners included. Both lie in one slice.
    """

    label: int
    first: tuple[float, ...]
    last: tuple[float, ...]


Prompted = tuple[int, Prompts]
"""A label, and one prompt for it."""


def _parts(plane: Array, config: RegionConfig) -> Iterator[tuple[int, Array]]:
    """Label and components, of the labels of a slice; a label of small components has none."""
    for value in np.unique(plane):
        if value > 0:
            for part in components_of(plane == value, config.min_area):
                if part.sum() >= config.min_area:
                    yield int(value), part


def box_prompts(plane: Array, config: RegionConfig) -> Iterator[Prompted]:
    """Boxes round the components, or round each label, of a slice of labels, shape (H, W)."""
    if config.each == "component":
        for label, part in _parts(plane, config):
            yield label, Prompts(boxes=box_of(part, config.margin)[None])
        return
    whole: dict[int, Array] = {}
    for label, part in _parts(plane, config):
        whole[label] = whole[label] | part if label in whole else part
    for label, region in whole.items():
        yield label, Prompts(boxes=box_of(region, config.margin)[None])


def point_prompts(plane: Array, config: RegionConfig) -> Iterator[Prompted]:
    """Deepest pixels of the components of a slice of labels, shape (H, W)."""
    points: dict[int, list[Array]] = {}
    for label, part in _parts(plane, config):
        points.setdefault(label, []).append(deepest_pixel(part))
    for label, places in points.items():
        groups = [[place] for place in places] if config.each == "component" else [places]
        for group in groups:
            yield (
                label,
                Prompts(points=np.stack(group)[None], point_labels=np.ones((1, len(group)))),
            )


def joined(prompts: list[Prompts]) -> Prompts:
    """Prompts of one kind together; where one has fewer points it gets points that count not."""
    if prompts[0].boxes is not None:
        return Prompts(boxes=np.concatenate([p.boxes for p in prompts if p.boxes is not None]))
    most = max(0 if p.points is None else p.points.shape[1] for p in prompts)
    points = np.zeros((len(prompts), most, 2))
    kinds = np.full((len(prompts), most), -1)
    for row, prompt in enumerate(prompts):
        if prompt.points is not None:
            count = prompt.points.shape[1]
            points[row, :count], kinds[row, :count] = prompt.points[0], 1
    return Prompts(points=points, point_labels=kinds)


def boxes_by_slice(
    boxes: Sequence[PromptBox], stack: SliceStack, config: RegionConfig
) -> dict[int, list[Prompted]]:
    """Prompts for the slices of a stack, out of boxes in file order.

    Raises
    ------
    InputError
        If a box has no label, lies in two slices or outside of the volume.
    """
    found: dict[int, list[Prompted]] = {}
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
            depth = np.floor(moved[:, stack.axis] + 0.5).astype(int)
            if depth[0] != depth[1]:
                raise InputError("boxes", "have both corners in one slice", one)
            number, corners = int(depth[0]), np.delete(moved, stack.axis, axis=1)
        low, high = corners.min(axis=0), corners.max(axis=0)
        wider = config.margin * (high - low + 1)
        box = np.clip([low - wider, high + wider], 0, np.array(stack.shape) - 1).reshape(1, 4)
        found.setdefault(number, []).append((one.label, Prompts(boxes=box)))
    return found
