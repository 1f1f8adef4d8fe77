"""The session of a viewer: templates, training, propagation, corrections; what widgets show."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import InputError, NotFittedError
from ...segmenter import FewShotSegmenter, HeldOutScore
from .corrections import Corrections
from .estimates import Estimate
from .jobs import Job, Stage
from .keeping import Keeping
from .layer_watch import LayerWatch
from .learning import Learning
from .lookup import the_layer
from .notices import Notices
from .propagating import Propagating
from .provenance import Provenance, provenance_of
from .refined import Refined
from .refining import Refining
from .results import POLICIES, Policy
from .runs import Wanted
from .settings import SessionSettings
from .slices import SliceInfo, next_slice, slices_of
from .state import SessionEvents, State
from .templates import Kind, TemplateEntry, entry_of
from .view import lead_in_view

__all__ = ["Session"]


class Session(Refined):
    """Few-shot segmentation in one viewer; :func:`napari_fewshot.viewer_session` gives it.

    Methods are called on the GUI thread and return at once. Long work runs on a worker as a
    :class:`Job`, which can be watched, waited for and cancelled. Layers are given themselves or
    by name; an image that is not given is the active one, else the topmost that is visible.

    Parameters
    ----------
    state : State
        Of a viewer.

    Attributes
    ----------
    events : SessionEvents
        psygnal events ``settings``, ``templates``, ``slices``, ``trained``, ``scored``,
        ``propagated``, ``layers``, ``job`` (a Job whose state has changed), ``failed`` (a text).
    """

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._learning = Learning(state)
        self._propagating = Propagating(state, self._learning, self._after_results)
        self._refining = Refining(state, self._propagating)
        self._corrections = Corrections(state, self._after_stroke)
        self._keeping = Keeping(state)
        self._notices = Notices()
        self._watch = LayerWatch(
            state, self._propagating, self._corrections, self._keeping, self.close
        )
        self._live = False

    @property
    def events(self) -> SessionEvents:
        """What the session tells."""
        return self._state.events

    @property
    def settings(self) -> SessionSettings:
        """What it is set to; see :meth:`configure`."""
        return self._state.settings

    @property
    def templates(self) -> tuple[TemplateEntry, ...]:
        """Pairs of layers that it learns from, in the order in which they were added."""
        return tuple(self._state.entries)

    @property
    def model(self) -> FewShotSegmenter | None:
        """Model that was trained or loaded last."""
        return self._state.model

    @property
    def scores(self) -> HeldOutScore | None:
        """Held-out score of the model, as soon as it is there."""
        return self._state.scores

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Jobs that run or wait."""
        return self._state.runner.jobs

    def configure(self, **changes: Any) -> None:
        """Change settings.

        Parameters
        ----------
        **changes
            Fields of :class:`SessionSettings` (``backbone``, ``weights``, ``adapter``,
            ``device``, ``axis``, ``template_kind``, ``position``, ``memory_mb``, ``sam_weights``),
            ``of_adapter`` (a dict for the chosen adapter), or sections of
            :class:`~napari_fewshot.SegmenterConfig` as dicts.

        Raises
        ------
        UnknownNameError, InputError
            If a name is unknown or a value breaks its limit; then nothing is changed.
        """
        state, before = self._state, self._state.settings
        after = before.changed(changes)
        if after == before:
            return
        state.settings = after
        if after.memory_mb != before.memory_mb:
            state.cache.resize(after.memory_mb)
            state.extracted.clear()
        # Settings of propagation count from the next one on, whatever is being learned.
        config = after.config.model_copy(update={"propagation": before.config.propagation})
        if (config, after.weights, after.device) != (before.config, before.weights, before.device):
            state.runner.cancel("extract", "train", "score", "update")  # outdated
        state.events.settings.emit()

    # ------------------------------------------------------------------ templates

    def add_template(
        self, image: Any, labels: Any, *, kind: Kind | None = None, axis: int | None = None
    ) -> TemplateEntry:
        """Learn from an image and its labels or points from now on.

        Parameters
        ----------
        image : napari.layers.Image or str
            What was painted on.
        labels : napari.layers.Labels, napari.layers.Points or str
            Of the shape of the image, or of its spatial axes.
        kind : {"dense", "scribble", "points"}, optional
            None: as set (:attr:`SessionSettings.template_kind`), points for a Points layer.
        axis : int, optional
            Spatial axis that is painted; None: as set, else the one being sliced. Labels that
            are clearly painted along another one keep it.

        Raises
        ------
        InputError
            If the layers do not go together.
        """
        state = self._state
        image = the_layer(state.viewer, image, ("image",), "image")
        labels = the_layer(state.viewer, labels, ("labels", "points"), "labels")
        for entry in state.entries:
            if entry.image is image and entry.labels is labels:
                return entry
        if kind is None and labels._type_string == "labels":
            kind = self.settings.template_kind
        working = state.axis_for(image) if axis is None else axis
        lead = lead_in_view(state.viewer, image)
        entry = entry_of(image, labels, kind, working, lead)
        found = provenance_of(labels)
        if found is not None and found.predicted and found.slicing.shape == entry.slicing.shape:
            entry = replace(entry, slicing=found.slicing)  # what is predicted stays no paint
        if entry.kind != "points" and (found is None or found.slicing != entry.slicing):
            Provenance(labels, entry.slicing)
        state.entries.append(entry)
        self._corrections.watch()
        state.events.templates.emit()
        state.events.slices.emit()
        return entry

    def remove_template(self, entry: TemplateEntry) -> None:
        """Learn from these layers no longer; they stay in the viewer."""
        if entry not in self._state.entries:
            raise InputError("entry", "be a template of this session", str(entry))
        self._state.entries.remove(entry)
        self.events.templates.emit()
        self.events.slices.emit()

    # ------------------------------------------------------------------ long work

    def estimate(self, stage: Stage, image: Any = None) -> Estimate:
        """How long a stage should take, and how much it keeps."""
        found = self._image_or_none() if image is None else self._image(image)
        return self._keeping.estimate(stage, found)

    def extract(self, image: Any = None) -> Job:
        """Compute features of the templates and of an image ahead of their use."""
        self._require_templates()
        found = self._image_or_none() if image is None else self._image(image)
        lead = () if found is None else lead_in_view(self._state.viewer, found)
        return self._learning.extract(found, lead)

    def train(self, *, score: bool = True) -> Job:
        """Fit a model to the templates; ``Job.result`` is the :class:`FewShotSegmenter`.

        Parameters
        ----------
        score : bool
            Whether to estimate afterwards how good it is, in a job of its own.
        """
        self._require_templates()
        return self._learning.train(score=score)

    def propagate(
        self,
        image: Any = None,
        *,
        into: Any = None,
        policy: Policy = "new",
        confidence: bool = True,
        landmarks: bool = True,
        slices: Sequence[int] | None = None,
    ) -> Job:
        """Label an image with the model; the slice in view comes first.

        Parameters
        ----------
        image : napari.layers.Image or str, optional
            Also one without templates. Of a time series the place in view is labelled.
        into : napari.layers.Labels or str, optional
            Existing layer that takes the labels, with ``policy``.
        policy : {"new", "fill", "overwrite"}
            ``new``: a new layer. ``fill``: only voxels that are empty. ``overwrite``:
            predictions are replaced. Slices and strokes of a person are never written to.
        confidence, landmarks : bool
            Whether to make an image layer of confidence, a points layer of landmarks.
        slices : sequence of int, optional
            Only these.

        Raises
        ------
        NotFittedError
            If there is no model.
        InputError
            If image, layer and model do not go together.
        """
        state = self._state
        image = self._image(image)
        if state.model is None:
            raise NotFittedError("There is no model yet: train one, or load one.")
        if policy not in POLICIES:
            raise InputError("policy", f"be one of {', '.join(POLICIES)}", policy)
        if into is not None:
            into = the_layer(state.viewer, into, ("labels",), "into")
            policy = "overwrite" if policy == "new" else policy
        self._check_slices(image, slices)
        wanted = Wanted(into, policy, confidence, landmarks, slices)
        job = self._propagating.propagate(state.model, image, wanted)
        self._corrections.watch()
        return job

    def update(self, image: Any = None) -> Job:
        """Learn from what was painted and corrected since; the slice in view is redone first."""
        self._require_templates()
        return self._update(self._image(image))

    def cancel(self) -> None:
        """Stop all jobs; each does within one batch."""
        self._state.runner.cancel()

    @property
    def live(self) -> bool:
        """Whether the slice in view is redone after each stroke."""
        return self._live

    @live.setter
    def live(self, on: bool) -> None:
        self._live = bool(on)
        self._corrections.watch()
        self.events.settings.emit()

    # ------------------------------------------------------------------ slices

    def slices(self, image: Any = None) -> tuple[SliceInfo, ...]:
        """Status and score of all slices along the working axis."""
        image = self._image(image)
        return slices_of(self._state, image, lead_in_view(self._state.viewer, image))

    def mark_reviewed(self, index: int | None = None, image: Any = None) -> None:
        """All that is on a slice (None: in view) is painted, even if that is nothing."""
        image = self._image(image)
        self._corrections.mark_reviewed(image, index)
        self._after_stroke(image)

    def unmark_reviewed(self, index: int | None = None, image: Any = None) -> None:
        """Take :meth:`mark_reviewed` back."""
        self._corrections.unmark_reviewed(self._image(image), index)
        self._keeping.soon()

    def review_layer(self, index: int | None = None, image: Any = None) -> Any:
        """Labels layer whose slice (None: in view) :meth:`mark_reviewed` takes for complete."""
        return self._corrections.review_layer(self._image(image), index)

    def accept(self, index: int | None = None, image: Any = None) -> None:
        """Take the prediction on a slice (None: in view), as corrected, for a template.

        Raises
        ------
        InputError
            If the slice has no prediction.
        """
        image = self._image(image)
        self._corrections.accept(image, index)
        self._after_stroke(image)

    def next_slice(self, image: Any = None) -> int | None:
        """Slice where painting should help most; None when all are known."""
        image = self._image(image)
        return next_slice(self._state, image, lead_in_view(self._state.viewer, image))

    # ------------------------------------------------------------------ files

    def save_model(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file, also for the command line."""
        if self.model is None:
            raise NotFittedError("There is no model yet: train one, or load one.")
        self.model.save(path)

    def load_model(self, path: str | os.PathLike[str]) -> None:
        """Read a model from a file, in place of the present one, with its settings."""
        self._keeping.load_model(path, self._learning)

    @property
    def autosave_folder(self) -> Path | None:
        """Folder that templates and results are kept in; None: they are not.

        Set by itself with the first propagation, to a folder of the user's data.
        """
        return self._keeping.folder

    @autosave_folder.setter
    def autosave_folder(self, folder: str | os.PathLike[str] | None) -> None:
        self._keeping.folder = None if folder is None else Path(folder)
        self._keeping.chosen = True
        self.events.settings.emit()

    def save(self, folder: str | os.PathLike[str] | None = None) -> Job:
        """Write templates, results and the model to a folder (None: the autosave folder)."""
        return self._keeping.save(folder)

    def latest_autosave(self, image: Any = None) -> Path | None:
        """Folder of the last session with an image, also of another day."""
        return self._keeping.latest(self._image_or_none() if image is None else self._image(image))

    def restore(self, folder: str | os.PathLike[str] | None = None) -> Job:
        """Open what was saved in a folder (None: the last one of the image in view).

        Raises
        ------
        InputError
            If there is none; the job fails if the images are not open.
        """
        return self._keeping.restore(folder, self._image_or_none(), self)

    def close(self) -> None:
        """Cancel all work and let the viewer go; done by itself when the window closes."""
        self._live = False
        self._keeping.close()
        self._corrections.close()
        self._state.runner.close()
        self._state.activity.close()
        self._notices.close()
        self._watch.close()

    # ------------------------------------------------------------------ inside

    def _require_templates(self) -> None:
        if not self._state.sources():
            raise InputError("templates", "be added first", "none", "Add an image with its labels.")

    def _update(self, image: Any, *, alone: bool = False) -> Job:
        result = self._state.result_of(image)
        there = result is not None and result.labels is not None
        wanted = Wanted(policy="overwrite" if there else "new", landmarks=not alone)
        job = self._propagating.update(image, wanted, alone=alone)
        self._corrections.watch()
        return job

    def _after_stroke(self, image: Any) -> None:
        self._keeping.soon()
        if self._live and self.model is not None and self._state.result_of(image) is not None:
            self._update(image, alone=True)

    def _after_results(self, image: Any) -> None:
        self._corrections.watch()
        self._keeping.after_results(image)
        self._learning.score_if_wanted()
