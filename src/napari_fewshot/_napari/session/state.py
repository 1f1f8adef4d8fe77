"""What is known in a session: templates, model, results, scores. Nothing of Qt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from psygnal import Signal, SignalGroup

from ...errors import InputError
from ...features.cache import FeatureCache
from ...predict.suggestion import SliceScore
from ...segmenter import FewShotSegmenter, HeldOutScore
from ..layers import level_like
from .estimates import Rates
from .provenance import provenance_of
from .result_layers import Policy, ResultLayers
from .settings import SessionSettings
from .slicing import Key
from .templates import TemplateEntry

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

    ``results`` and scores go by the identity of the image layer. ``renumbered``: labels of the
    model's landmarks as the layers have them. ``extracted``: images whose features are there, by
    backbone.
    """

    events: SessionEvents = field(default_factory=SessionEvents)
    settings: SessionSettings = field(default_factory=SessionSettings)
    entries: list[TemplateEntry] = field(default_factory=list)
    results: dict[int, ResultLayers] = field(default_factory=dict)
    model: FewShotSegmenter | None = None
    renumbered: dict[int, int] = field(default_factory=dict)
    scores: HeldOutScore | None = None
    slice_scores: dict[tuple[int, Key, int], dict[int, SliceScore]] = field(default_factory=dict)
    rates: Rates = field(default_factory=Rates)
    extracted: set[tuple[int, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.cache = FeatureCache(self.settings.memory_mb)

    def result_of(self, image: Any) -> ResultLayers | None:
        """Layers that propagation wrote for an image, as far as they are still there."""
        found = self.results.get(id(image))
        if found is None or found.image is not image:
            return None
        if not found.has_labels:
            found.labels = None
        return found

    def entries_of(self, image: Any) -> list[TemplateEntry]:
        """Templates of an image."""
        return [entry for entry in self.entries if entry.image is image]

    def images_of(self, labels: Any) -> list[Any]:
        """Images that a layer is the result of, or a template of."""
        results = [] if labels is None else self.results.values()  # some have no labels any more
        found = [result.image for result in results if result.labels is labels]
        return found + [entry.image for entry in self.entries if entry.labels is labels]

    def sources(self) -> list[TemplateEntry]:
        """All that teaches: templates, and what was corrected or accepted in results."""
        found = list(self.entries)
        mine = {id(entry.labels) for entry in found}
        results = [entry for result in self.results.values() if (entry := _entry_of(result))]
        return found + [entry for entry in results if id(entry.labels) not in mine]

    def retire_result(self, image: Any) -> None:
        """The result of an image makes way for another; what was accepted in it still teaches."""
        before = self.result_of(image)
        entry = None if before is None else _entry_of(before)
        if entry is None or any(one.labels is entry.labels for one in self.entries):
            return
        if entry.taught():
            self.entries.append(entry)
            self.events.templates.emit()

    def result_for(
        self, viewer: Any, image: Any, level: int, into: Any, policy: Policy
    ) -> ResultLayers:
        """Layers to write to; what was accepted in a result that is replaced still teaches."""
        before = target = self.result_of(image)
        if before is not None and into not in (None, before.labels):
            self.retire_result(image)
        if target is None or policy == "new":
            self.retire_result(image)
            target = ResultLayers(viewer, image, level)
            if before is not None and before.labels is None:  # what is left of one that went
                target.confidence, target.landmarks = before.confidence, before.landmarks
            self.results[id(image)] = target
        if any(entry.labels is target.landmarks for entry in self.entries):
            target.landmarks = None  # a person learns from these points: others go beside them
        return target

    def others_in(self, into: Any, image: Any) -> list[ResultLayers]:
        """Results of other images that a layer holds; it is to hold one of this image instead.

        InputError if a person painted or marked something there that is of another image.
        """
        if into is None:
            return []
        images, provenance = self.images_of(into), provenance_of(into)
        if image not in images and images and provenance is not None and provenance.is_taught:
            raise InputError(
                f"into ({into.name})",
                "hold nothing that a person painted or marked for another image",
                f"paint of {images[0].name}",
                "Choose a new layer.",
            )
        results = self.results.values()
        return [one for one in results if one.labels is into and one.image is not image]

    def labels_like(self, image: Any) -> Any:
        """Labels layer whose names and colours a new result of an image takes over."""
        entries = [*self.entries_of(image), *self.entries]
        return next((e.labels for e in entries if e.kind != "points"), None)

    def level_of(self, image: Any) -> int:
        """Level of a multiscale image that is worked on."""
        result = self.results.get(id(image))
        if result is not None and result.image is image:
            return result.level
        return next((e.level for e in self.entries_of(image)), level_like(image))

    def label_names(self) -> dict[int, str]:
        """Names of the labels of the templates and the model."""
        found = {} if self.model is None else self.model.names_
        for entry in self.entries:
            found |= entry.names()
        return found

    def label_colours(self) -> dict[int, tuple[float, ...]]:
        """Colour (R, G, B, A in 0..1) of each label, as its layer shows it."""
        layer = self.labels_like(None)
        if layer is None:
            return {}
        values = self.label_names() if self.model is None else self.model.label_values_
        return {v: tuple(float(c) for c in layer.get_color(v)) for v in values}

    def scores_of(self, image: Any, lead: Key, axis: int) -> dict[int, SliceScore]:
        """What propagation noted of the slices of an image along an axis."""
        return self.slice_scores.setdefault((id(image), lead, axis), {})

    def forget_scores(self, image: Any) -> None:
        """Its slices are predicted no longer."""
        for place in [place for place in self.slice_scores if place[0] == id(image)]:
            del self.slice_scores[place]


def _entry_of(result: ResultLayers) -> TemplateEntry | None:
    """A result as a source of what a person corrected or accepted in it."""
    provenance = result.provenance
    if provenance is None:
        return None
    return TemplateEntry(result.image, result.labels, "dense", provenance.slicing, result.level)
