"""Masks that nobody named: packed, cleaned, and freed of duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..device import avoid_llvm_clash
from ..types import Array

__all__ = ["Proposal", "clean_mask", "distinct", "pack_mask"]


@dataclass(frozen=True, eq=False)
class Proposal:
    """A mask, of which only the bits inside of its box are kept.

    Parameters
    ----------
    box : tuple of int
        First row, first column, last row, last column of the mask in the slice.
    bits : uint8 array
        The mask within its box, packed.
    area : int
        Pixels.
    iou : float
        Predicted by SAM.
    stability : float
        IoU between the masks of a higher and a lower cut-off.
    crop : tuple of int
        The part of the slice that was looked at, as ``box``.
    """

    box: tuple[int, int, int, int]
    bits: Array
    area: int
    iou: float
    stability: float
    crop: tuple[int, int, int, int]

    @property
    def where(self) -> tuple[slice, slice]:
        """Rows and columns of the box."""
        top, left, bottom, right = self.box
        return slice(top, bottom + 1), slice(left, right + 1)

    def mask(self) -> Array:
        """Unpack the mask within its box: bool, of the shape of the box."""
        top, left, bottom, right = self.box
        shape = (bottom - top + 1, right - left + 1)
        return np.unpackbits(self.bits, count=shape[0] * shape[1]).reshape(shape).astype(bool)


def pack_mask(
    mask: Array,
    origin: tuple[int, int],
    iou: float,
    stability: float,
    crop: tuple[int, int, int, int],
) -> Proposal:
    """Pack a mask.

    Parameters
    ----------
    mask : bool array, shape (h, w)
        Not empty.
    origin : tuple of int
        Row and column of the slice at which it begins.
    iou, stability, crop
        As in :class:`Proposal`.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])
    inner = mask[top : bottom + 1, left : right + 1]
    box = (top + origin[0], left + origin[1], bottom + origin[0], right + origin[1])
    return Proposal(box, np.packbits(inner), int(inner.sum()), iou, stability, crop)


def clean_mask(mask: Array, least: int) -> Array:
    """Fill small enclosed holes of a mask and remove its small islands.

    Parameters
    ----------
    mask : bool array, shape (h, w)
        Any mask; an empty one stays empty.
    least : int
        Holes and islands of fewer pixels are small; pixels that touch at a corner belong
        together. Where all islands are small the largest stays.
    """
    from scipy.ndimage import label

    corners = np.ones((3, 3), int)
    outside, _ = label(np.pad(~mask, 1, constant_values=True), corners)
    sizes = np.bincount(outside.ravel())
    small = sizes < least
    small[[0, outside[0, 0]]] = False
    filled = mask | small[outside[1:-1, 1:-1]]
    islands, count = label(filled, corners)
    sizes = np.bincount(islands.ravel(), minlength=count + 1)
    kept = sizes >= least
    kept[0] = False
    if count and not kept.any():
        kept[1 + int(sizes[1:].argmax())] = True
    return np.asarray(kept[islands])


def distinct(
    proposals: Sequence[Proposal], scores: Sequence[float], overlap: float
) -> list[Proposal]:
    """Keep of masks whose boxes overlap the one of the highest score.

    Parameters
    ----------
    proposals : sequence of Proposal
        Masks, in any order.
    scores : sequence of float
        One for each.
    overlap : float
        IoU of two boxes above which they are duplicates.

    Returns
    -------
    list of Proposal
        The highest score first.
    """
    if not proposals:
        return []
    import torch

    avoid_llvm_clash()
    from torchvision.ops import nms

    boxes = torch.tensor([p.box for p in proposals], dtype=torch.float32)
    kept = nms(boxes, torch.tensor(scores, dtype=torch.float32), overlap)
    return [proposals[k] for k in kept.tolist()]
