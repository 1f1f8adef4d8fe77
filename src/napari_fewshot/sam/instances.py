"""Masks that overlap painted to an instance label map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..config import AutomaticConfig
from ..types import Array
from .proposals import Proposal

__all__ = ["Instance", "Instances", "paint_instances"]


@dataclass(frozen=True)
class Instance:
    """An instance of a label map.

    Parameters
    ----------
    number : int
        Its value in the label map.
    index : int
        Its slice along the axis in file order.
    area : int
        Pixels that it has in the label map.
    iou : float
        IoU with the true structure, as SAM predicts it.
    stability : float
        How little the mask changes with the cut-off, 0..1.
    """

    number: int
    index: int
    area: int
    iou: float
    stability: float


@dataclass(frozen=True, eq=False)
class Instances:
    """What automatic mode found.

    Parameters
    ----------
    labels : int32 array, shape of the volume in file order
        0 where there is no instance. Numbers rise from slice to slice; what lies in two slices
        has two numbers.
    instances : tuple of Instance
        Ordered by number.
    """

    labels: Array
    instances: tuple[Instance, ...]


def paint_instances(
    proposals: Sequence[Proposal],
    shape: tuple[int, int],
    config: AutomaticConfig,
    first: int = 1,
) -> tuple[Array, list[tuple[Proposal, int]]]:
    """Paint masks one over the other.

    The smaller mask has the pixels that two share, and of equal ones that of higher predicted
    IoU; with ``on_top="better"`` the predicted IoU comes first. What is left of a mask under
    others is dropped where it is below the smallest area.

    Parameters
    ----------
    proposals : sequence of Proposal
        Masks, in any order.
    shape : tuple of int
        (H, W) of the slice.
    config : AutomaticConfig
        Which lies on top, and the smallest area.
    first : int
        Number of the first instance.

    Returns
    -------
    labels : int32 array, shape (H, W)
    kept : list of (Proposal, int)
        What has a number, in the order of numbers, and its pixels.
    """
    smaller: Callable[[Proposal], tuple[float, float]] = lambda p: (-p.area, p.iou)  # noqa: E731
    better: Callable[[Proposal], tuple[float, float]] = lambda p: (p.iou, -p.area)  # noqa: E731
    below_first = sorted(proposals, key=smaller if config.on_top == "smaller" else better)
    places: Array = np.zeros(shape, np.int32)
    for place, one in enumerate(below_first, start=1):
        places[one.where][one.mask()] = place
    areas = np.bincount(places.ravel(), minlength=len(below_first) + 1)[1:]
    least, _ = config.areas(shape[0] * shape[1])
    shown = np.flatnonzero(areas >= max(1, least))
    numbers = np.zeros(len(below_first) + 1, np.int32)
    numbers[shown + 1] = np.arange(first, first + len(shown))
    return numbers[places], [(below_first[k], int(areas[k])) for k in shown]
