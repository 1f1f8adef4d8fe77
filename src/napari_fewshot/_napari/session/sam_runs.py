"""Jobs in which SAM segments an image without an adapter: everything, or what is in boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import AutomaticConfig, RegionConfig
from ...device import avoid_llvm_clash
from ...errors import InputError, UnknownNameError
from ...features.store import FeatureStore
from ...sam.checkpoint import SAMS
from ...types import Array
from ..annotations import boxes_in
from ..layers import image_volume, shape_of
from .jobs import Job
from .learning import limit_store
from .results import geometry_of
from .runs import order_from
from .view import lead_in_view, slice_in_view

if TYPE_CHECKING:
    from ...sam.model import SamModel, VolumeSlices
    from .state import State

    Find = Callable[[VolumeSlices, SamModel, Job], Iterator[tuple[int, Array, int]]]
    """Gives slices of the stack, their labels, and how many objects are new on them."""

__all__ = ["segment_boxes", "segment_everything"]


def segment_everything(
    state: State, image: Any, sam: str, config: AutomaticConfig, slices: Sequence[int] | None
) -> Job:
    """Start automatic mode; its labels layer is made when the first slice has come."""

    def find(work: VolumeSlices, model: SamModel, job: Job) -> Iterator[tuple[int, Array, int]]:
        from ...sam.automatic import everything_in

        for number, plane, instances in everything_in(work, model, config, job.progress):
            yield number, plane, len(instances)

    name = f"Segmenting everything in {image.name}"
    return _start(state, image, sam, slices, find, name, "objects")


def segment_boxes(
    state: State,
    image: Any,
    shapes: Any,
    sam: str,
    label: int | None,
    config: RegionConfig,
    slices: Sequence[int] | None,
) -> Job:
    """Start segmenting what is in the boxes of a shapes layer.

    Raises
    ------
    InputError
        If no box lies in the image, in these slices, or one lies in several.
    """
    slicing = state.slicing_of(image)
    axis = slicing.axis if slicing.spatial == 3 else 0
    first = slice_in_view(state.viewer, image, slicing) or 0
    lead, level = lead_in_view(state.viewer, image), state.level_of(image)
    boxes = boxes_in(shapes, image, axis=axis, here=first, label=label, lead=lead, level=level)
    if slicing.spatial == 3:
        for one in boxes:
            if one.first[axis] != one.last[axis]:
                raise InputError(
                    f"boxes ({shapes.name})",
                    "lie in one slice each",
                    f"{one.first} to {one.last}",
                    "Draw them while the slider goes from slice to slice.",
                )
        here = {int(one.first[axis]) for one in boxes}
        ordered = order_from(first, slicing.count) if slices is None else list(slices)
        slices = [index for index in ordered if index in here]
        boxes = [one for one in boxes if one.first[axis] in slices]
    if not boxes:
        raise InputError(
            f"boxes ({shapes.name})",
            f"have a shape on the slices of {image.name}",
            "none",
            "Draw a rectangle round what is to be segmented.",
        )

    def find(work: VolumeSlices, model: SamModel, job: Job) -> Iterator[tuple[int, Array, int]]:
        from ...sam.prompted import in_boxes

        for number, plane in in_boxes(work, boxes, model, config, job.progress):
            yield number, plane, len(np.unique(plane[plane > 0]))

    name = f"Segmenting the boxes of {shapes.name}"
    return _start(state, image, sam, slices, find, name, "in boxes")


def _start(
    state: State,
    image: Any,
    sam: str,
    slices: Sequence[int] | None,
    find: Find,
    name: str,
    what: str,
) -> Job:
    if sam not in SAMS:
        raise UnknownNameError("sam", sam, list(SAMS))
    settings, slicing = state.settings, state.slicing_of(image)
    lead, level = lead_in_view(state.viewer, image), state.level_of(image)
    volume = image_volume(image, lead, level)
    first = slice_in_view(state.viewer, image, slicing)
    order = order_from(first, slicing.count) if slices is None else list(dict.fromkeys(slices))
    axis = None if volume.ndim == 2 else slicing.axis
    target: list[Any] = []

    def run(job: Job) -> int:
        avoid_llvm_clash()
        from ...sam.model import VolumeSlices, load_sam

        model = load_sam(
            sam,
            weights=settings.sam_file(sam),
            device=settings.device,
            store=FeatureStore(),
            cache=state.cache,
        )
        work = VolumeSlices.of(volume, axis, settings.config.intensity, order)
        labels = work.empty(np.int32)
        stack, count = work.stack, 0
        in_file = stack.to_file(labels)
        for number, plane, new in find(work, model, job):
            labels[number] = plane
            index = work.file_slice(number)
            shown = in_file if volume.ndim == 2 else np.moveaxis(in_file, slicing.axis, 0)[index]
            job.send((index, shown.copy()))
            count += new
        limit_store()
        return count

    def piece(part: tuple[int, Array]) -> None:
        index, plane = part
        if image not in state.viewer.layers:
            return
        if not target:
            layer = state.viewer.add_labels(
                np.zeros(shape_of(image, level), np.int32),
                name=f"{image.name} {what}",
                **geometry_of(image, level),
            )
            target.append(layer)
            job.layers.append(layer)
        if target[0] in state.viewer.layers:
            place = slicing.index((*lead, index))
            now = np.asarray(target[0].data[place])
            # A slice comes once: what is on it by now, a person has painted.
            target[0].data[place] = np.where(now != 0, now, plane)
            target[0].refresh()

    job = Job(name, "sam", run, layers=[image], on_piece=piece)
    return state.runner.start(job)
