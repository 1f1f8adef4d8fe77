"""Landmarks that were found follow those that a person has moved: placed anew, given these."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...segmenter import FewShotSegmenter, LandmarkFinder
from ...types import Landmark, Located, Volume
from ..annotations import landmarks_in
from .jobs import Callbacks, Job, JobRunner
from .result_layers import ResultLayers
from .run import placed_in_model
from .slicing import Key
from .state import State
from .training import TrainingController

__all__ = ["FollowController"]

_Found = dict[int, Located] | None


class FollowController:
    """Places the landmarks of an image again and again; what was computed of it is kept."""

    def __init__(self, state: State, runner: JobRunner, training: TrainingController) -> None:
        self._state, self._runner, self._training = state, runner, training
        self._kept: tuple[Any, LandmarkFinder] | None = None
        self._asked: dict[tuple[int, Key], int] = {}  # how often, of each result and place
        state.events.layers.connect(self._forget_what_went)

    @property
    def is_behind(self) -> bool:
        """Whether it is at it."""
        return any(job.stage == "landmarks" for job in self._runner.jobs)

    def close(self) -> None:
        """Let go what is kept."""
        self._state.events.layers.disconnect(self._forget_what_went)
        self._kept = None

    def follow(self, result: ResultLayers, lead: Key) -> Job:
        """Place those that nobody has moved, given those that somebody has."""
        state = self._state
        mine = id(result), lead
        number = self._asked[mine] = self._asked.get(mine, 0) + 1
        placed = result.placed_points(lead)
        volume = state.channels.volume(result.image, lead, result.level)
        models: list[FewShotSegmenter] = []

        def begin() -> None:  # a job before this one may have trained it
            if state.model is not None:
                models.append(state.model.with_propagation(state.settings.config.propagation))

        def work(job: Job) -> _Found:
            if not models:
                return None
            job.progress(0, 1, "landmarks")
            key = state.model, models[0].config.propagation, result.image, result.level, lead
            known = placed_in_model(models[0], placed, state.renumbered)
            return self._finder(key, models[0], volume).find(known, job.check)

        def done(found: _Found) -> None:
            if found is not None and result.has_landmarks:
                self._show(result, lead, volume, found, models[0])

        name = f"Placing the other landmarks of {result.image.name}"
        callbacks = Callbacks(begin, done=done, end=self._training.score_if_wanted)
        job = Job(
            name,
            "landmarks",
            work,
            callbacks,
            layers=[result.image],
            is_outdated=lambda: number != self._asked.get(mine),
        )
        return self._runner.start(job)

    def _finder(self, key: Any, model: FewShotSegmenter, volume: Volume) -> LandmarkFinder:
        """On the worker: what finds the landmarks of an image; that of the last one is kept."""
        kept = self._kept
        if kept is None or any(a is not b and a != b for a, b in zip(kept[0], key, strict=True)):
            kept = self._kept = key, model.landmark_finder(volume)
        return kept[1]

    def _forget_what_went(self) -> None:
        there, kept = list(self._state.results.values()), self._kept
        if kept is not None and all(result.image is not kept[0][2] for result in there):
            self._kept = None
        numbers = {id(result) for result in there}
        self._asked = {key: n for key, n in self._asked.items() if key[0] in numbers}

    def _show(
        self,
        result: ResultLayers,
        lead: Key,
        volume: Volume,
        found: dict[int, Located],
        model: FewShotSegmenter,
    ) -> None:
        renumbered = self._state.renumbered
        shown, not_found = [], {}
        for label, one in found.items():
            own = renumbered.get(label, label)
            if isinstance(one, Landmark):
                shown.append(replace(one, label=own))
            else:
                not_found[own] = one
        there = {renumbered.get(label, label) for label in found}
        marks = landmarks_in(result.landmarks, result.image, lead, result.level)
        shown += [m for m in marks if m.score is not None and m.label not in there]
        names = {renumbered.get(v, v): name for v, name in model.names_.items()}
        result.show_landmarks(shown, volume, lead, not_found, names)
        self._state.events.slices.emit()
