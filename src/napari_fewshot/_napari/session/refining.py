"""Refinement of results: a job, and the choice to keep or to discard what it changed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import IntensityConfig
from ...device import avoid_llvm_clash
from ...errors import InputError
from ...features.store import FeatureStore
from ...predict.refine import LabelRefiner, RefinedSlice
from ...predict.refiners import Refiner, get_refiner
from ...sam.checkpoint import SAMS
from ...types import Array
from .jobs import Job
from .learning import limit_store
from .runs import Run, Wanted, order_from
from .slicing import Key
from .undo import UndoStep

if TYPE_CHECKING:
    from .propagating import Propagating
    from .results import ResultLayers
    from .state import State

__all__ = ["RefineRun", "Refining"]

_SHOW_EVERY_S = 2.0


@dataclass
class RefineRun(Run):
    """One refinement of one result, slice by slice."""

    _labels: Array | None = None
    _sure: Array | None = None
    _order: list[int] = field(default_factory=list)

    def begin(self, first: int | None) -> None:
        """On the GUI thread, right before the worker starts: take what it needs out of the layers.

        Jobs before this one may have written to the layers after it was asked for.
        """
        target, provenance = self.target, self.target.provenance
        if provenance is None:
            return
        self._step = UndoStep(target.labels, provenance.slicing)
        wanted = self.wanted.slices
        order = order_from(first, self.slicing.count) if wanted is None else wanted
        self._order = [k for k in order if provenance.status((*self.lead, k)) == "predicted"]
        self._labels = self._copied(target.labels.data)
        if target.has_confidence:
            self._sure = self._copied(target.confidence.data)

    def refine(self, job: Job, refiner: Refiner, intensity: IntensityConfig) -> int:
        """On the worker: refine slices in their order; how many were refined."""
        if self._labels is None:  # the result is gone
            return 0
        volume = LabelRefiner(
            self.volume,
            self._labels,
            self._sure,
            refiner,
            axis=None if self.volume.ndim == 2 else self.slicing.axis,
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
        if self._step is None or provenance is None or target.labels not in target.viewer.layers:
            return
        key = (*self.lead, part.index)
        if provenance.status(key) != "predicted":  # its prediction was undone
            return
        before = np.array(provenance.slicing.plane(target.labels.data, key))
        sure = None
        if target.has_confidence:
            sure = np.array(provenance.slicing.plane(target.confidence.data, key))
        labels, sure_now = part.labels, part.confidence
        if not target.write(key, labels, sure_now, "overwrite", self._step, self.entries):
            return
        target.pending.note(key, before, provenance.slicing.plane(target.labels.data, key), sure)
        now = time.perf_counter()
        if now - self._shown > _SHOW_EVERY_S:
            self._shown = now
            target.refresh()
            self.told()

    def finish(self, prediction: Any) -> None:
        """On the GUI thread: nothing that the whole volume decides."""

    def close(self) -> None:
        """On the GUI thread, however it ended."""
        super().close()
        self._labels = self._sure = None

    def _copied(self, data: Any) -> Array:
        """The slices to refine, of an array of a layer; others are not read."""
        copied = np.zeros(self.volume.shape, data.dtype)
        for k in self._order:
            index = self.slicing.index((*self.lead, k))
            copied[index[len(self.lead) :]] = data[index]
        return copied


class Refining:
    """Refines the results of images.

    Parameters
    ----------
    state : State
    propagating : Propagating
    """

    def __init__(self, state: State, propagating: Propagating) -> None:
        self._state = state
        self._propagating = propagating

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
            store=FeatureStore(),
            cache=state.cache,
        )
        run = self._propagating.run_of(image, Wanted(policy="overwrite", slices=slices), RefineRun)
        self._cancel(image, slices)

        def work(job: Job) -> int:
            avoid_llvm_clash()
            refiner.load()
            refined = run.refine(job, refiner, settings.config.intensity)
            limit_store()
            return refined

        def begin() -> None:
            run.begin(self._propagating.first_of(image))

        name = "Refining the slice in view" if slices is not None else f"Refining {image.name}"
        callbacks = self._propagating.callbacks(run)
        return self._propagating.start(Job(name, "refine", work, on_start=begin, **callbacks), run)

    def can_discard(self, image: Any) -> bool:
        """Whether there is a refinement that can be kept or discarded."""
        result = self._state.result_of(image)
        return result is not None and bool(_open(result))

    def keep(self, image: Any) -> None:
        """Let the earlier labels go."""
        self._forget(image)

    def discard(self, image: Any) -> int:
        """Bring the earlier labels back; the number of slices that it changed."""
        self._cancel(image, None)  # it may still run
        result = self._state.result_of(image)
        back = 0 if result is None else _take_back(result)
        self._forget(image)
        return back

    def _cancel(self, image: Any, slices: Sequence[int] | None) -> None:
        """Cancel refinements of an image, of some slices or of all; other runs go on."""

        def outdated(run: Run) -> bool:
            if not isinstance(run, RefineRun):
                return False
            asked = run.wanted.slices
            return slices is None or (asked is not None and set(asked) <= set(slices))

        self._propagating.cancel_runs(image, outdated)

    def _forget(self, image: Any) -> None:
        result = self._state.result_of(image)
        if result is not None:
            result.pending.clear()
        self._state.events.slices.emit()
        self._state.events.propagated.emit()


def _open(result: ResultLayers) -> list[Key]:
    """Refined slices that are still predictions: no person took them for right since."""
    provenance = result.provenance
    if provenance is None:
        return []
    return [key for key in result.pending.keys if provenance.status(key) == "predicted"]


def _take_back(result: ResultLayers) -> int:
    """Put back what was there, but not where a person painted since; the number of slices."""
    keys, provenance, labels = _open(result), result.provenance, result.labels
    if not keys or provenance is None:
        return 0
    slicing, step = provenance.slicing, UndoStep(labels, provenance.slicing)
    for key in keys:
        now = np.array(slicing.plane(labels.data, key))
        earlier = result.pending.before(key, now)
        kept = provenance.strokes(key)
        earlier[kept] = now[kept]
        labels.data[slicing.index(key)] = earlier
        sure = result.pending.confidence(key)
        if sure is not None:
            result.write_confidence(key, sure, step)
        step.note(key, now, earlier)
    provenance.note_step(step)
    result.refresh()
    return len(keys)
