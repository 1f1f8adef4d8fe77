"""What the parts of a session share."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

from psygnal import Signal, SignalGroup

from ...errors import FewShotError
from ...features.cache import FeatureCache
from ...predict.suggestion import SliceScore
from ...segmenter import FewShotSegmenter, HeldOutScore
from ...types import Array
from ..layers import level_like, shape_of
from .activity import Activity
from .estimates import Rates
from .jobs import Job, JobRunner
from .results import ResultLayers
from .settings import SessionSettings
from .slicing import Key, Slicing
from .templates import TemplateEntry
from .view import sliced_axis

__all__ = ["SessionEvents", "State"]


class SessionEvents(SignalGroup):
    """What a session tells; all on the GUI thread."""

    settings = Signal()
    templates = Signal()
    slices = Signal()
    trained = Signal()
    scored = Signal()
    propagated = Signal()
    layers = Signal()
    job = Signal(object)
    failed = Signal(str)


@dataclass(eq=False)
class State:
    """Templates, model and results of one viewer.

    Parameters
    ----------
    viewer_reference : weak reference
        Of the viewer, which a session must not keep alive.
    """

    viewer_reference: weakref.ReferenceType[Any]
    events: SessionEvents = field(default_factory=SessionEvents)
    settings: SessionSettings = field(default_factory=SessionSettings)
    entries: list[TemplateEntry] = field(default_factory=list)
    results: dict[int, ResultLayers] = field(default_factory=dict)
    model: FewShotSegmenter | None = None
    renumbered: dict[int, int] = field(default_factory=dict)
    scores: HeldOutScore | None = None
    slice_scores: dict[tuple[int, Key, int], dict[int, SliceScore]] = field(default_factory=dict)
    descriptors: list[Array] = field(default_factory=list)
    rates: Rates = field(default_factory=Rates)
    extracted: set[tuple[int, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.cache = FeatureCache(self.settings.memory_mb)
        self.activity = Activity()
        self.runner = JobRunner(self._on_job, self.activity.show)

    @property
    def viewer(self) -> Any:
        """The viewer.

        Raises
        ------
        FewShotError
            If it was closed.
        """
        viewer = self.viewer_reference()
        if viewer is None:
            raise FewShotError("The viewer of this session was closed.")
        return viewer

    def result_of(self, image: Any) -> ResultLayers | None:
        """Layers that propagation wrote for an image, as far as they are still there."""
        found = self.results.get(id(image))
        if found is None or found.image is not image:
            return None
        if found.labels is not None and found.labels not in self.viewer.layers:
            found.labels = None
        return found

    def scores_of(self, image: Any, lead: Key) -> dict[int, SliceScore]:
        """What propagation noted of the slices of an image along its working axis."""
        place = (id(image), lead, self.slicing_of(image).axis)
        return self.slice_scores.setdefault(place, {})

    def forget_scores(self, image: Any) -> None:
        """Its slices are predicted no longer."""
        for place in [place for place in self.slice_scores if place[0] == id(image)]:
            del self.slice_scores[place]

    def entries_of(self, image: Any) -> list[TemplateEntry]:
        """Templates of an image."""
        return [entry for entry in self.entries if entry.image is image]

    def images_of(self, labels: Any) -> list[Any]:
        """Images that a layer is the result of, or a template of."""
        results = [] if labels is None else self.results.values()  # some have no labels any more
        found = [result.image for result in results if result.labels is labels]
        return found + [entry.image for entry in self.entries if entry.labels is labels]

    def retire_result(self, image: Any) -> None:
        """The result of an image makes way for another; what was accepted in it still teaches."""
        before = self.result_of(image)
        if before is None or before.labels is None or before.provenance is None:
            return
        slicing = before.provenance.slicing
        entry = TemplateEntry(image, before.labels, "dense", slicing, before.level)
        mine = any(one.labels is before.labels for one in self.entries)
        if entry.places() and not mine:
            self.entries.append(entry)
            self.events.templates.emit()

    def sources(self) -> list[TemplateEntry]:
        """All that teaches: templates, and what was corrected or accepted in results."""
        found = list(self.entries)
        mine = {id(entry.labels) for entry in found}
        for result in self.results.values():
            provenance = result.provenance
            if provenance is not None and id(result.labels) not in mine:
                found.append(
                    TemplateEntry(
                        result.image, result.labels, "dense", provenance.slicing, result.level
                    )
                )
        return found

    def slicing_of(self, image: Any) -> Slicing:
        """How the slices of an image are counted: as its labels, else as set or viewed."""
        result = self.result_of(image)
        if result is not None and result.provenance is not None:
            return result.provenance.slicing
        for entry in self.entries_of(image):
            return Slicing(shape_of(image, entry.level), entry.slicing.axis)
        return Slicing(shape_of(image, level_like(image)), self.axis_for(image))

    def axis_for(self, image: Any) -> int:
        """Working axis of an image that has no labels yet."""
        if self.settings.axis is None:
            return sliced_axis(self.viewer, image)
        return min(self.settings.axis, min(3, len(shape_of(image))) - 1)

    def level_of(self, image: Any) -> int:
        """Level of a multiscale image that is worked on."""
        result = self.results.get(id(image))
        if result is not None and result.image is image:
            return result.level
        return next((e.level for e in self.entries_of(image)), level_like(image))

    def _on_job(self, job: Job) -> None:
        self.activity.show(job)
        self.events.job.emit(job)
        if job.state == "failed":
            from napari.utils.notifications import show_error

            text = f"{job.name} failed: {job.error}"
            show_error(text)
            self.events.failed.emit(text)
