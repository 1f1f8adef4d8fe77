"""Labels of images in which points alone were learned: a small ball round each that was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..scratch import scratch_array
from ..slices.region import PredictedRegion
from ..types import Array, Box, Landmark, Located, Volume
from .learned import LearnedModel
from .sink import Prediction, kept_in, smallest_label_dtype

__all__ = ["disc_radius", "predicted_discs"]

_SHARE = 0.005
"""Radius as a share of the longest side: it is seen in large images too."""


def disc_radius(volume: Volume, pixels: float) -> float:
    """Radius in mm of what stands for a point: so many pixels, and half a hundredth of the image.

    Pixels are those of the finest axis.
    """
    sides = np.array(volume.shape) * volume.spacing
    return max(pixels * float(min(volume.spacing)), _SHARE * float(sides.max()))


def predicted_discs(
    volume: Volume,
    model: LearnedModel,
    found: Mapping[int, Located],
    region: PredictedRegion,
) -> Prediction:
    """Draw what was found in a volume as labels.

    The confidence is the score of a point where it is drawn, and 1 elsewhere; both are 0 outside
    of the region, where no point is kept.
    """
    each = {value: kept_in(found[value], region.kept) for value in model.label_values}
    kept = [one for one in each.values() if isinstance(one, Landmark)]
    rest = {value: one for value, one in each.items() if not isinstance(one, Landmark)}
    labels = scratch_array(volume.shape, smallest_label_dtype(model.label_values))
    confidence = scratch_array(volume.shape, np.float32)
    confidence[region.kept] = 1.0
    radius = disc_radius(volume, model.config.sampling.point_radius)
    places = np.array([one.position[-volume.ndim :] for one in kept]).reshape(-1, volume.ndim)
    for number, point in enumerate(kept):
        box, mask = _disc(number, places, volume.spacing, radius, region.kept)
        labels[box][mask] = point.label
        confidence[box][mask] = 1.0 if point.score is None else point.score
    return Prediction(labels, confidence, tuple(kept), dict(model.names), rest)


def _disc(
    number: int, places: Array, spacing: Sequence[float], radius: float, limits: Box
) -> tuple[Box, Array]:
    """The box and mask of what is nearer to a point than to others, and within the radius.

    The voxel of a point is always its own.
    """
    sizes = np.array(spacing)
    centres = np.round(places)
    low = np.ceil(centres[number] - radius / sizes).astype(int)
    high = np.floor(centres[number] + radius / sizes).astype(int) + 1
    box = tuple(
        slice(max(a, side.start), max(a, min(b, side.stop)))
        for a, b, side in zip(low.tolist(), high.tolist(), limits, strict=True)
    )
    grid = np.meshgrid(*(np.arange(side.start, side.stop) for side in box), indexing="ij")

    def squares(centre: Array) -> Array:
        total: Array = sum(
            np.square((axis - at) * size)
            for axis, at, size in zip(grid, centre, sizes, strict=True)
        )
        return total

    own = squares(centres[number])
    mask = own <= radius**2
    near = np.linalg.norm((centres - centres[number]) * sizes, axis=1) <= 2 * radius
    for other in np.flatnonzero(near).tolist():
        if other != number:
            its = squares(centres[other])
            mask &= (own < its) | ((own == its) & (number < other))
    return box, mask
