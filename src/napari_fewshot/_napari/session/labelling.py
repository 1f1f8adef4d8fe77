"""The one button: learn from all that is painted, and label the image in view."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

from ...errors import InputError
from ...segmenter import HeldOutScore
from ..wording import shortened
from .batch import BatchController
from .jobs import Job
from .painting import PaintController
from .propagation import PropagationController
from .run import PropagationRequest
from .state import State
from .templates import TemplateEntry
from .training import TrainingController
from .view import View

__all__ = ["LabellingController", "NextStep"]

NextStep = Literal["learn", "label", "again"]
"""What the button would do: learn and label, label with what is known, or do that once more."""


class LabellingController:
    """What people want, in one request each: ``session.labelling``."""

    def __init__(
        self,
        state: State,
        view: View,
        training: TrainingController,
        propagation: PropagationController,
        painting: PaintController,
        batch: BatchController,
    ) -> None:
        self._state, self._view = state, view
        self._training, self._propagation = training, propagation
        self._painting, self._batch = painting, batch
        self._learned = ""  # digest of the templates of the model; empty: not known
        self._changed = True  # something may have been painted since
        self._is_new = False  # something was
        state.events.templates.connect(self._on_templates)
        state.events.trained.connect(self._on_trained)

    @property
    def is_taught(self) -> bool:
        """Whether anything is painted, or marked, to be learned from."""
        return bool(self._state.sources()) or self._painting.has_paint

    def image_in_view(self) -> Any:
        """Image of the active layer, else the topmost that is visible; None without one."""
        return self._view.image_or_none()

    def places(self, image: Any) -> int:
        """How many time points an image has."""
        return len(self._view.slicing_of(image).leads())

    def confidence_of(self, image: Any) -> Any:
        """Layer of the confidence of an image's labels, or None."""
        result = None if image is None else self._state.result_of(image)
        return result.confidence if result is not None and result.has_confidence else None

    def about(self) -> str:
        """What is learned from, for people: slices and points, image by image."""
        counts: dict[str, list[int]] = {}
        for entry in self._state.sources():
            slices, points = counts.setdefault(entry.image.name, [0, 0])
            taught = entry.taught()
            if entry.kind == "points":
                points += sum(len(entry.points(place)) for place in taught)
            else:
                slices += sum(len(found) for found in taught.values())
            counts[entry.image.name] = [slices, points]
        found = {name: both for name, both in counts.items() if any(both)}
        more = ", ".join(f"“{shortened(layer.name, 34)}”" for _, layer in self._painting.to_adopt())
        if not found:
            return f"Learns from {more}." if more else ""
        slices, points = (sum(both[k] for both in found.values()) for k in (0, 1))
        parts = [f"{slices} painted slice{'s' * (slices > 1)}"] if slices else []
        parts += [f"{points} point{'s' * (points > 1)}"] if points else []
        images = f"{len(found)} images" if len(found) > 1 else shortened(next(iter(found)), 34)
        also = f" Also from {more}." if more else ""
        return f"Learns from {' and '.join(parts)} of {images}.{also}"

    @property
    def agreement(self) -> HeldOutScore | None:
        """Estimated agreement with what was painted; first figures while some are still to come."""
        return self._training.scores_so_far

    def next_step(self, image: Any = None) -> NextStep:
        """What :meth:`learn` would do for an image."""
        state = self._state
        if state.model is None or self._training.outdated or self._painting.to_adopt():
            return "learn"
        if self._is_painted_since():
            return "learn"
        found = self._view.image_or_none(image)
        result = None if found is None else state.result_of(found)
        return "again" if result is not None and result.has_labels else "label"

    def learn(self, image: Any = None, *, all_places: bool = True, score: bool = True) -> Job:
        """Learn from all that is painted in open images, and label one, the slice in view first.

        Nothing is learned again where nothing has changed, and nothing is computed twice.

        Parameters
        ----------
        image : napari.layers.Image or str, optional
            The one to label; None: the one in view.
        all_places : bool
            Whether all time points of it are labelled, those after the one in view in a second job.
        score : bool
            Whether to estimate afterwards how well it agrees with what was painted.

        Returns
        -------
        Job
            It ends with the place in view.

        Raises
        ------
        InputError
            If nothing is painted and there is no model.
        """
        image = self._view.image(image)
        self._painting.adopt()
        job = self._first(image, score)
        leads = self._view.slicing_of(image).leads() if all_places else []
        others = [lead for lead in leads if lead != self._view.lead(image)]
        if others:
            self._batch.places(image, others, after=job)
        return job

    def _first(self, image: Any, score: bool) -> Job:
        """Learn and label what is in view, or label it with the model that there is."""
        state = self._state
        digest = _digest(state.sources())
        new = state.model is None or self._training.outdated or digest != self._learned
        if digest and new:
            return self._learn(image, digest, score)
        if state.model is None:
            raise InputError(
                "labels",
                "be painted first",
                "nothing painted",
                "Add a label, and paint it on three to five slices.",
            )
        result = state.result_of(image)
        there = result is not None and result.has_labels
        request = PropagationRequest(policy="overwrite" if there else "new")
        return self._propagation.propagate(state.fitted(), image, request)

    def _is_painted_since(self) -> bool:
        """Whether anything was painted, marked or erased since it was learned from."""
        if self._changed and not self._is_new:
            self._is_new = _digest(self._state.sources()) not in ("", self._learned)
            self._changed = self._is_new
        return self._is_new

    def _learn(self, image: Any, digest: str, score: bool) -> Job:
        self._training.want_score(score)
        job = self._propagation.update(image, name=f"Learning and labelling {image.name}")

        def told(other: Job) -> None:
            if other is not job or not job.is_over:
                return
            self._state.events.job.disconnect(told)
            if job.state == "done":
                self._learned, self._changed, self._is_new = digest, True, False

        self._state.events.job.connect(told)
        return job

    def _on_templates(self) -> None:
        self._changed = True

    def _on_trained(self) -> None:
        # By somebody else, unless a job of ours says otherwise when it ends.
        self._learned, self._changed, self._is_new = "", True, False


def _digest(entries: Sequence[TemplateEntry]) -> str:
    """What a person has said of images, in few bytes; empty where that is nothing."""
    said = False
    found = hashlib.blake2b(digest_size=16)
    for entry in entries:
        about = id(entry.image), entry.kind, entry.slicing, entry.level, entry.names()
        for place, slices in entry.taught().items():  # results teach too, once corrected
            said = True
            found.update(str(about).encode())
            points = entry.points(place) if entry.kind == "points" else ()
            found.update(f"{place} {points} {slices}".encode())
            for key, what in slices.items() if entry.kind != "points" else ():
                plane = entry.values(key) if what == "whole" else entry.scribbles(key)
                found.update(b"" if plane is None else plane.tobytes())
    return found.hexdigest() if said else ""
