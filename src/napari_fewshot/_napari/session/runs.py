"""A run of propagation: slices come from the worker, and are written where nobody painted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...device import avoid_llvm_clash
from ...predict.predictor import SlicePrediction
from ...predict.suggestion import SliceScore
from ...segmenter import FewShotSegmenter, Prediction
from ...types import Array, Volume
from ..layers import label_features
from .jobs import Job
from .learning import limit_store
from .provenance import provenance_of
from .results import Policy, ResultLayers
from .slicing import Key, Slicing
from .templates import TemplateEntry
from .undo import UndoStep
from .view import slice_in_view

__all__ = ["Run", "Wanted", "order_from"]

_TELL_EVERY_S = 0.5
_SHOW_EVERY_S = 2.0
"""A slice that is not in view need not be drawn; views across slices are drawn now and then."""


@dataclass(frozen=True)
class Wanted:
    """What a run is to give.

    Parameters
    ----------
    into : napari.layers.Labels, optional
        None: the result layer of the image, made if there is none.
    policy : {"new", "fill", "overwrite"}
    confidence, landmarks : bool
    slices : sequence of int, optional
        None: all.
    """

    into: Any = None
    policy: Policy = "new"
    confidence: bool = True
    landmarks: bool = True
    slices: Sequence[int] | None = None


def order_from(first: int | None, count: int) -> list[int]:
    """All slices, from the one in view to the end, then back to the beginning.

    Neighbours follow each other, so smoothing across slices predicts each but once.
    """
    start = 0 if first is None else min(max(first, 0), count - 1)
    return [*range(start, count), *range(start - 1, -1, -1)]


@dataclass
class Run:
    """One prediction of one image (at one place of its leading axes), piece by piece.

    Parameters
    ----------
    target : ResultLayers
    entries : sequence of TemplateEntry
        Templates of the same image; their slices are copied, not predicted, and so are strokes.
    volume : Volume
    slicing : Slicing
    lead : tuple of int
    wanted : Wanted
    renumbered : dict of int to int
        Labels of landmarks as the layers have them.
    told : callable
        Called when slices were written, a few times a second.
    """

    target: ResultLayers
    entries: Sequence[TemplateEntry]
    volume: Volume
    slicing: Slicing
    lead: Key
    wanted: Wanted
    renumbered: dict[int, int]
    told: Callable[[], None]
    scores: dict[int, SliceScore] = field(default_factory=dict)
    _step: UndoStep | None = None
    _shown: float = 0.0
    _told: float = 0.0
    _draws: bool = False
    _cleaned: bool = False
    _hidden: tuple[int, ...] = ()
    _came: set[int] = field(default_factory=set)

    @property
    def is_whole(self) -> bool:
        """Whether all slices have come."""
        return len(self._came) == self.slicing.count

    def predict(self, job: Job, model: FewShotSegmenter, first: int | None) -> Prediction:
        """On the worker: the slice in view at once, then all that is wanted."""
        avoid_llvm_clash()
        landmarks = self.wanted.landmarks and self.wanted.slices is None
        axis = None if self.volume.ndim == 2 else self.slicing.axis
        predictor = model.slice_predictor(self.volume, axis=axis, landmarks=landmarks)
        order = self.wanted.slices
        if order is None:
            order = order_from(first, len(predictor))
        if len(predictor) > 1 and first is not None and first in order:
            job.send(predictor.preview(first))
        for piece in predictor.run(order, job.progress):
            job.send(piece)
        limit_store()
        return predictor.finish()

    def predict_one(self, job: Job, model: FewShotSegmenter, first: int | None) -> None:
        """On the worker: the slice in view alone."""
        axis = None if self.volume.ndim == 2 else self.slicing.axis
        predictor = model.slice_predictor(self.volume, axis=axis, landmarks=False)
        if first is not None:
            job.send(predictor.preview(first))

    def prepare(self, model: FewShotSegmenter, like: Any, names: dict[int, str]) -> None:
        """On the GUI thread, before the first piece: make the layers."""
        cleanup = model.config.propagation.cleanup
        self._cleaned = cleanup.largest_only or cleanup.min_size > 1
        points = model.point_labels_
        painted = [v for v in model.label_values_ if v not in points]
        self._draws = bool(painted)
        self._hidden = tuple(points)
        if not self._draws:
            return
        target, axis = self.target, self.slicing.axis
        if self.wanted.policy == "new" and self.wanted.into is None:
            provenance = target.make_labels(axis, painted, like)
            if like is None:
                target.labels.features = label_features(names)
        else:
            into = self.wanted.into if self.wanted.into is not None else target.labels
            provenance = target.take(into, axis, painted, self.entries)
        self._step = UndoStep(target.labels, provenance.slicing)
        if self.wanted.confidence:
            target.make_confidence()
        self._copy_templates()

    def take(self, piece: SlicePrediction) -> None:
        """On the GUI thread: write one slice."""
        self._came.add(piece.index)
        self.scores[piece.index] = SliceScore(piece.index, piece.uncertainty, piece.descriptor)
        if not self._draws or self._step is None:
            return
        if self.target.labels not in self.target.viewer.layers:
            return  # the session cancels the job
        self._write(piece.index, piece.labels, piece.confidence)
        now = time.perf_counter()
        in_view = slice_in_view(self.target.viewer, self.target.image, self.slicing) == piece.index
        if in_view or now - self._shown > _SHOW_EVERY_S:
            self._shown = now
            self.target.refresh()
        if in_view or now - self._told > _TELL_EVERY_S:
            self._told = now
            self.told()

    def finish(self, prediction: Prediction | None) -> None:
        """On the GUI thread: what the whole volume decides; None where only a part was wanted."""
        if prediction is None:
            return
        if self._draws and self._step is not None and self._cleaned:
            for index in sorted(self._came):
                labels = self._plane(prediction.labels, index)
                self._write(index, labels, self._plane(prediction.confidence, index))
        if self.wanted.landmarks and self.wanted.slices is None:
            marks = prediction.landmarks
            if self._hidden:  # landmarks that a person placed; centres of organs are beside it
                marks = tuple(mark for mark in marks if mark.label in self._hidden)
            shown = [
                type(m)(m.name, self.renumbered.get(m.label, m.label), m.position, m.score)
                for m in marks
            ]
            self.target.show_landmarks(shown, self.volume, self.lead)

    def close(self) -> None:
        """On the GUI thread, however it ended: one undo step for what was written."""
        if self._step is not None:
            step, provenance = self._step, provenance_of(self._step.layer)
            if provenance is not None:
                provenance.note_step(step)
            else:
                step.push()
            self._step = None
        self.target.refresh()
        self.told()

    def _write(self, index: int, labels: Array, confidence: Array) -> None:
        if self._step is None:
            return
        if self._hidden:
            labels = np.where(np.isin(labels, self._hidden), 0, labels)
        key, policy = (*self.lead, index), self.wanted.policy
        if self.target.write(key, labels, confidence, policy, self._step, self.entries):
            self.target.pending.drop(key)  # what was refined is there no longer

    def _plane(self, array: Array, index: int) -> Array:
        return array if self.volume.ndim == 2 else np.moveaxis(array, self.slicing.axis, 0)[index]

    def _copy_templates(self) -> None:
        target, step = self.target, self._step
        if step is None:
            return
        for entry in self.entries:
            source = provenance_of(entry.labels)
            same = entry.level == target.level and entry.slicing.axis == self.slicing.axis
            if source is None or not same:
                continue
            self._predict_erased(entry)
            for lead in [lead for place, lead in entry.places() if place == self.lead]:
                if entry.labels is target.labels:
                    for key in entry.scribbled(lead):
                        target.keep_scribbles(key, step)
                elif entry.kind == "dense":
                    for key in source.known(lead):
                        plane = np.asarray(source.slicing.plane(source.data, key))
                        target.copy_template((*self.lead, key[-1]), plane, step, entry.labels)

    def _predict_erased(self, entry: TemplateEntry) -> None:
        """Copies of slices that a person has erased in the template since are predicted again."""
        source, made = provenance_of(entry.labels), self.target.provenance
        if source is None or made is None or self._step is None:
            return
        for key in [key for key in made.copied if key[:-1] == self.lead]:
            own, mine = entry.key_of(key), made.copied_from.get(key) == entry.labels.unique_id
            if mine and own is not None and not source.is_known(own):
                self._step.note_made(key, "copied", "predicted")
                made.mark_predicted(key)
