"""Refinement of results: a job, and the choice to keep or to discard what it changed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...config import IntensityConfig
from ...errors import InputError
from ...predict.refine import LabelRefiner, RefinedSlice
from ...predict.refiners import Refiner, get_refiner
from ...sam.checkpoint import SAMS
from ...types import Array
from ..preferences import open_store
from .generations import Generations
from .jobs import Job, JobRunner
from .propagation import PropagationController
from .result_layers import ResultLayers
from .run import PropagationRequest, Run
from .slicing import Key
from .state import State
from .teaching import Provenance
from .undo import UndoStep
from .view import View

__all__ = ["RefinementController"]


@dataclass
class RefinementRun(Run):
    """One refinement of one result, slice by slice."""

    _labels: Array | None = None
    _confidence: Array | None = None
    _order: list[int] = field(default_factory=list)

    def begin(self) -> None:
        """On the GUI thread, right before the worker starts: take what it needs out of the layers.

        Jobs before this one may have written to the layers after it was asked for.
        """
        target, provenance = self.target, self.target.provenance
        if provenance is None:
            return
        self.step = UndoStep(target.labels, provenance.slicing)
        order = self.request.slices
        if order is None:
            order = self.slicing.order_from(self.in_view())
        self._order = [k for k in order if provenance.status((*self.lead, k)) == "predicted"]
        self._labels = self._copied(target.labels.data)
        if target.has_confidence:
            self._confidence = self._copied(target.confidence.data)

    def is_outdated(self, generations: Generations) -> bool:
        """Whether a propagation, or refinements of all its slices, replaced this one."""

        def replaced(k: int | None) -> bool:
            return generations.is_outdated(self.generation, _topic(self.target.image, k))

        slices = self.request.slices
        by_slices = bool(slices) and all(replaced(k) for k in slices or ())
        return super().is_outdated(generations) or replaced(None) or by_slices

    def refine(self, job: Job, refiner: Refiner, intensity: IntensityConfig) -> int:
        """On the worker: refine slices in their order; how many were refined."""
        if self._labels is None:  # the result is gone
            return 0
        volume = LabelRefiner(
            self.volume,
            self._labels,
            self._confidence,
            refiner,
            axis=self.axis,
            intensity=intensity,
            copy=False,
        )
        refined = 0
        for part in volume.run(self._order, job.progress):
            if part.refined:
                job.send(part)
                refined += 1
        return refined

    def take(self, piece: Any) -> None:
        """On the GUI thread: write one slice."""
        part: RefinedSlice = piece
        target, provenance = self.target, self.target.provenance
        if self.step is None or provenance is None or not target.has_labels:
            return
        key = (*self.lead, part.index)
        if provenance.status(key) != "predicted":  # its prediction was undone
            return
        if self.write(part.index, part.labels, part.confidence, "overwrite"):
            target.refined.setdefault(key, []).append(self.step)
            self.show(part.index)

    def finish(self, prediction: Any) -> None:
        """On the GUI thread: nothing that the whole volume decides."""

    def close(self) -> None:
        """On the GUI thread, however it ended."""
        super().close()
        self.target.forget_oldest_refined()
        self._labels = self._confidence = None

    def _copied(self, data: Any) -> Array:
        """The slices to refine, of an array of a layer; others are not read."""
        copied = np.zeros(self.volume.shape, data.dtype)
        for k in self._order:
            index = self.slicing.index((*self.lead, k))
            copied[index[len(self.lead) :]] = data[index]
        return copied


class RefinementController:
    """Refines the results of images."""

    def __init__(
        self, state: State, runner: JobRunner, view: View, propagation: PropagationController
    ) -> None:
        self._state, self._runner, self._view = state, runner, view
        self._propagation = propagation

    def refine(self, image: Any, method: str, slices: Sequence[int] | None) -> Job:
        """Refine the predicted slices of an image, the one in view first.

        It waits for a propagation that runs, and refines what that one gives.
        """
        state, settings = self._state, self._state.settings
        result = state.result_of(image)
        if result is None or result.labels is None or result.provenance is None:
            raise InputError("image", "have a prediction to refine", image.name, "Propagate first.")
        # Said at once, not by the job: an unknown method.
        refiner = get_refiner(
            method,
            config=settings.config.propagation.refinement,
            sam_weights=settings.sam_file(method) if method in SAMS else None,
            device=settings.device,
            seed=settings.config.seed,
            store=open_store(),
            cache=state.cache,
        )
        request = PropagationRequest(policy="overwrite", slices=slices)
        run = self._propagation.run_of(image, request, RefinementRun)
        self._supersede(image, run.generation, slices)

        def work(job: Job) -> int:
            refiner.load()
            return run.refine(job, refiner, settings.config.intensity)

        name = "Refining the slice in view" if slices is not None else f"Refining {image.name}"
        return self._propagation.start(name, "refine", work, run)

    def can_discard(self, image: Any) -> bool:
        """Whether there is a refinement that can be kept or discarded."""
        result = self._state.result_of(image)
        return result is not None and bool(_open(result))

    def keep(self, image: Any) -> None:
        """Let the earlier labels go."""
        result = self._state.result_of(image)
        if result is not None:
            result.refined.clear()
        self._state.events.slices.emit()
        self._state.events.propagated.emit()

    def discard(self, image: Any) -> int:
        """Bring the earlier labels back; the number of slices that it changed."""
        self._supersede(image, self._runner.generations.next(), None)  # it may still run
        result = self._state.result_of(image)
        provenance = None if result is None else result.provenance
        back = 0 if result is None or provenance is None else _take_back(result, provenance)
        self.keep(image)
        return back

    def _supersede(self, image: Any, generation: int, slices: Sequence[int] | None) -> None:
        """Refinements of an image before this one are outdated: of these slices, or all."""
        topics = [_topic(image, k) for k in ((None,) if slices is None else slices)]
        self._runner.generations.replace(generation, *topics)
        self._runner.tick()


def _topic(image: Any, index: int | None) -> Hashable:
    """Refinement of one slice of an image, or of all."""
    return "refine", id(image), index


def _open(result: ResultLayers) -> list[Key]:
    """Refined slices that are still predictions: no person took them for right since."""
    provenance = result.provenance
    if provenance is None:
        return []
    return [key for key in result.refined if provenance.status(key) == "predicted"]


def _take_back(result: ResultLayers, provenance: Provenance) -> int:
    """Put back what was there, but not where a person painted since; the number of slices."""
    keys = _open(result)
    if not keys:
        return 0
    step = UndoStep(result.labels, provenance.slicing)
    for key in keys:
        now = earlier = provenance.plane(key).copy()
        # The last one first: where it was undone, the one before it is met.
        for refinement in reversed(result.refined[key]):
            earlier = refinement.before(key, earlier)
        kept = provenance.strokes(key)
        result.write_labels(key, now, np.where(kept, now, earlier), step)
        if result.has_confidence:
            confidence = np.array(provenance.slicing.plane(result.confidence.data, key))
            for refinement in reversed(result.refined[key]):
                confidence = refinement.confidence_before(key, confidence)
            result.write_confidence(key, confidence, step)
    provenance.note_step(step)
    result.refresh()
    return len(keys)
