"""Extraction, training and its score, as jobs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ...config import ExpertsConfig
from ...errors import InputError
from ...predict.learned import ExpertWeights
from ...segmenter import FewShotSegmenter, HeldOutScore
from ...segmenter.extraction import extract_features
from ...templates import Template
from ...types import Progress
from ..preferences import open_store
from .jobs import KEEPING, Callbacks, Job, JobRunner, Stage
from .snapshot import snapshot
from .state import State
from .view import View

__all__ = ["TrainingController"]

_LEARNED = (
    *("backbone", "adapter", "seed", "intensity", "resampling", "extraction"),
    *("sampling", "position"),
)
"""Settings that a model learned with, besides those of its adapter and experts."""
_OF_POLISH = {"polish_minutes": ExpertsConfig().polish_minutes}
"""It counts from the next polishing on."""
_SCORING = "Being scored: painted slices are left out in turn, and predicted from the others."
_NOT_SCORED = "Not scored: it is when “Score afterwards” is on and “Train” is pressed."
_LOADED = "Not scored: the model comes from a file. Train to score it on the templates."
_TOO_FEW = "No score: it needs two template slices."
_POINTS = "No score: landmarks alone have none. Look at the places that are found."
_STOPPED = "Not scored: it was cancelled. It begins again after the next work."


class TrainingController:
    """Makes models out of the templates of a session.

    What was asked for goes on with the settings that it was asked with, whatever is set meanwhile;
    :attr:`outdated` tells of it afterwards. ``renumbered``: see :func:`.templates.snapshot`; of the
    templates that were taken last.
    ``chosen``: models of before, and the one that took their place and predicts in another way
    what they have learned; ``on_scored`` is called after that.
    """

    def __init__(self, state: State, runner: JobRunner, view: View) -> None:
        self._state, self._runner, self._view = state, runner, view
        self._base: FewShotSegmenter | None = None
        self._score_wanted = False
        self._why_unscored = ""
        self._first_scores: HeldOutScore | None = None
        self.renumbered: dict[int, int] = {}
        self.chosen: tuple[tuple[FewShotSegmenter, ...], FewShotSegmenter] | None = None
        self.on_scored: Callable[[], None] = lambda: None
        state.channels.told = self._on_channels

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings; they count from the next request on."""
        state, before = self._state, self._state.settings
        after = before.changed(changes)
        if after == before:
            return
        state.settings = after
        if after.memory_mb != before.memory_mb:
            state.cache.resize(after.memory_mb)
            state.extracted.clear()
        state.events.settings.emit()

    def _on_channels(self, like_colours: bool) -> None:
        """Three layers that are joined are no colours; a model that learned so goes on so."""
        model = self._state.model
        if like_colours or model is None or model.config.intensity.colour:
            self.configure({"intensity": {"colour": not like_colours}})

    @property
    def outdated(self) -> tuple[str, ...]:
        """Settings that were changed since the model learned, by their names."""
        state, model = self._state, self._state.model
        if model is None:
            return ()
        own, now = model.config, state.settings.config
        found = [name for name in _LEARNED if getattr(own, name) != getattr(now, name)]
        if own.adapter == now.adapter and own.adapter_config != now.adapter_config:
            found.append(f"settings of {now.adapter}")
        if own.experts.model_copy(update=_OF_POLISH) != now.experts.model_copy(update=_OF_POLISH):
            found.append("what labels beside the adapter")
        if model.weights != state.settings.weights:
            found.append("weights")
        return tuple(found)

    @property
    def unscored(self) -> str:
        """Why there is no held-out score, for people; empty where there is one."""
        state, model = self._state, self._state.model
        if model is None:
            return "Train first."
        if state.scores is not None:
            return ""
        if self._score_wanted and not self._why_unscored:
            running = any(job.stage == "score" for job in self._runner.jobs)
            return _SCORING if running else "The score is computed when all other work has ended."
        return self._why_unscored or _NOT_SCORED

    @property
    def scores_so_far(self) -> HeldOutScore | None:
        """Held-out score of the model; first figures of it while some folds are left."""
        found = self._state.scores
        return self._first_scores if found is None else found

    def segmenter(self) -> FewShotSegmenter:
        """A segmenter with the present settings, not fitted; its backbone is loaded once."""
        state, settings = self._state, self._state.settings
        base = self._base
        same = base is not None and (base.weights, base.device) == (
            settings.weights,
            settings.device if settings.device != "auto" else base.device,
        )
        if base is None or not same or base.cache is not state.cache:
            base = FewShotSegmenter(
                weights=settings.weights,
                device=settings.device,
                store=open_store(),
                cache=state.cache,
                **dict(settings.config),
            )
        self._base = base.with_settings(**settings.config.model_dump())
        return self._base

    def templates(self) -> list[Template]:
        """All that is known now, as the core takes it."""
        templates, self.renumbered = snapshot(self._state.sources(), self._state.channels.volume)
        return templates

    def extract(self, image: Any) -> Job:
        """Features of the templates, and of an image (None: of no other)."""
        state, templates, model = self._state, self.templates(), self.segmenter()
        self._runner.cancel("extract", why="it was begun anew")
        volume = axis = None
        rows = columns = 0
        if image is not None:
            slicing = self._view.slicing_of(image)
            volume = state.channels.volume(image, self._view.lead(image), state.level_of(image))
            axis, (rows, columns) = slicing.axis, slicing.plane_shape

        def work(job: Job) -> int:
            return extract_features(model, templates, volume, axis, job.progress)

        def done(slices: int) -> None:
            if image is not None:
                state.extracted.add((id(image), model.config.backbone))
            state.rates.measured_extractors(model.extractors(), rows * columns)

        name = "Extracting features"
        job = Job(name, "extract", work, Callbacks(done=done), stores_features=True)
        return self._runner.start(job)

    def train(self, *, score: bool, anew: bool) -> Job:
        """Fit a new model to the templates; then score it, if asked for.

        It goes on from the model that was opened, if one was, unless it is to start ``anew``.
        """
        templates, model, renumbered = self.templates(), self.segmenter(), self.renumbered
        base = None if anew else self._base_of_model()
        self._runner.cancel("train", why="a new training was begun")

        def work(job: Job) -> FewShotSegmenter:
            return self._fitted(model.fit if base is None else base.extended, templates, job)

        def done(model: FewShotSegmenter) -> None:
            self._score_wanted = score
            self.show(model, renumbered)

        callbacks = Callbacks(done=done, end=self.score_if_wanted)
        job = Job("Training", "train", work, callbacks, stores_features=True)
        return self._runner.start(job)

    def _base_of_model(self) -> FewShotSegmenter | None:
        """What the present model goes on from, as it is set to predict; None: it was trained here.

        InputError where settings are others by now, with which it cannot.
        """
        model = self._state.model
        base = None if model is None else model.base_
        if base is None:
            return None
        if changed := self.outdated:
            raise InputError(
                "settings",
                "be those of the opened model, to go on from it",
                ", ".join(changed),
                "Set them back, or train anew.",
            )
        return base.with_propagation(self._state.settings.config.propagation)

    def updated(
        self,
        templates: Sequence[Template],
        before: FewShotSegmenter | None,
        fresh: FewShotSegmenter,
        job: Job,
        at_once: Callable[[FewShotSegmenter], None],
    ) -> FewShotSegmenter:
        """On the worker: learn on from ``before`` where the settings allow it, else anew.

        ``at_once`` as for :meth:`FewShotSegmenter.updated` and ``fit``.
        """
        if before is not None:
            before = before.with_propagation(fresh.config.propagation)
            own, wanted = ((m.config, m.weights, m.device) for m in (before, fresh))
            if own == wanted:
                start = time.perf_counter()
                found = before.updated(templates, job.progress, at_once=at_once)
                seconds = time.perf_counter() - start
                self._state.rates.measured_update(found.config, seconds)
                return found
        return self._fitted(partial(fresh.fit, at_once=at_once), templates, job)

    def _fitted(
        self,
        learn: Callable[[Sequence[Template], Progress], FewShotSegmenter],
        templates: Sequence[Template],
        job: Job,
    ) -> FewShotSegmenter:
        """On the worker: make a model of templates, and note how long its steps take."""
        start, steps = 0.0, 0

        def progress(done: int, total: int, what: str) -> None:
            nonlocal start, steps
            job.progress(done, total, what)
            if what == "training":
                start, steps = start or time.perf_counter(), total

        model = learn(templates, progress)
        if steps:
            seconds = time.perf_counter() - start
            self._state.rates.measured_training(model.config, seconds, steps)
        return model

    def load(self, path: str | os.PathLike[str]) -> None:
        """Read a model in place of the present one, and take its settings over."""
        self.take(self.reader()(path))

    def reader(self) -> Callable[[str | os.PathLike[str]], FewShotSegmenter]:
        """What reads a model file with the present settings; a worker may call it."""
        settings, cache = self._state.settings, self._state.cache

        def read(path: str | os.PathLike[str]) -> FewShotSegmenter:
            load = partial(
                FewShotSegmenter.load,
                path,
                device=settings.device,
                store=open_store(),
                cache=cache,
            )
            model = load(weights=settings.weights)
            # The checkpoint that is set may be of another network.
            return model if model.config.backbone == settings.backbone else load()

        return read

    def take(self, model: FewShotSegmenter, scores: HeldOutScore | None = None) -> None:
        """Go on with a model that was read, and with its settings; ``scores`` are those of it."""
        state, settings = self._state, self._state.settings
        changes: dict[str, Any] = dict(model.config)
        if model.config.backbone != settings.backbone:
            changes["weights"] = None
        learning: tuple[Stage, ...] = ("extract", "train", "polish", "score", "update", "renew")
        self._runner.cancel(*learning, why="a model was loaded")
        state.settings = settings.changed(changes)
        state.events.settings.emit()
        self._score_wanted = False  # its templates are not there
        self.show(model, {})
        state.scores, self._why_unscored = scores, _LOADED
        if scores is not None:
            state.events.scored.emit()

    def show(self, model: FewShotSegmenter, renumbered: dict[int, int]) -> None:
        """Make a model that of the session; ``renumbered`` is for the labels of its landmarks."""
        self._state.model = model
        self._state.renumbered = renumbered
        self._state.scores = self._first_scores = self.chosen = None
        self._why_unscored = ""
        self._state.events.trained.emit()

    def want_score(self, wanted: bool) -> None:
        """Whether the model that comes next is scored."""
        self._score_wanted = wanted

    def score_if_wanted(self) -> None:
        """Score a model that was trained here, when nothing else is to do.

        Any other job goes before, and stops a score that runs; it goes on afterwards.
        """
        state, model = self._state, self._state.model
        if not self._score_wanted or model is None or state.scores is not None:
            return
        if self._why_unscored in (_POINTS, _TOO_FEW):
            return
        if any(job.stage not in KEEPING for job in self._runner.jobs):
            return

        def done(scores: HeldOutScore | None) -> None:
            if state.model is not model:
                return
            state.scores = scores
            if scores is None:
                points_alone = model.point_labels_ >= set(model.label_values_)
                self._why_unscored = _POINTS if points_alone else _TOO_FEW
            elif model.config.experts.choose:
                self._take_weights(model, scores.weights)
            state.events.scored.emit()

        def so_far(scores: HeldOutScore) -> None:
            if state.model is model:
                self._first_scores = scores
                state.events.scored.emit()

        def work(job: Job) -> HeldOutScore | None:
            return model.held_out_score(job.progress, job.send)

        def end() -> None:
            if job.error is not None and state.model is model:
                self._why_unscored = f"The score could not be computed: {job.problem}"
            elif job.state == "cancelled" and not job.note:  # by a person
                self._why_unscored = _STOPPED
            self.on_scored()

        self._why_unscored = ""
        job = Job("Scoring", "score", work, Callbacks(piece=so_far, done=done, end=end))
        self._runner.start(job)

    def _take_weights(self, model: FewShotSegmenter, weights: ExpertWeights) -> None:
        """Go on with a model whose experts have the weights that held-out slices speak for."""
        if weights != model.weights_:
            self.replace(model.with_weights(weights))

    def replace(self, model: FewShotSegmenter) -> None:
        """Go on with a model that predicts in another way what the one before has learned."""
        before = self._state.fitted()
        earlier = () if self.chosen is None else self.chosen[0]
        self._state.model = model
        self.chosen = (*earlier, before), model
