"""Extraction, training and its score, as jobs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ...config import STORE_LIMIT_GB
from ...device import avoid_llvm_clash
from ...features.store import FeatureStore
from ...segmenter import FewShotSegmenter, HeldOutScore
from ...segmenter.extraction import extract_features
from ...templates import Template
from ..layers import image_volume
from .jobs import Job
from .slicing import Key
from .state import State
from .templates import snapshot

__all__ = ["Learning", "limit_store"]


def limit_store() -> None:
    """On the worker, after features were stored: keep the store below the limit of all runs."""
    FeatureStore().prune(int(STORE_LIMIT_GB * 1e9))


class Learning:
    """Makes models out of the templates of a session.

    Parameters
    ----------
    state : State
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._base: FewShotSegmenter | None = None
        self._score_wanted = False
        self.renumbered: dict[int, int] = {}

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
                store=FeatureStore(),
                cache=state.cache,
                **dict(settings.config),
            )
        self._base = base.with_settings(**settings.config.model_dump())
        return self._base

    def templates(self) -> list[Template]:
        """All that is known now, as the core takes it."""
        templates, self.renumbered = snapshot(self._state.sources())
        return templates

    def extract(self, image: Any, lead: Key) -> Job:
        """Features of the templates, and of an image (None: of no other)."""
        state = self._state
        templates, model = self.templates(), self.segmenter()
        volume = axis = None
        pixels = 0
        if image is not None:
            volume = image_volume(image, lead, state.level_of(image))
            slicing = state.slicing_of(image)
            axis = slicing.axis
            pixels = int(slicing.plane_shape[0] * slicing.plane_shape[1])

        def work(job: Job) -> int:
            avoid_llvm_clash()
            slices = extract_features(model, templates, volume, axis, job.progress)
            limit_store()
            return slices

        def done(slices: int) -> None:
            seconds = model.extractor.seconds_per_slice
            if image is not None:
                state.extracted.add((id(image), model.config.backbone))
            if seconds is not None:
                state.rates.measured_extraction(model.config.backbone, seconds, pixels)

        return state.runner.start(Job("Extracting features", "extract", work, on_done=done))

    def train(self, *, score: bool) -> Job:
        """Fit a new model to the templates; then score it, if asked for."""
        state = self._state
        templates, model = self.templates(), self.segmenter()
        renumbered = self.renumbered
        state.runner.cancel("train")
        self._score_wanted = score

        start = [0.0]

        def work(job: Job) -> FewShotSegmenter:
            avoid_llvm_clash()

            def progress(done: int, total: int, what: str) -> None:
                job.progress(done, total, what)
                if what == "training":
                    start[0] = start[0] or time.perf_counter()
                    if done == total:
                        seconds = time.perf_counter() - start[0]
                        state.rates.measured_training(model.config.adapter, seconds, total)

            fitted = model.fit(templates, progress)
            limit_store()
            return fitted

        def done(model: FewShotSegmenter) -> None:
            self.show(model, renumbered)

        job = Job("Training", "train", work, on_done=done, on_end=self.score_if_wanted)
        return state.runner.start(job)

    def updated(
        self,
        templates: Sequence[Template],
        before: FewShotSegmenter | None,
        fresh: FewShotSegmenter,
        job: Job,
    ) -> FewShotSegmenter:
        """On the worker: learn on from ``before`` where the settings allow it, else anew."""
        avoid_llvm_clash()
        if before is not None:
            before = before.with_propagation(fresh.config.propagation)
            own, wanted = ((m.config, m.weights, m.device) for m in (before, fresh))
            if own == wanted:
                return before.updated(templates, job.progress)
        return fresh.fit(templates, job.progress)

    def show(
        self, model: FewShotSegmenter, renumbered: dict[int, int], *, trained: bool = True
    ) -> None:
        """Make a model that of the session; one that was loaded cannot be scored.

        ``renumbered`` is for the labels of its landmarks: see :func:`.templates.snapshot`.
        """
        self._score_wanted &= trained
        self._state.model = model
        self._state.renumbered = renumbered
        self._state.scores = None
        self._state.events.trained.emit()

    def score_if_wanted(self) -> None:
        """Score a model that was trained here, when nothing else is to do.

        Any other job goes before, and stops a score that runs; it starts again afterwards.
        """
        state, model = self._state, self._state.model
        if not self._score_wanted or model is None or state.scores is not None:
            return
        if any(job.stage != "save" for job in state.runner.jobs):
            return

        def work(job: Job) -> HeldOutScore | None:
            return model.held_out_score(job.progress)

        def done(scores: HeldOutScore | None) -> None:
            if state.model is model:
                state.scores = scores
                state.events.scored.emit()

        state.runner.start(Job("Scoring", "score", work, on_done=done))
