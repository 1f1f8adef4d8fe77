"""Jobs in which SAM segments an image without an adapter: everything, or what is in boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import AutomaticConfig, RegionConfig
from ...errors import InputError, UnknownNameError
from ...sam.checkpoint import SAMS
from ...templates import Template
from ...types import Array
from ..annotations import boxes_in
from ..layers import geometry_of, image_volume, shape_of
from ..preferences import open_store
from .jobs import Callbacks, Job, JobRunner
from .state import State
from .view import View

if TYPE_CHECKING:
    from ...sam.model import SamModel, VolumeSlices

    Find = Callable[[VolumeSlices, SamModel, Job], Iterator[tuple[int, Array, int]]]
    """Gives slices of the stack, their labels, and how many objects are new on them."""

__all__ = ["SamController"]


class SamController:
    """Starts SAM on images; a labels layer is made when the first slice has come."""

    def __init__(self, state: State, runner: JobRunner, view: View) -> None:
        self._state, self._runner, self._view = state, runner, view

    def segment_everything(
        self, image: Any, sam: str, slices: Sequence[int] | None, settings: dict[str, Any]
    ) -> Job:
        """Start automatic mode."""
        config = AutomaticConfig.of(settings, "settings")

        def find(work: VolumeSlices, model: SamModel, job: Job) -> Iterator[tuple[int, Array, int]]:
            from ...sam.automatic import everything_in

            for number, plane, instances in everything_in(work, model, config, job.progress):
                yield number, plane, len(instances)

        name = f"Segmenting everything in {image.name}"
        return self._start(image, sam, slices, find, name, "objects")

    def segment_boxes(
        self,
        image: Any,
        shapes: Any,
        sam: str,
        label: int | None,
        slices: Sequence[int] | None,
        settings: dict[str, Any],
    ) -> Job:
        """Start segmenting what is in the boxes of a shapes layer.

        InputError if no box lies in the image, in these slices, or one lies in several.
        """
        if label is not None and label < 1:
            raise InputError("label", "be at least 1", label)
        config = RegionConfig.of(settings, "settings")
        slicing = self._view.slicing_of(image)
        axis = slicing.axis if slicing.spatial == 3 else 0
        first = self._view.slice_of(image) or 0
        lead, level = self._view.lead(image), self._state.level_of(image)
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
            ordered = slicing.order_from(first) if slices is None else list(slices)
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
            from ...sam.regions import in_boxes

            for number, plane in in_boxes(work, boxes, model, config, job.progress):
                yield number, plane, len(np.unique(plane[plane > 0]))

        name = f"Segmenting the boxes of {shapes.name}"
        return self._start(image, sam, slices, find, name, "in boxes")

    def segment_like(
        self, image: Any, sam: str, slices: Sequence[int] | None, templates: Sequence[Template]
    ) -> Job:
        """Start PerSAM with painted slices of templates; InputError if there are none."""
        if not any(one.painted_labels() for one in templates):
            raise InputError("templates", "have paint to look for", "none", "Paint a slice.")
        intensity = self._state.settings.config.intensity

        def find(work: VolumeSlices, model: SamModel, job: Job) -> Iterator[tuple[int, Array, int]]:
            from ...sam.personal import PersonalSam

            learned = PersonalSam.learn(templates, sam=model, intensity=intensity)
            for number, canvas in learned.canvases(work, job.progress):
                yield number, canvas.labels, len(np.unique(canvas.labels)) - 1

        name = f"Looking for what is painted in {image.name}"
        return self._start(image, sam, slices, find, name, "like the templates")

    def _start(
        self,
        image: Any,
        sam: str,
        slices: Sequence[int] | None,
        find: Find,
        name: str,
        what: str,
    ) -> Job:
        if sam not in SAMS:
            raise UnknownNameError("sam", sam, list(SAMS))
        settings, view = self._state.settings, self._view
        slicing, lead, level = view.slicing_of(image), view.lead(image), self._state.level_of(image)
        volume, cache = image_volume(image, lead, level), self._state.cache
        everywhere = slicing.order_from(view.slice_of(image))
        order = everywhere if slices is None else list(dict.fromkeys(slices))
        axis = None if volume.ndim == 2 else slicing.axis
        target: list[Any] = []

        def run(job: Job) -> int:
            from ...sam.model import VolumeSlices, load_sam

            weights, store = settings.sam_file(sam), open_store()
            model = load_sam(sam, weights=weights, device=settings.device, store=store, cache=cache)
            work = VolumeSlices.of(volume, axis, settings.config.intensity, order)
            labels = work.empty(np.int32)
            count = 0
            in_file = work.stack.to_file(labels)
            for number, plane, new in find(work, model, job):
                labels[number] = plane
                index = work.file_slice(number)
                shown = in_file if axis is None else np.moveaxis(in_file, axis, 0)[index]
                job.send((index, shown.copy()))
                count += new
            return count

        def piece(part: tuple[int, Array]) -> None:
            index, plane = part
            if image not in view.viewer.layers:
                return
            if not target:
                empty = np.zeros(shape_of(image, level), np.int32)
                options = {"name": f"{image.name} {what}", **geometry_of(image, level)}
                target.append(view.viewer.add_labels(empty, **options))
                job.layers.append(target[0])
            if target[0] in view.viewer.layers:
                place = slicing.index((*lead, index))
                now = np.asarray(target[0].data[place])
                # A slice comes once: what is on it by now, a person has painted.
                target[0].data[place] = np.where(now != 0, now, plane)
                target[0].refresh()

        callbacks = Callbacks(piece=piece)
        job = Job(name, "sam", run, callbacks, layers=[image], stores_features=True)
        return self._runner.start(job)
