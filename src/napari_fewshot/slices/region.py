"""A part of an image: a range of its slices, or a box."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from ..errors import InputError
from ..types import Box, Volume

__all__ = ["PredictedRegion", "Region", "box_shape", "checked_region", "region_box", "whole_box"]

Region = Sequence[Sequence[int] | None]
"""First number and the one behind the last along each spatial axis in file order; None: the whole
axis. One pair alone is a range of slices, along the axis that slices are cut along."""

Sides = tuple[tuple[int, int] | None, ...]


def checked_region(region: Region, *, fused: bool = False) -> Sides:
    """Return a region as tuples of whole numbers.

    Raises
    ------
    InputError
        If it has no part, a part is no pair of whole numbers or is empty, or it is a range of
        slices where ``fused`` planes have slices along several axes.
    """
    parts: list[tuple[int, int] | None] = []
    for part in region:
        try:
            pair = None if part is None else tuple(operator.index(end) for end in part)
        except TypeError:
            pair = ()
        if pair is None:
            parts.append(None)
            continue
        if len(pair) != 2:
            expected = "have pairs (first, one behind the last) of whole numbers, or None"
            raise InputError("region", expected, part)
        if pair[0] >= pair[1]:
            raise InputError("region", "have parts with at least one number in them", pair)
        parts.append((pair[0], pair[1]))
    if not parts:
        raise InputError("region", "have a part for each axis, or one alone", "none")
    if fused and len(parts) == 1:
        raise InputError(
            "region",
            "have a part for each axis where planes are fused, whose slices lie along several",
            "one alone",
        )
    return tuple(parts)


def region_box(volume: Volume, region: Sides | None, axis: int) -> Box:
    """Find the voxels of a region, in file order; of None all.

    ``axis`` is that of the slices in file order, along which a range of slices is meant.

    Raises
    ------
    InputError
        If the region has another number of axes than the volume, or goes beyond it.
    """
    whole = whole_box(volume)
    if region is None:
        return whole
    if len(region) == 1 and volume.ndim == 3:
        region = (None,) * axis + region + (None,) * (2 - axis)
    where = "" if volume.source is None else f" of {volume.source}"
    if len(region) != volume.ndim:
        alone = ", or one alone (slices)" if volume.ndim == 3 else ""
        count = f"{len(region)} part" + ("s" if len(region) > 1 else "")
        expected = f"have a part for each of the {volume.ndim} axes{where}{alone}"
        raise InputError("region", expected, count)
    sides = list(whole)
    for number, (part, length) in enumerate(zip(region, volume.shape, strict=True)):
        if part is None:
            continue
        first, stop = part
        if first < 0 or stop > length:
            expected = f"lie within axis {number}{where}, whose numbers are 0..{length - 1}"
            raise InputError("region", expected, f"{first}..{stop - 1}")
        sides[number] = slice(first, stop)
    return tuple(sides)


@dataclass(frozen=True)
class PredictedRegion:
    """The part of a volume that has labels in the end, and the part that is predicted for it.

    Parameters
    ----------
    kept : tuple of slice
        Labels and landmarks are wanted here, in file order.
    seen : tuple of slice
        They are predicted here: more than ``kept`` where what follows needs whole slices.
    """

    kept: Box
    seen: Box

    @classmethod
    def of(
        cls,
        volume: Volume,
        region: Sides | None = None,
        axis: int = 0,
        *,
        whole_slices: bool = False,
    ) -> Self:
        """Find the parts for a region, as :func:`region_box`."""
        kept = region_box(volume, region, axis)
        seen = kept
        if whole_slices:
            seen = whole_box(volume)
            if volume.ndim == 3:
                seen = (*seen[:axis], kept[axis], *seen[axis + 1 :])
        return cls(kept, seen)


def box_shape(box: Box) -> tuple[int, ...]:
    """Shape of what is in a box."""
    return tuple(side.stop - side.start for side in box)


def whole_box(volume: Volume) -> Box:
    """All voxels of a volume."""
    return tuple(slice(0, length) for length in volume.shape)
