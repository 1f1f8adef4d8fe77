"""Propagation, and updates after corrections, as jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from ...errors import InputError
from ...predict.predictor import SlicePrediction
from ...segmenter import FewShotSegmenter, Prediction
from ..layers import image_volume
from .jobs import Job
from .learning import Learning
from .provenance import provenance_of
from .results import ResultLayers
from .runs import Run, Wanted
from .state import State
from .view import lead_in_view, slice_in_view

__all__ = ["Propagating"]

AnyRun = TypeVar("AnyRun", bound=Run)


class Propagating:
    """Runs models over images.

    Parameters
    ----------
    state : State
    learning : Learning
    finished : callable
        Told of the image when results have been written.
    """

    def __init__(self, state: State, learning: Learning, finished: Callable[[Any], None]) -> None:
        self._state = state
        self._learning = learning
        self._finished = finished
        self._of_job: dict[int, Run] = {}
        self._wanted: dict[int, Wanted] = {}  # of the last propagation to each image

    def propagate(self, model: FewShotSegmenter, image: Any, wanted: Wanted) -> Job:
        """Predict with a model that is there."""
        model = model.with_propagation(self._state.settings.config.propagation)
        others = self._others(image, wanted.into)
        self._wanted[id(image)] = replace(wanted, into=None)
        entries = list(self._state.entries)
        run, first = self.run_of(image, wanted, Run), self.first_of(image)
        try:
            run.prepare(model, self._like(image), model.names_)
        except InputError:  # the result is where it was
            self._state.entries[:] = entries
            self._state.events.templates.emit()
            raise
        for other in others:  # at once: what runs for them must not write to it any more
            self._let_go(other)
        self.supersede(image)
        name = f"Propagating to {image.name}"

        state = self._state
        there = (id(image), model.config.backbone) in state.extracted

        def work(job: Job) -> Prediction:
            start = time.perf_counter()
            found = run.predict(job, model, first)
            if there and wanted.slices is None:
                seconds = time.perf_counter() - start
                state.rates.measured_prediction(seconds, found.labels.size)
            return found

        return self.start(Job(name, "propagate", work, **self.callbacks(run)), run)

    def update(self, image: Any, wanted: Wanted, *, alone: bool = False) -> Job:
        """Learn on, then predict; ``alone``: the slice in view only."""
        before = self._wanted.get(id(image), wanted)
        landmarks = before.landmarks and wanted.landmarks
        wanted = replace(wanted, confidence=before.confidence, landmarks=landmarks)
        run, first = self.run_of(image, wanted, Run), self.first_of(image)
        fresh, templates = self._learning.segmenter(), self._learning.templates()
        present: list[FewShotSegmenter | None] = []
        run.renumbered = self._learning.renumbered
        if alone:
            run.wanted = Wanted(wanted.into, wanted.policy, wanted.confidence, False, ())
        self.supersede(image, alone=alone)

        def work(job: Job) -> Prediction | None:
            model = self._learning.updated(templates, present[0], fresh, job)
            job.send(model)
            if not alone:
                return run.predict(job, model, first)
            run.predict_one(job, model, first)
            return None

        callbacks = self.callbacks(run)
        take = callbacks["on_piece"]

        def piece(part: FewShotSegmenter | SlicePrediction) -> None:
            if isinstance(part, FewShotSegmenter):
                self._learning.show(part, run.renumbered)
                run.prepare(part, self._like(image), part.names_)
            else:
                take(part)

        name = "Updating the slice in view" if alone else "Updating"

        def begin() -> None:  # a job before this one may have trained it
            present.append(self._state.model)

        callbacks |= {"on_start": begin, "on_piece": piece}
        return self.start(Job(name, "update", work, **callbacks), run)

    def forget(self, image: Any) -> None:
        """An image was removed; another may get its number."""
        self._wanted.pop(id(image), None)

    def layers_of(self, job: Job) -> tuple[Any, ...]:
        """Layers that a job works on."""
        run = self._of_job.get(id(job))
        if run is None:
            return ()
        return tuple(x for x in (run.target.image, run.target.labels) if x is not None)

    def run_of(self, image: Any, wanted: Wanted, kind: type[AnyRun]) -> AnyRun:
        """Make the run for what is in view of an image."""
        state = self._state
        slicing, level = state.slicing_of(image), state.level_of(image)
        if wanted.into is not None and wanted.into.data.shape != slicing.shape:
            level = 0  # `take` says what is wrong
        lead = lead_in_view(state.viewer, image)
        target = self._target(image, wanted, level)
        return kind(
            target=target,
            entries=state.entries_of(image),
            volume=image_volume(image, lead, level),
            slicing=slicing,
            lead=lead,
            wanted=wanted,
            renumbered=state.renumbered,
            told=state.events.slices.emit,
            scores=state.scores_of(image, lead),
        )

    def _target(self, image: Any, wanted: Wanted, level: int) -> ResultLayers:
        """Layers to write to; what was accepted in a result that is replaced still teaches."""
        state = self._state
        before = state.result_of(image)
        if before is not None and wanted.into not in (None, before.labels):
            state.retire_result(image)
        target = before
        if target is None or wanted.policy == "new":
            state.retire_result(image)
            target = ResultLayers(state.viewer, image, level)
            if before is not None and before.labels is None:  # what is left of one that went
                target.confidence, target.landmarks = before.confidence, before.landmarks
            state.results[id(image)] = target
        if any(entry.labels is target.landmarks for entry in state.entries):
            target.landmarks = None  # a person learns from these points: others go beside them
        return target

    def _others(self, image: Any, into: Any) -> list[ResultLayers]:
        """Results of other images that a layer holds; it is to hold one of this image instead.

        Raises
        ------
        InputError
            If a person painted or marked something there that is of another image.
        """
        images = [] if into is None else self._state.images_of(into)
        provenance = None if into is None else provenance_of(into)
        if image not in images and images and provenance is not None and provenance.teaches():
            raise InputError(
                f"into ({into.name})",
                "hold nothing that a person painted or marked for another image",
                f"paint of {images[0].name}",
                "Choose a new layer.",
            )
        results = self._state.results.values()
        return [one for one in results if one.labels is into is not None and one.image is not image]

    def _let_go(self, other: ResultLayers) -> None:
        """The labels of another image's result were given to this one."""
        self.cancel_runs(other.image, lambda run: run.target is other)
        other.labels = None
        other.pending.clear()
        self._state.forget_scores(other.image)
        self._state.events.slices.emit()

    def callbacks(self, run: Run) -> dict[str, Any]:
        """What a job tells on the GUI thread."""

        def end() -> None:
            run.close()
            if run.is_whole:
                state = self._state
                state.extracted.add((id(run.target.image), state.settings.backbone))
            self._state.events.propagated.emit()
            self._finished(run.target.image)

        return {"on_piece": run.take, "on_done": run.finish, "on_end": end}

    def start(self, job: Job, run: Run) -> Job:
        """Start a job, and know what it works on."""
        self._of_job = {id(one): r for one in self._state.runner.jobs for r in self._runs_of(one)}
        self._of_job[id(job)] = run
        return self._state.runner.start(job)

    def _runs_of(self, job: Job) -> list[Run]:
        run = self._of_job.get(id(job))
        return [] if run is None else [run]

    def supersede(self, image: Any, *, alone: bool = False) -> None:
        """A new request for an image makes those before outdated; one slice, no whole run."""
        self.cancel_runs(image, lambda run: not alone or run.wanted.slices == ())

    def cancel_runs(self, image: Any, outdated: Callable[[Run], bool]) -> None:
        """Cancel the jobs of an image whose runs are outdated."""
        for job in self._state.runner.jobs:
            run = self._of_job.get(id(job))
            if run is not None and run.target.image is image and outdated(run):
                job.cancel()
        self._state.runner.tick()

    def first_of(self, image: Any) -> int | None:
        """Slice of an image that is in view."""
        state = self._state
        return slice_in_view(state.viewer, image, state.slicing_of(image))

    def _like(self, image: Any) -> Any:
        """Labels layer whose names and colours a new result takes over."""
        entries = [*self._state.entries_of(image), *self._state.entries]
        return next((e.labels for e in entries if e.kind != "points"), None)
