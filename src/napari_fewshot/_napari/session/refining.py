"""Refinement of results: a job, and the choice to keep or to discard what it changed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backbones.sam import SAMS
from ...device import avoid_llvm_clash
from ...errors import InputError
from ...features.store import FeatureStore
from ...refine import LabelRefiner, RefinedSlice, get_refiner
from ...types import Array
from .jobs import Job
from .runs import Run, Wanted, order_from
from .slicing import Key
from .undo import UndoStep

if TYPE_CHECKING:
    from .propagating import Propagating
    from .state import State

__all__ = ["RefineRun", "Refining"]

_SHOW_EVERY_S = 2.0


@dataclass(frozen=True, eq=False)
class Change:
    """What a refinement changed on one slice: at ``places`` of the flat plane."""

    places: Array
    before: Array
    after: Array
    confidence: Array | None


@dataclass
class RefineRun(Run):
    """One refinement of one result, slice by slice."""

    changes: dict[Key, Change] = field(default_factory=dict)

    def refine(self, job: Job, refiner: LabelRefiner, order: Sequence[int]) -> int:
        """On the worker: refine slices in their order; how many were refined."""
        refined = 0
        for part in refiner.run(order, job.progress):
            if part.refined:
                job.send(part)
                refined += 1
        return refined

    def open(self) -> None:
        """On the GUI thread, before the first piece."""
        provenance = self.target.provenance
        if provenance is not None:
            self._step = UndoStep(self.target.labels, provenance.slicing)

    def take(self, piece: Any) -> None:
        """On the GUI thread: write one slice."""
        part: RefinedSlice = piece
        if self._step is None or self.target.labels not in self.target.viewer.layers:
            return
        key = (*self.lead, part.index)
        before, sure = self._plane_of(self.target.labels, key), self._confidence_of(key)
        if not self.target.write(key, part.labels, part.confidence, "overwrite", self._step):
            return
        self._note(key, before, self._plane_of(self.target.labels, key), sure)
        now = time.perf_counter()
        if now - self._shown > _SHOW_EVERY_S or len(self.changes) == 1:
            self._shown = now
            self.target.refresh()
            self.told()

    def finish(self, prediction: Any) -> None:
        """On the GUI thread: nothing that the whole volume decides."""

    def discard(self) -> int:
        """On the GUI thread: put back what was there, but not where a person painted since."""
        provenance, labels = self.target.provenance, self.target.labels
        if provenance is None or labels is None or labels not in self.target.viewer.layers:
            return 0
        step, back = UndoStep(labels, provenance.slicing), 0
        for key, change in self.changes.items():
            if provenance.is_known(key):
                continue
            now = self._plane_of(labels, key)
            earlier = now.copy()
            flat = earlier.reshape(-1)
            flat[change.places] = np.where(
                flat[change.places] == change.after, change.before, flat[change.places]
            )
            kept = provenance.strokes(key)
            earlier[kept] = now[kept]
            labels.data[provenance.slicing.index(key)] = earlier
            if change.confidence is not None and self._has_confidence:
                self.target.confidence.data[provenance.slicing.index(key)] = change.confidence
            step.note(key, now, earlier)
            back += 1
        provenance.note_step(step.push(), step.predicted, step.copied)
        self.changes.clear()
        self.target.refresh()
        return back

    @property
    def _has_confidence(self) -> bool:
        confidence = self.target.confidence
        return confidence is not None and confidence in self.target.viewer.layers

    def _plane_of(self, layer: Any, key: Key) -> Array:
        provenance = self.target.provenance
        if provenance is None:  # the layer is gone
            return np.empty((0, 0))
        return np.array(provenance.slicing.plane(layer.data, key))

    def _confidence_of(self, key: Key) -> Array | None:
        return self._plane_of(self.target.confidence, key) if self._has_confidence else None

    def _note(self, key: Key, before: Array, after: Array, sure: Array | None) -> None:
        places = np.flatnonzero(before != after)
        known = self.changes.get(key)
        sure = known.confidence if known is not None else sure
        self.changes[key] = Change(
            places,
            before.reshape(-1)[places],
            after.reshape(-1)[places],
            None if sure is None else sure.astype(np.float16),
        )


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
        """Refine the predicted slices of an image, the one in view first."""
        state, settings = self._state, self._state.settings
        result = state.result_of(image)
        if result is None or result.labels is None or result.provenance is None:
            raise InputError("image", "have a prediction to refine", image.name, "Propagate first.")
        # Said at once, not by the job: an unknown method.
        refiner = get_refiner(
            method,
            config=settings.config.propagation.refinement,
            sam_weights=settings.sam_weights if method in SAMS else None,
            device=settings.device,
            seed=settings.config.seed,
            store=FeatureStore(),
            cache=state.cache,
        )
        run = self._propagating.run_of(image, Wanted(policy="overwrite", slices=slices), RefineRun)
        self._propagating.supersede(image)
        run.open()
        result.refinement = run
        first, provenance = self._propagating.first_of(image), result.provenance
        lead = run.lead

        def work(job: Job) -> int:
            avoid_llvm_clash()
            refiner.load()
            labels = np.array(result.labels.data[lead])
            sure = None
            if run._has_confidence:
                sure = np.array(result.confidence.data[lead])
            axis = None if run.volume.ndim == 2 else run.slicing.axis
            volume = LabelRefiner(
                run.volume, labels, sure, refiner, axis=axis, intensity=settings.config.intensity
            )
            predicted = {k[-1] for k in list(provenance.predicted) if k[:-1] == lead}
            open_ones = {k for k in predicted if not provenance.is_known((*lead, k))}
            order = order_from(first, len(volume)) if slices is None else slices
            return run.refine(job, volume, [k for k in order if k in open_ones])

        name = "Refining the slice in view" if slices is not None else f"Refining {image.name}"
        job = Job(name, "refine", work, **self._propagating.callbacks(run))
        return self._propagating.start(job, run)

    def can_discard(self, image: Any) -> bool:
        """Whether there is a refinement that can be kept or discarded."""
        run = self._last_of(image)
        return run is not None and bool(run.changes)

    def keep(self, image: Any) -> None:
        """Let the earlier labels go."""
        self._forget(image)

    def discard(self, image: Any) -> int:
        """Bring the earlier labels back; the number of slices that it changed."""
        run = self._last_of(image)
        if run is None:
            return 0
        self._propagating.supersede(image)  # it may still run
        back = run.discard()
        self._forget(image)
        return back

    def _last_of(self, image: Any) -> RefineRun | None:
        result = self._state.result_of(image)
        return None if result is None else result.refinement

    def _forget(self, image: Any) -> None:
        result = self._state.result_of(image)
        if result is not None:
            result.refinement = None
        self._state.events.slices.emit()
        self._state.events.propagated.emit()
