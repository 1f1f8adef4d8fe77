"""Propagation, and updates after corrections: their jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any, TypeVar

from ...errors import InputError
from ...predict.slice_predictor import SlicePrediction
from ...segmenter import FewShotSegmenter, Prediction
from ..wording import SLICE_IN_VIEW
from .autosave.storage import SessionStorage
from .jobs import Callbacks, Job, JobRunner, Stage
from .result_layers import ResultLayers
from .run import PropagationRequest, Receiver, Run, topic_of
from .slicing import Key
from .state import State
from .training import TrainingController
from .undo import UndoStep
from .view import View

__all__ = ["PropagationController"]

AnyRun = TypeVar("AnyRun", bound=Run)


class PropagationController:
    """Runs models over images.

    ``on_end`` is called with each run that has ended, its undo step (None: none), and its job.
    """

    def __init__(
        self,
        state: State,
        runner: JobRunner,
        view: View,
        training: TrainingController,
        storage: SessionStorage,
    ) -> None:
        self._state, self._runner, self._view = state, runner, view
        self._training, self._storage = training, storage
        self._last: dict[int, PropagationRequest] = {}  # propagation to each image
        self.on_end: Callable[[Run, UndoStep | None, Job], None] = lambda run, step, job: None

    def propagate(self, model: FewShotSegmenter, image: Any, request: PropagationRequest) -> Job:
        """Predict with a model that is there."""
        state = self._state
        base, model = model, model.with_propagation(state.settings.config.propagation)
        others = state.others_in(request.into, image)
        self._last[id(image)] = replace(request, into=None)
        entries = list(state.entries)
        run, first = self.run_of(image, request, Run), self._view.slice_of(image)
        run.models = (base, model)
        try:
            run.prepare(model, state.labels_like(image))
        except InputError:  # the result is where it was
            state.entries[:] = entries
            state.events.templates.emit()
            raise
        for other in others:  # at once: what runs for them must not write to it any more
            self._let_go(other)
        self._supersede(image, run)
        there = self._is_there(image)

        def work(job: Job) -> Prediction | None:
            return self.timed(run, job, model, first, there)

        return self.start(f"Propagating to {image.name}", "propagate", work, run)

    def update(self, image: Any, *, current_slice_only: bool = False, name: str = "") -> Job:
        """Learn on, then predict again, as was asked for last."""
        state, training = self._state, self._training
        result = state.result_of(image)
        last = self._last.get(id(image), PropagationRequest())
        request = PropagationRequest(
            policy="new" if result is None or result.labels is None else "overwrite",
            confidence=last.confidence,
            landmarks=last.landmarks,
            current_slice_only=current_slice_only,
            all_planes=last.all_planes,
        )
        run, first = self.run_of(image, request, Run), self._view.slice_of(image)
        fresh, templates = training.segmenter(), training.templates()
        run.renumbered = training.renumbered
        self._supersede(image, run)
        there = self._is_there(image)
        before: list[FewShotSegmenter | None] = []
        prepared: list[bool] = []

        def begin() -> None:  # a job before this one may have trained it
            before.append(state.model)

        def prepare(model: FewShotSegmenter) -> None:
            if not prepared:
                prepared.append(True)
                run.prepare(model, state.labels_like(image))
                job.layers.append(run.target.labels)

        def show(model: FewShotSegmenter) -> None:
            run.models = (model, model)
            training.show(model, run.renumbered)
            prepare(model)

        def work(job: Job) -> Prediction | None:
            def at_once(model: FewShotSegmenter) -> None:
                if first is not None and run.axis is not None:
                    job.progress(0, 0, SLICE_IN_VIEW)
                    seen = run.preview(job, model, first)
                    job.send(partial(prepare, model))
                    job.send(seen)

            model = training.updated(templates, before[0], fresh, job, at_once)
            job.send(partial(show, model))
            return self.timed(run, job, model, first, there)

        def piece(part: Callable[[], None] | SlicePrediction) -> None:
            if isinstance(part, SlicePrediction):
                run.take(part)
            else:
                part()

        name = name or ("Updating the slice in view" if current_slice_only else "Updating")
        job = self.start(name, "update", work, run, start=begin, piece=piece)
        return job

    def forget(self, image: Any) -> None:
        """An image was removed; another may get its number."""
        self._last.pop(id(image), None)

    def run_of(
        self,
        image: Any,
        request: PropagationRequest,
        kind: type[AnyRun],
        *,
        lead: Key | None = None,
        target: ResultLayers | None = None,
    ) -> AnyRun:
        """Make the run for a place of an image (None: in view), into its result or ``target``."""
        state, slicing = self._state, self._view.slicing_of(image)
        level = state.level_of(image)
        if request.into is not None and request.into.data.shape != slicing.shape:
            level = 0  # `take` says what is wrong
        lead = self._view.lead(image) if lead is None else lead
        if target is None:
            viewer = self._view.viewer
            target = state.result_for(viewer, image, level, request.into, request.policy)
        return kind(
            request=request,
            generation=self._runner.generations.next(),
            target=target,
            entries=state.entries_of(image),
            volume=state.channels.volume(image, lead, level),
            slicing=slicing,
            lead=lead,
            in_view=lambda: self._view.slice_of(image),
            told=state.events.slices.emit,
            renumbered=state.renumbered,
            scores=state.scores_of(image, lead, slicing.axis),
            placed=target.placed_points(lead),
        )

    def start(
        self, name: str, stage: Stage, work: Callable[[Job], Any], run: Run, **own: Any
    ) -> Job:
        """Start the job of a run; ``own`` are callbacks in place of those of the run."""
        target = run.target

        def end() -> None:
            self.ended(run, job)
            self._training.score_if_wanted()

        callbacks = {"start": run.begin, "piece": run.take, "done": run.finish, "end": end}
        job = Job(
            name,
            stage,
            work,
            Callbacks(**{**callbacks, **own}),
            layers=[layer for layer in (target.image, target.labels) if layer is not None],
            stores_features=not run.request.current_slice_only,
            is_outdated=lambda: run.is_outdated(self._runner.generations),
        )
        return self._runner.start(job)

    def timed(
        self, run: Run, job: Receiver, model: FewShotSegmenter, first: int | None, there: bool
    ) -> Prediction | None:
        """On the worker: :meth:`Run.predict`, and note how long it took.

        ``there``: the features of the image were computed before.
        """
        start = time.perf_counter()
        found = run.predict(job, model, first)
        if found is None or run.request.slices is not None:
            return found
        seconds, rates = time.perf_counter() - start, self._state.rates
        if there:
            rates.measured_prediction(seconds, found.labels.size)
        else:
            rates.measured_labelling(model.config, seconds, found.labels.size)
            rates.measured_extractors(model.extractors(), prod(run.slicing.plane_shape))
        return found

    def _is_there(self, image: Any) -> bool:
        return (id(image), self._state.settings.backbone) in self._state.extracted

    def ended(self, run: Run, job: Job) -> None:
        """A run of a job is over, however it ended: one undo step, and what follows from it."""
        state, image, step = self._state, run.target.image, run.step
        run.close()
        if run.is_whole:
            state.extracted.add((id(image), state.settings.backbone))
        state.events.propagated.emit()
        self._storage.after_results(image)
        self.on_end(run, step, job)

    def _supersede(self, image: Any, run: Run) -> None:
        """Requests for an image before this one are outdated; by one slice, no whole run."""
        topics = [topic_of(image, True)]
        if not run.request.current_slice_only:
            topics.append(topic_of(image, False))
        self._runner.generations.replace(run.generation, *topics)
        self._runner.tick()

    def _let_go(self, other: ResultLayers) -> None:
        """The labels of another image's result were given to this one."""
        generations = self._runner.generations
        topics = (topic_of(other.image, only) for only in (True, False))
        generations.replace(generations.next(), *topics)
        other.labels = None
        other.refined.clear()
        self._state.forget_scores(other.image)
        self._state.events.slices.emit()
