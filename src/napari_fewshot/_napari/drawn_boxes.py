"""Boxes that somebody drew on an image, out of a shapes layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError
from ..sam.given import PromptBox
from .to_core import placed_in, shape_of

__all__ = ["boxes_in"]


def boxes_in(
    layer: Any,
    image: Any,
    *,
    axis: int,
    here: int,
    label: int | None = None,
    lead: tuple[int, ...] = (),
    level: int = 0,
) -> list[PromptBox]:
    """Boxes of a shapes layer in voxels of an image layer.

    Of a shape that is no rectangle the box round it is taken. What sticks out of the image is cut
    off; shapes that do not touch it, and those of other time points, are left out.

    Parameters
    ----------
    layer : napari.layers.Shapes
        Its feature ``label``, where there is one, tells what is in a shape.
    image : napari.layers.Image
        What they were drawn on.
    axis : int
        Spatial axis that the image is sliced along.
    here : int
        Slice of shapes that were drawn without that axis.
    label : int, optional
        Label of shapes that have none; None: each has one of its own, from 1 on.
    lead, level : optional
        As for :func:`~napari_fewshot._napari.to_core.image_volume`.

    Raises
    ------
    InputError
        If a label is no whole number of at least 1.
    """
    shape = shape_of(image, level)[-min(3, len(shape_of(image))) :]
    size = np.array(shape)
    boxes = []
    for number, vertices in enumerate(layer.data):
        corners, inside = placed_in(layer, vertices, image, lead, level)
        if not inside.all():
            continue
        if len(shape) == 3 and layer.ndim < 3:
            corners[:, 0] = here
        low, high = corners.min(axis=0), corners.max(axis=0)
        across = np.arange(len(shape)) != (axis if len(shape) == 3 else -1)
        low[~across], high[~across] = np.round(low[~across]), np.round(high[~across])
        # Pixels reach half a pixel round their middle; a box names those at its edges.
        low[across] += 0.5
        high[across] = np.maximum(high[across] - 0.5, low[across])
        if (low > size - 0.5).any() or (high < -0.5).any():
            continue
        low, high = (np.clip(corner, 0, size - 1) for corner in (low, high))
        value = _label_of(layer, number, number + 1 if label is None else label)
        boxes.append(PromptBox(value, tuple(low.tolist()), tuple(high.tolist())))
    return boxes


def _label_of(layer: Any, number: int, default: int) -> int:
    given = layer.features["label"].iloc[number] if "label" in layer.features else None
    if given is None or given != given or given == "":
        return default
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not value.is_integer() or value < 1:
        raise InputError(f"{layer.name}, feature label", "hold whole numbers of at least 1", given)
    return int(value)
