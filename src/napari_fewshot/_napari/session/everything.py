"""Automatic mode of SAM on an image, as a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backbones.sam import SAMS
from ...config import AutomaticConfig
from ...device import avoid_llvm_clash
from ...errors import UnknownNameError
from ...features.planes import from_stack
from ...features.store import FeatureStore
from ...types import Array
from ..to_core import image_volume, shape_of
from .jobs import Job
from .results import geometry_of
from .runs import order_from
from .view import lead_in_view, slice_in_view

if TYPE_CHECKING:
    from .state import State

__all__ = ["segment_everything"]


def segment_everything(
    state: State, image: Any, sam: str, config: AutomaticConfig, slices: Sequence[int] | None
) -> Job:
    """Start the job; its labels layer is made when the first slice has come."""
    if sam not in SAMS:
        raise UnknownNameError("sam", sam, list(SAMS))
    settings, slicing = state.settings, state.slicing_of(image)
    lead, level = lead_in_view(state.viewer, image), state.level_of(image)
    volume = image_volume(image, lead, level)
    first = slice_in_view(state.viewer, image, slicing)
    order = order_from(first, slicing.count) if slices is None else list(slices)
    axis = None if volume.ndim == 2 else slicing.axis
    target: list[Any] = []

    def run(job: Job) -> int:
        avoid_llvm_clash()
        from ...prompting import load_sam
        from ...prompting.automatic import everything_in
        from ...prompting.loaded import open_volume

        model = load_sam(
            sam,
            weights=settings.sam_weights,
            device=settings.device,
            store=FeatureStore(),
            cache=state.cache,
        )
        work = open_volume(volume, axis, settings.config.intensity, order)
        labels = work.empty(np.int32)
        stack, count = work.stack, 0
        in_file = from_stack(labels, stack.frame, stack.axis, volume.ndim)
        found = everything_in(work, model, config, lambda *_: job.check())
        for done, (number, plane, instances) in enumerate(found, start=1):
            labels[number] = plane
            index = work.file_slice(number)
            shown = in_file if volume.ndim == 2 else np.moveaxis(in_file, slicing.axis, 0)[index]
            job.send((index, shown.copy()))
            count += len(instances)
            job.progress(done, len(order), "slices")
        return count

    def piece(part: tuple[int, Array]) -> None:
        index, plane = part
        if not target:
            layer = state.viewer.add_labels(
                np.zeros(shape_of(image, level), np.int32),
                name=f"{image.name} objects",
                **geometry_of(image, level),
            )
            target.append(layer)
        if target[0] in state.viewer.layers:
            target[0].data[slicing.index((*lead, index))] = plane
            target[0].refresh()

    name = f"Segmenting everything in {image.name}"
    return state.runner.start(Job(name, "everything", run, on_piece=piece))
