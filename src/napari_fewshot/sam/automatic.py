"""Automatic mode: everything that SAM sees in a volume, as an instance label map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import DEFAULT_SAM, AutomaticConfig, IntensityConfig
from ..types import Array, Progress, Volume, no_progress
from .model import SamModel, VolumeSlices, load_sam
from .proposals import Proposal, propose_masks

__all__ = ["Instance", "Instances", "everything_in", "paint_instances", "sam_automatic"]


@dataclass(frozen=True)
class Instance:
    """An instance of a label map."""

    number: int
    """Its value in the label map."""
    index: int
    """Its slice along the axis in file order."""
    area: int
    """Pixels that it has in the label map."""
    iou: float
    """IoU with the true structure, as SAM predicts it; MedSAM does not: its stability."""
    stability: float
    """How little the mask changes with the cut-off, 0..1."""


@dataclass(frozen=True, eq=False)
class Instances:
    """What automatic mode found."""

    labels: Array
    """int32, shape of the volume in file order; 0 where there is no instance. Numbers rise from
    slice to slice; what lies in two slices has two numbers."""
    instances: tuple[Instance, ...]
    """Ordered by number."""


def sam_automatic(
    volume: Volume | npt.ArrayLike,
    *,
    sam: str | SamModel = DEFAULT_SAM,
    config: AutomaticConfig | dict[str, Any] | None = None,
    axis: int | str | None = None,
    intensity: IntensityConfig | dict[str, Any] | None = None,
    slices: Sequence[int] | None = None,
    progress: Progress = no_progress,
) -> Instances:
    """Find everything in every slice, without being told what to look for.

    Parameters
    ----------
    volume : Volume or array, shape (Z, Y, X) or (Y, X), channels last if RGB
        The image.
    sam : str or SamModel
        A name, or what :func:`~napari_fewshot.load_sam` gave. MedSAM was trained with boxes alone:
        at points its masks are what its decoder makes of what it was never shown.
    config : AutomaticConfig or dict, optional
        Points, filters, sizes, crops.
    axis : int or str, optional
        Axis of the slices: an integer in file order, ``"axial"``, ``"coronal"`` or
        ``"sagittal"``. None: axial where the file says how it lies, else 0.
    intensity : IntensityConfig or dict, optional
        How grey values become 0..1.
    slices : sequence of int, optional
        Slices along the axis in file order; None: all.
    progress : callable
        Called after every batch of points; it may raise ``Cancelled``.

    Raises
    ------
    InputError
        If a setting, an axis or a slice does not exist.
    WeightsError
        If the weights cannot be had.
    """
    settings = AutomaticConfig.of(config, "config")
    image = Volume.of(volume)
    model = load_sam(sam)
    work = VolumeSlices.of(image, axis, intensity, slices)
    labels = work.empty(np.int32)
    found: list[Instance] = []
    for number, plane, instances in everything_in(work, model, settings, progress):
        labels[number] = plane
        found += instances
    return Instances(work.in_file_order(labels), tuple(found))


def everything_in(
    work: VolumeSlices, model: SamModel, settings: AutomaticConfig, progress: Progress = no_progress
) -> Iterator[tuple[int, Array, list[Instance]]]:
    """Find everything slice by slice, as :func:`sam_automatic` does.

    Yields slices of the stack of ``work``, in its order, with their labels, int32, (H, W), whose
    numbers go on from slice to slice, and their instances.
    """
    count = 0
    for done, number in enumerate(work.numbers):
        step = _shifted(progress, done, len(work.numbers))
        proposals = propose_masks(model, work.stack, number, settings, step)
        plane, kept = paint_instances(proposals, work.stack.shape, settings, first=count + 1)
        index = work.file_slice(number)
        found = [
            Instance(name, index, area, one.iou, one.stability)
            for name, (one, area) in enumerate(kept, start=count + 1)
        ]
        count += len(found)
        yield number, plane, found


def _shifted(progress: Progress, before: int, parts: int) -> Progress:
    """Progress of one of several equal parts."""
    return lambda done, total, what: progress(before * total + done, parts * total, what)


def paint_instances(
    proposals: Sequence[Proposal],
    shape: tuple[int, int],
    config: AutomaticConfig,
    first: int = 1,
) -> tuple[Array, list[tuple[Proposal, int]]]:
    """Paint masks one over the other; numbers begin with ``first``.

    The smaller mask has the pixels that two share, and of equal ones that of higher predicted
    IoU; with ``on_top="better"`` the predicted IoU comes first. What is left of a mask under
    others is dropped where it is below the smallest area.

    Returns labels, int32, (H, W), and what has a number, in order, with its pixels.
    """
    smaller_on_top = config.on_top == "smaller"
    below_first = sorted(
        proposals, key=lambda p: (-p.area, p.iou) if smaller_on_top else (p.iou, -p.area)
    )
    places: Array = np.zeros(shape, np.int32)
    for place, one in enumerate(below_first, start=1):
        places[one.where][one.mask()] = place
    areas = np.bincount(places.ravel(), minlength=len(below_first) + 1)[1:]
    min_area, _ = config.areas(shape[0] * shape[1])
    shown = np.flatnonzero(areas >= max(1, min_area))
    numbers = np.zeros(len(below_first) + 1, np.int32)
    numbers[shown + 1] = np.arange(first, first + len(shown))
    return numbers[places], [(below_first[k], int(areas[k])) for k in shown]
