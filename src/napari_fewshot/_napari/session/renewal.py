"""Results are renewed when the experts of the model behind them have changed."""

from __future__ import annotations

from dataclasses import dataclass

from ...segmenter import FewShotSegmenter, Prediction
from .jobs import KEEPING, Job, JobRunner
from .propagation import PropagationController
from .run import PropagationRequest, Run
from .state import State
from .training import TrainingController
from .undo import UndoStep
from .view import View

__all__ = ["RenewalController"]


@dataclass(frozen=True, eq=False)
class _Shown:
    """A run that predicted a whole image, the undo step of it, and its two models."""

    run: Run
    step: UndoStep
    base: FewShotSegmenter
    model: FewShotSegmenter


class RenewalController:
    """Predicts again, behind what a person does, where nothing has changed but the experts.

    Not where a result was refined, undone, filled in or predicted in part since, or other work was
    begun; it is one undo step, and stops for good when anything else is asked for.
    """

    def __init__(
        self,
        state: State,
        runner: JobRunner,
        view: View,
        training: TrainingController,
        propagation: PropagationController,
    ) -> None:
        self._state, self._runner, self._view = state, runner, view
        self._training, self._propagation = training, propagation
        self._shown: dict[int, _Shown] = {}  # for each image
        propagation.on_end = self._on_end
        training.on_scored = self._renew_if_wanted
        state.events.layers.connect(self._forget_what_went)

    def _on_end(self, run: Run, step: UndoStep | None, job: Job) -> None:
        if job.stage == "renew" and job.state != "done":  # a person does something else
            self._shown.clear()
        self._shown.pop(id(run.target.image), None)
        asked = run.request
        all_of_it = run.is_whole and asked.slices is None and asked.policy != "fill"
        if step is not None and run.models is not None and all_of_it and job.state == "done":
            self._shown[id(run.target.image)] = _Shown(run, step, *run.models)
        self._renew_if_wanted()

    def _renew_if_wanted(self) -> None:
        chosen = self._training.chosen
        if chosen is None or any(job.stage not in KEEPING for job in self._runner.jobs):
            return
        before, after = chosen
        for shown in self._shown.values():
            if shown.base in before and self._is_as_it_was(shown):
                self._renew(shown, after)
                return  # the next one when it has ended

    def _is_as_it_was(self, shown: _Shown) -> bool:
        run, target = shown.run, shown.run.target
        if self._state.result_of(target.image) is not target or not target.has_labels:
            return False
        provenance = target.provenance
        if provenance is None or provenance.slicing != run.slicing:
            return False
        provenance.made((*run.lead, 0))  # it looks for what was undone
        is_same = shown.step.layer is target.labels and shown.step.done and not target.refined
        view, image = self._view, target.image
        return is_same and (view.lead(image), view.slicing_of(image)) == (run.lead, run.slicing)

    def _forget_what_went(self) -> None:
        there = {id(result) for result in self._state.results.values()}
        self._shown = {k: s for k, s in self._shown.items() if id(s.run.target) in there}

    def _renew(self, shown: _Shown, after: FewShotSegmenter) -> None:
        state, target = self._state, shown.run.target
        image, marks = target.image, target.landmarks
        request = PropagationRequest(
            policy="overwrite",
            confidence=target.has_confidence,
            landmarks=marks in self._view.viewer.layers and shown.run.request.landmarks,
            preview=False,
            all_planes=shown.run.request.all_planes,
        )
        run = self._propagation.run_of(image, request, Run)
        model = after.with_propagation(shown.model.config.propagation)
        run.models, first = (after, model), self._view.slice_of(image)

        def begin() -> None:
            run.prepare(model, state.labels_like(image))

        def work(job: Job) -> Prediction | None:
            return run.predict(job, model, first)

        self._propagation.start(f"Renewing {image.name}", "renew", work, run, start=begin)
