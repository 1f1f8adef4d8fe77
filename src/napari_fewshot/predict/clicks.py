"""A label on one slice corrected by clicks, without a SAM: a random walk from the clicks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import WalkerConfig
from ..types import Array
from .random_walker import grey_scales, random_walk

__all__ = ["Correction", "corrected_by_clicks"]

_SCALES = (0.0, 1.0)
_ROUND = 48
"""Pixels round the clicks that a walk looks at, and round the part of the label they lie in."""
_MAX_SIDE = 160
"""Longest side of what a walk looks at, without that."""
_SEED = 1.5
"""Radius of a click in pixels."""
_CERTAIN = 1e4
_NEAR = 40.0
"""Pixels within which a click says more than the model."""
_PULL = 2.0
"""Of all pixels together towards what the model says, beside about 1 of a click: this fills what
edges enclose, but not half of what it looks at where there are none."""
_FARTHER = 50.0
"""Times that a pixel far from clicks holds to it more."""
_EASIER = 0.1
"""Edges count less than for a refinement, which begins with all borders there."""


@dataclass(frozen=True, eq=False)
class Correction:
    """What clicks change on a slice.

    Parameters
    ----------
    added, removed : bool array, shape (H, W)
        Where the label comes, and where it goes.
    """

    added: Array
    removed: Array


def corrected_by_clicks(
    image: Array,
    label: Array,
    probability: Array | None,
    points: Array,
    inside: Array,
    config: WalkerConfig,
) -> Correction:
    """Change a label round clicks: each is a seed of a random walk over the slice (Grady 2006).

    The walk knows what the model says of each pixel, the less the nearer a click is; it steps
    rarely over edges of the image. Only what is joined to a click changes.

    Parameters
    ----------
    image : float array, shape (C, H, W)
        The slice.
    label : bool array, shape (H, W)
        Where it is now.
    probability : float array, shape (H, W), optional
        Of the label, as a model has it; None: as it is painted now.
    points : float array, shape (N, 2)
        (row, column) in pixels.
    inside : bool array, shape (N,)
        Whether the label is to be there.
    config : WalkerConfig
        What an edge costs.
    """
    from scipy.ndimage import distance_transform_edt

    box = _box(label, points)
    rows, columns = (np.arange(side.start, side.stop) for side in box)
    seeds = np.full((len(rows), len(columns)), -1)
    for (row, column), kind in zip(points, inside, strict=True):
        near = np.hypot(rows[:, None] - row, columns[None] - column)
        seeds[near <= max(_SEED, near.min())] = kind
    prior = label[box].astype(np.float32) * 0.8 + 0.1
    if probability is not None:
        prior = np.clip(probability[box], 0.02, 0.98).astype(np.float32)
    distance = distance_transform_edt(seeds < 0)
    far = 1 - np.exp(-0.5 * (distance / _NEAR) ** 2)
    sure = (2 * prior - 1) ** 2 + 0.01
    weight = _PULL / prior.size * sure * (1 + _FARTHER * far)
    known = seeds >= 0
    prior[known], weight[known] = seeds[known], _CERTAIN
    appearance = grey_scales(image[:, box[0], box[1]], _SCALES)
    both = np.stack([1 - prior, prior])
    found = random_walk(appearance, both, weight, _EASIER * config.beta, direct=True)
    inside_now = prior > 0.5 if found is None else found[1] > 0.5
    inside_now[known] = seeds[known] == 1
    added, removed = np.zeros_like(label), np.zeros_like(label)
    added[box] = _joined(inside_now & ~label[box], seeds == 1)
    removed[box] = _joined(~inside_now & label[box], seeds == 0)
    return Correction(added, removed)


def _joined(change: Array, seeds: Array) -> Array:
    """Parts of a change that touch a seed; a click on what is right already changes nothing."""
    from scipy.ndimage import binary_dilation, label

    numbers, _ = label(change)
    touched = np.unique(numbers[binary_dilation(seeds, iterations=2)])
    joined: Array = np.isin(numbers, touched[touched > 0])
    return joined


def _box(label: Array, points: Array) -> tuple[slice, slice]:
    """Rows and columns round the clicks and the parts of the label that they lie in."""
    from scipy.ndimage import find_objects
    from scipy.ndimage import label as parts_of

    parts, _ = parts_of(label)
    boxes = find_objects(parts)
    limit = np.array(label.shape)
    places = np.clip(np.round(points), 0, limit - 1).astype(int)
    low, high = places.min(axis=0), places.max(axis=0) + 1
    own = np.unique(parts[tuple(places.T)])
    for number in own[own > 0]:
        low = np.minimum(low, [side.start for side in boxes[number - 1]])
        high = np.maximum(high, [side.stop for side in boxes[number - 1]])
    # A large part is looked at round the clicks alone.
    middle = places.mean(axis=0)
    low = np.maximum(low - _ROUND, np.minimum(middle - _MAX_SIDE / 2, places.min(axis=0) - _ROUND))
    high = np.minimum(
        high + _ROUND, np.maximum(middle + _MAX_SIDE / 2, places.max(axis=0) + _ROUND)
    )
    low = np.clip(low, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(high), low + 1, limit).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1])
