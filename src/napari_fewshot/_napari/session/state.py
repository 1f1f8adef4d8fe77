"""What is set and known in a session: settings, templates, model, results. Nothing of Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from psygnal import Signal, SignalGroup

from ...adapters import ADAPTERS
from ...backbones import backbone_entry
from ...config import CACHE_LIMIT_MB, SegmenterConfig, StageConfig
from ...device import choose_device
from ...errors import InputError, NotFittedError, UnknownNameError
from ...features.cache import FeatureCache
from ...predict.suggestion import SliceScore
from ...sam.checkpoint import SAMS
from ...segmenter import FewShotSegmenter, HeldOutScore
from ..layers import level_like, shape_of
from ..preferences import preferences, preferred_device
from .channels import ChannelSets
from .estimates import Rates
from .found_points import FoundPoints, is_placed
from .result_layers import Policy, ResultLayers
from .slicing import Key, Slicing
from .teaching import KEY, Aid, provenance_of
from .templates import TemplateEntry

__all__ = ["SessionEvents", "SessionSettings", "State"]

_OWN = ("axis", "device", "memory_mb", "sam_weights", "template_kind", "weights")


@dataclass(frozen=True)
class SessionSettings:
    """Settings of a session; change them with :meth:`Session.configure`.

    Parameters
    ----------
    config : SegmenterConfig
        Settings of all stages.
    weights : Path, optional
        Local checkpoint of the backbone.
    sam_weights : dict of str to Path
        Local checkpoints, by the name of the SAM that they are of. A path that is given to
        :meth:`Session.configure` counts for every SAM, None takes all back; a dict changes those
        that it names.
    device : str
        As :class:`~napari_fewshot.FewShotSegmenter` takes it.
    axis : int, optional
        Working axis among the spatial ones; None: the one that is sliced in the viewer.
    template_kind : {"dense", "scribble"}
        How Labels layers that are added from now on were painted.
    memory_mb : float
        Most memory of the features that are kept for the next training.
    """

    config: SegmenterConfig = field(default_factory=SegmenterConfig)
    weights: Path | None = None
    device: str = "auto"
    axis: int | None = None
    template_kind: Literal["dense", "scribble"] = "dense"
    memory_mb: float = CACHE_LIMIT_MB
    sam_weights: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def preferred(cls) -> SessionSettings:
        """Settings of a new session, by the preferences of napari."""
        wanted = preferences()
        changes = {"device": preferred_device(wanted), "backbone": wanted.backbone}
        return cls().changed(changes)

    @property
    def backbone(self) -> str:
        """Name of the backbone."""
        return self.config.backbone

    @property
    def adapter(self) -> str:
        """Name of the adapter."""
        return self.config.adapter

    @property
    def position(self) -> bool:
        """Whether position counts as a feature."""
        return self.config.position.use

    @property
    def of_adapter(self) -> StageConfig:
        """Settings of the chosen adapter."""
        return self.config.adapter_config

    def sam_file(self, name: str) -> Path | None:
        """Local checkpoint of a SAM; None: fetched."""
        return self.sam_weights.get(name)

    def changed(self, changes: dict[str, Any]) -> SessionSettings:
        """Return these settings with some of them changed; a wrong name or value is refused."""
        own = {name: changes[name] for name in _OWN if name in changes}
        stages = {name: value for name, value in changes.items() if name not in _OWN}
        if isinstance(stages.get("position"), bool):
            stages["position"] = {"use": stages["position"]}
        if "of_adapter" in stages:
            values = stages.pop("of_adapter")
            section = str(stages.get("adapter", self.adapter)).replace("-", "_")
            stages[section] = dict(values)
        known = {*SegmenterConfig.model_fields, *_OWN, "of_adapter"}
        for name in stages:
            if name not in known:
                raise UnknownNameError("setting", name, known)
        config = self.config.changed(stages) if stages else self.config
        ADAPTERS.get(config.adapter)
        backbone_entry(config.backbone)
        if "weights" in own:
            own["weights"] = _file("weights", own["weights"])
        elif "backbone" not in stages and config.backbone != self.backbone:
            own["weights"] = None  # a preset chose another network
        if "sam_weights" in own:
            own["sam_weights"] = self._sam_weights(own["sam_weights"])
        _check(own)
        return replace(self, config=config, **own)

    def _sam_weights(self, given: Any) -> dict[str, Path]:
        """Files of the SAMs with those that are given."""
        if not isinstance(given, Mapping):
            given = dict.fromkeys(SAMS, given)
        for name in given:
            if name not in SAMS:
                raise UnknownNameError("sam_weights", name, list(SAMS))
        new = {name: _file("sam_weights", file) for name, file in given.items()}
        return {name: file for name, file in {**self.sam_weights, **new}.items() if file}


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
    channels: ChannelSets = field(default_factory=ChannelSets)

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
        """Images that a layer is the result of, a template of, or there to be clicked into for."""
        aid = None if labels is None else labels.metadata.get(KEY)
        if isinstance(aid, Aid):
            return [aid.image]
        results = [] if labels is None else self.results.values()  # some have no labels any more
        found = [r.image for r in results if labels is r.labels or labels is r.landmarks]
        return found + [entry.image for entry in self.entries if entry.labels is labels]

    def labels_of(self, image: Any) -> list[Any]:
        """Layers that are the result of an image, or a template of it."""
        found = [entry.labels for entry in self.entries_of(image)]
        return found + [r.labels for r in self.results.values() if r.image is image and r.labels]

    def owner_of(self, labels: Any, image: Any) -> str:
        """Name of another image that a layer is of, also of one that was removed; else empty."""
        images, provenance = self.images_of(labels), provenance_of(labels)
        if images:
            return "" if image in images else str(images[0].name)
        gone = "" if provenance is None else provenance.gone
        return "" if image is not None and image.name == gone else gone

    def sources(self) -> list[TemplateEntry]:
        """All that teaches: templates, and what was corrected or accepted in results."""
        found = list(self.entries)
        mine = {id(entry.labels) for entry in found}
        results = [entry for result in self.results.values() if (entry := _entry_of(result))]
        results += [e for result in self.results.values() if (e := self._placed_in(result))]
        return found + [entry for entry in results if id(entry.labels) not in mine]

    def _placed_in(self, result: ResultLayers) -> TemplateEntry | None:
        """Landmarks of a result that a person moved, as a source."""
        if not result.has_landmarks or not is_placed(result.landmarks.features).any():
            return None
        shape = shape_of(result.image, result.level)
        marked = (e.slicing.axis for e in self.entries if e.kind == "points")
        labels = result.provenance
        axis = next(marked, 0) if labels is None else labels.slicing.axis
        slicing = Slicing(shape, min(axis, len(shape) - 1))
        own = (slicing, result.level)
        return TemplateEntry(result.image, result.landmarks, "points", *own, placed_only=True)

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
                target.take_landmarks(before)
            self.results[id(image)] = target
        if any(entry.labels is target.landmarks for entry in self.entries):
            # A person learns from these points: others go beside them.
            target.landmarks, target.found = None, FoundPoints()
        return target

    def others_in(self, into: Any, image: Any) -> list[ResultLayers]:
        """Results of other images that a layer holds; it is to hold one of this image instead.

        InputError if a person painted or marked something there that is of another image.
        """
        if into is None:
            return []
        owner, provenance = self.owner_of(into, image), provenance_of(into)
        if owner and provenance is not None and provenance.is_taught:
            raise InputError(
                f"into ({into.name})",
                "hold nothing that a person painted or marked for another image",
                f"paint of {owner}",
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

    def fitted(self) -> FewShotSegmenter:
        """The model."""
        if self.model is None:
            raise NotFittedError("There is no model yet: train one, or load one.")
        return self.model

    def require_templates(self) -> None:
        """Refuse what needs templates where there are none."""
        if not self.sources():
            raise InputError("templates", "be added first", "none", "Add an image with its labels.")

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


def _check(own: dict[str, Any]) -> None:
    if own.get("device", "auto") not in ("auto", "cpu"):  # asking needs torch
        choose_device(own["device"])
    if own.get("template_kind", "dense") not in ("dense", "scribble"):
        raise InputError("template_kind", "be dense or scribble", own["template_kind"])
    if own.get("axis") not in (None, 0, 1, 2):
        raise InputError("axis", "be None or a number 0..2", own["axis"])
    if not float(own.get("memory_mb", 0)) >= 0:
        raise InputError("memory_mb", "be at least 0", own["memory_mb"])


def _file(name: str, given: Any) -> Path | None:
    if given is None:
        return None
    if not Path(given).is_file():
        raise InputError(name, "be an existing file", given)
    return Path(given)
