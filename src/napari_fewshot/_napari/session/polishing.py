"""The network of the model is trained on its templates too, when a person asks for it."""

from __future__ import annotations

import time

from ...segmenter import FewShotSegmenter
from ...segmenter.polishing import check_polishing
from .jobs import Callbacks, Job, JobRunner
from .state import State
from .training import TrainingController

__all__ = ["PolishingController"]


class PolishingController:
    """Polishes the model of a session; what is asked for meanwhile ends it with the best so far."""

    def __init__(self, state: State, runner: JobRunner, training: TrainingController) -> None:
        self._state, self._runner, self._training = state, runner, training

    def polish(self, minutes: float | None) -> Job:
        """Go on with a polished model, in at most so many minutes (None: as set)."""
        state, training = self._state, self._training
        model = state.fitted()
        if minutes is None:  # as set by now, not when it was trained
            minutes = state.settings.config.experts.polish_minutes
        check_polishing(model.config, model.training_set_)

        def work(job: Job) -> FewShotSegmenter:
            start = 0.0

            def progress(done: int, total: int, what: str) -> None:
                nonlocal start
                job.progress(done, total, what)
                if what == "polishing":
                    start = start or time.perf_counter()

            found = model.polish(minutes, progress)
            steps = found.polished_steps_ - model.polished_steps_
            if steps:
                state.rates.measured_polishing(time.perf_counter() - start, steps)
            return found

        def done(found: FewShotSegmenter) -> None:
            if state.model is model and found.polished_steps_ > model.polished_steps_:
                training.replace(found)
                state.events.trained.emit()

        def end() -> None:
            training.on_scored()
            training.score_if_wanted()

        callbacks = Callbacks(done=done, end=end)
        job = Job("Polishing", "polish", work, callbacks, keeps_result=True)
        return self._runner.start(job)
