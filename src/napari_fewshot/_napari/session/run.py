"""One prediction of an image: what is asked for, and what it writes, piece by piece."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from ...config import NO_REFINEMENT
from ...errors import InputError
from ...predict.slice_predictor import SlicePrediction, SlicePredictor
from ...predict.suggestion import SliceScore
from ...segmenter import FUSED, FewShotSegmenter, Prediction
from ...types import Array, Landmark, Volume
from ..layers import label_features
from ..wording import SLICE_IN_VIEW
from .generations import Generations
from .result_layers import POLICIES, Policy, ResultLayers
from .slicing import Key, Slicing
from .teaching import provenance_of
from .templates import TemplateEntry
from .undo import UndoStep

__all__ = ["PropagationRequest", "Receiver", "Run", "placed_in_model", "topic_of"]

_TELL_EVERY_S = 0.5
_SHOW_EVERY_S = 2.0
"""A slice that is not in view need not be drawn; views across slices are drawn now and then."""


class Receiver(Protocol):
    """Takes what a worker finds: a job, or one image of a job of several."""

    def send(self, piece: Any) -> None:
        """Hand a slice over."""

    def progress(self, done: int, total: int, what: str) -> None:
        """Tell how far it is; raises ``Cancelled`` if nobody wants it."""

    def check(self) -> None:
        """Raise ``Cancelled`` if nobody wants it."""


@dataclass(frozen=True)
class PropagationRequest:
    """What is asked for; a worker may read it.

    ``into``: labels layer; None: the result layer of the image, made if there is none.
    ``landmarks``: None: if points were learned; of painted labels, nobody asked for their centres.
    ``slices``: None: all. ``current_slice_only``: the one in view, quickly. ``preview``: the one in
    view first, even before its neighbours are there for smoothing. ``all_planes``: in the end by
    the mean of three planes, of which those that nobody painted are learned.
    """

    into: Any = None
    policy: Policy = "new"
    confidence: bool = True
    landmarks: bool | None = None
    slices: Sequence[int] | None = None
    current_slice_only: bool = False
    preview: bool = True
    all_planes: bool = False

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise InputError("policy", f"be one of {', '.join(POLICIES)}", self.policy)
        if self.all_planes and self.policy == "fill":  # the painted plane fills all that is empty
            raise InputError("policy", "be new or overwrite with all_planes", self.policy)
        if self.into is not None and self.policy == "new":
            object.__setattr__(self, "policy", "overwrite")

    def looks_for_landmarks(self, model: FewShotSegmenter) -> bool:
        """Whether landmarks are looked for with a model: they need the whole volume."""
        if self.slices is not None or self.current_slice_only:
            return False
        return bool(model.point_labels_) if self.landmarks is None else self.landmarks

    def fuses_planes(self, model: FewShotSegmenter) -> bool:
        """Whether labels come from three planes in the end: they need the whole volume."""
        is_whole = self.slices is None and not self.current_slice_only
        return self.all_planes and is_whole and model.fuses_planes_


@dataclass
class Run:
    """One prediction of one image (at one place of its leading axes), piece by piece.

    ``entries`` are templates of the same image: their slices are copied, not predicted, and so
    are strokes. ``renumbered``: labels of landmarks as the layers have them. ``told`` is called
    when slices were written, a few times a second. ``generation`` numbers the request. ``placed``
    are points that a person moved, with labels as the layers have them. ``models``:
    that of the session, and it with the settings of this propagation, as far as they are there.
    ``moved_to``: slice in view when the last piece came.
    """

    request: PropagationRequest
    generation: int
    target: ResultLayers
    entries: Sequence[TemplateEntry]
    volume: Volume
    slicing: Slicing
    lead: Key
    in_view: Callable[[], int | None]
    told: Callable[[], None]
    renumbered: dict[int, int] = field(default_factory=dict)
    scores: dict[int, SliceScore] = field(default_factory=dict)
    placed: Sequence[Landmark] = ()
    step: UndoStep | None = None
    models: tuple[FewShotSegmenter, FewShotSegmenter] | None = None
    moved_to: int | None = None
    _shown: float = 0.0
    _told: float = 0.0
    _draws: bool = False
    _adds_confidence: bool = False
    _rewrites: bool = False
    _looks: bool = False
    _hidden: tuple[int, ...] = ()
    _came: set[int] = field(default_factory=set)

    @property
    def is_whole(self) -> bool:
        """Whether all slices have come."""
        return len(self._came) == self.slicing.count

    @property
    def axis(self) -> int | None:
        """Working axis of the volume; None in 2D."""
        return None if self.volume.ndim == 2 else self.slicing.axis

    def predict(
        self, job: Receiver, model: FewShotSegmenter, first: int | None
    ) -> Prediction | None:
        """On the worker: the slice in view at once, then all that is wanted.

        None where it was wanted alone.
        """
        asked = self.request
        alone = asked.current_slice_only
        landmarks = asked.looks_for_landmarks(model)
        known = placed_in_model(model, self.placed, self.renumbered) if landmarks else []
        if landmarks and model.point_labels_.issuperset(model.label_values_):
            return self._predicted(job, model, self.axis, landmarks, known)
        predictor: SlicePredictor = model.slice_predictor(
            self.volume, axis=self.axis, landmarks=landmarks, known_landmarks=known
        )
        order = self.slicing.order_from(first) if asked.slices is None else asked.slices
        early = asked.preview and len(predictor) > 1 and first in order

        def watched(*_: object) -> None:  # it tells of no progress: the slice comes once more
            job.check()

        if first is not None and (alone or early):
            job.progress(0, 0, SLICE_IN_VIEW)
            job.send(predictor.preview(first, watched))
        if alone:
            return None
        come = {first} if early else set()
        for piece in predictor.run(order, job.progress):
            job.send(piece)
            come.add(piece.index)
            moved = self.moved_to  # meanwhile, on the GUI thread
            if asked.preview and moved in order and moved is not None and moved not in come:
                come.add(moved)
                job.send(predictor.preview(moved, watched))
        if self._fuses(model):
            return self._predicted(job, model, FUSED, landmarks, known)
        return predictor.finish()

    def _predicted(
        self,
        job: Receiver,
        model: FewShotSegmenter,
        axis: int | str | None,
        landmarks: bool,
        known: Sequence[Landmark],
    ) -> Prediction:
        return model.predict(
            self.volume,
            axis=axis,
            landmarks=landmarks,
            refine=NO_REFINEMENT,
            known_landmarks=known,
            progress=job.progress,
        )

    def _fuses(self, model: FewShotSegmenter) -> bool:
        return self.axis is not None and self.request.fuses_planes(model)

    def preview(self, job: Receiver, model: FewShotSegmenter, index: int) -> SlicePrediction:
        """On the worker: one slice, quickly."""
        predictor = model.slice_predictor(self.volume, axis=self.axis, landmarks=False)
        return predictor.preview(index, lambda *_: job.check())

    def is_outdated(self, generations: Generations) -> bool:
        """Whether a newer request replaced this one."""
        topic = topic_of(self.target.image, self.request.current_slice_only)
        return generations.is_outdated(self.generation, topic)

    def begin(self) -> None:
        """On the GUI thread, right before the worker starts."""

    def prepare(self, model: FewShotSegmenter, like: Any) -> None:
        """On the GUI thread, before the first piece: make the layers."""
        cleans = model.config.propagation.cleanup.changes_labels
        self._rewrites = cleans or self._fuses(model)
        self._hidden = tuple(model.point_labels_)
        self._looks = self.request.looks_for_landmarks(model)
        painted = [v for v in model.label_values_ if v not in self._hidden]
        self._draws = bool(painted)
        if not self._draws:
            return
        target, asked, axis = self.target, self.request, self.slicing.axis
        into = asked.into if asked.into is not None else target.labels
        if asked.policy == "new" or into is None:
            provenance = target.make_labels(axis, painted, like)
            if like is None:
                target.labels.features = label_features(model.names_)
        else:
            provenance = target.take(into, axis, painted, self.entries)
        self.step = UndoStep(target.labels, provenance.slicing)
        self._adds_confidence = asked.confidence
        for entry in self.entries:
            self._copy_template(entry, self.step)
        self.told()

    def take(self, piece: SlicePrediction) -> None:
        """On the GUI thread: write one slice."""
        self._came.add(piece.index)
        self.moved_to = self.in_view()
        self.scores[piece.index] = SliceScore(piece.index, piece.uncertainty, piece.descriptor)
        if self.step is not None and self.target.has_labels:  # else the session cancels the job
            self._add_confidence(self.step)
            self._write_prediction(piece.index, piece.labels, piece.confidence)
            self.show(piece.index)

    def finish(self, prediction: Prediction | None) -> None:
        """On the GUI thread: what the whole volume decides; None where only a part was wanted."""
        if prediction is None:
            return
        if self._draws and self._rewrites:
            for index in sorted(self._came):
                labels = self._plane(prediction.labels, index)
                self._write_prediction(index, labels, self._plane(prediction.confidence, index))
        if self._looks:
            self._show_landmarks(prediction)

    def _show_landmarks(self, prediction: Prediction) -> None:
        marks, of_layer = prediction.landmarks, self.renumbered
        if self._hidden:  # landmarks that a person placed; centres of organs are beside it
            marks = tuple(mark for mark in marks if mark.label in self._hidden)
        shown = [replace(m, label=of_layer.get(m.label, m.label)) for m in marks]
        not_found = {of_layer.get(v, v): places for v, places in prediction.not_found.items()}
        names = {of_layer.get(v, v): name for v, name in prediction.names.items()}
        self.target.show_landmarks(shown, self.volume, self.lead, not_found, names)

    def close(self) -> None:
        """On the GUI thread, however it ended: one undo step for what was written."""
        if self.step is not None:
            step, provenance = self.step, provenance_of(self.step.layer)
            if provenance is not None:
                provenance.note_step(step)
            else:
                step.push()
            self.step = None
        self.target.refresh()
        self.told()

    def write(self, index: int, labels: Array, confidence: Array, policy: Policy) -> bool:
        """Write a slice where no person did; False if nothing was written."""
        key = (*self.lead, index)
        return self.step is not None and self.target.write(
            key, labels, confidence, policy, self.step, self.entries
        )

    def show(self, index: int) -> None:
        """Show what was written: the slice in view at once, others now and then."""
        now = time.perf_counter()
        in_view = self.in_view() == index
        if in_view or now - self._shown > _SHOW_EVERY_S:
            self._shown = now
            self.target.refresh()
        if in_view or now - self._told > _TELL_EVERY_S:
            self._told = now
            self.told()

    def _add_confidence(self, step: UndoStep) -> None:
        """Once, with the first slice: two layers at once would stop the viewer twice as long."""
        target, wanted = self.target, self._adds_confidence
        self._adds_confidence = False
        if not wanted:
            return
        before = target.confidence if target.has_confidence else None
        target.make_confidence()
        if target.confidence is not before and target.provenance is not None:
            for key in target.provenance.slices_made("copied"):
                target.write_confidence(key, 1, step)

    def _write_prediction(self, index: int, labels: Array, confidence: Array) -> None:
        if self._hidden:
            labels = np.where(np.isin(labels, self._hidden), 0, labels)
        if self.write(index, labels, confidence, self.request.policy):
            self.target.refined.pop((*self.lead, index), None)  # it is there no longer

    def _plane(self, array: Array, index: int) -> Array:
        return array if self.axis is None else np.moveaxis(array, self.axis, 0)[index]

    def _copy_template(self, entry: TemplateEntry, step: UndoStep) -> None:
        """What a template knows of this place; slices that were erased there are predicted again.

        Strokes in the layer itself are kept; those beside it are written with each slice.
        """
        source, made, target = provenance_of(entry.labels), self.target.provenance, self.target
        same = entry.level == target.level and entry.slicing.axis == self.slicing.axis
        if source is None or made is None or not same:
            return
        for key in made.slices_made("copied"):
            own, mine = entry.key_of(key), made.copied_from.get(key) == entry.labels.unique_id
            if key[:-1] == self.lead and mine and own and source.teaches(own) != "whole":
                target.note_made(key, "predicted", step)
        for key, what in entry.teaching(self.lead).items():
            if entry.labels is target.labels:
                if what == "part":
                    target.keep_scribbles(key, step)
            elif what == "whole":
                place = (*self.lead, key[-1])
                target.copy_template(place, source.plane(key), step, entry.labels)


def topic_of(image: Any, current_slice_only: bool) -> tuple[int, bool]:
    """What requests for an image are about; newer ones replace older ones."""
    return id(image), current_slice_only


def placed_in_model(
    model: FewShotSegmenter, placed: Sequence[Landmark], renumbered: Mapping[int, int]
) -> list[Landmark]:
    """Points that a person moved and the model has learned as landmarks, with its labels.

    ``renumbered`` are labels of the model's landmarks as the layers have them.
    """
    if model.config.propagation.landmarks.per_label > 1:
        return []
    own = {layer: label for label, layer in renumbered.items()}
    marks = [replace(one, label=own.get(one.label, one.label)) for one in placed]
    return [mark for mark in marks if mark.label in model.point_labels_]
