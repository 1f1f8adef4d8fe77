"""Automatic mode: everything that SAM sees in a volume, as an instance label map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import DEFAULT_SAM, AutomaticConfig, IntensityConfig
from ..types import Array, Progress, Volume, no_progress
from .instances import Instance, Instances, paint_instances
from .loaded import SamModel, VolumeSlices, load_sam, open_volume
from .proposing import propose_masks

__all__ = ["everything_in", "sam_automatic"]


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
        A name, or what :func:`~napari_fewshot.load_sam` gave.
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
        If a setting, an axis or a slice does not exist, or the SAM was trained with boxes alone.
    WeightsError
        If the weights cannot be had.
    """
    settings = AutomaticConfig.of(config, "config")
    image = Volume.of(volume)
    model = load_sam(sam)
    work = open_volume(image, axis, intensity, slices)
    labels = work.empty(np.int32)
    found: list[Instance] = []
    for number, plane, instances in everything_in(work, model, settings, progress):
        labels[number] = plane
        found += instances
    return Instances(work.in_file_order(labels), tuple(found))


def everything_in(
    work: VolumeSlices, model: SamModel, settings: AutomaticConfig, progress: Progress = no_progress
) -> Iterator[tuple[int, Array, list[Instance]]]:
    """Find everything slice by slice; :func:`sam_automatic` puts it together.

    Parameters
    ----------
    work : VolumeSlices
        The slices, in the order in which they are wanted.
    model : SamModel
        What finds it.
    settings : AutomaticConfig
        Points, filters, sizes, crops.
    progress : callable
        Called after every batch of points; it may raise ``Cancelled``.

    Yields
    ------
    number : int
        Slice of the stack of ``work``.
    labels : int array, shape (H, W)
        Numbers of instances go on from slice to slice.
    instances : list of Instance
        Those of this slice.
    """
    model.require_points()
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
