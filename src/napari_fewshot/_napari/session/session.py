"""The session of a viewer, as scripts and widgets see it: it names what can be asked for."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...config import BOX_SAM, DEFAULT_SAM
from ...segmenter import FewShotSegmenter, HeldOutScore
from ..open_files import check_is_no_open_file
from .autosave.restore import RestoreController, Unfinished
from .autosave.storage import SessionStorage
from .batch import BatchController
from .clicks import SessionClicks
from .costs import CostController
from .estimates import Estimate
from .exports import ExportController
from .finetuning import SessionFinetuning
from .found_landmarks import FoundLandmarks
from .jobs import Job, JobRunner, Stage
from .labelling import LabellingController
from .layer_watch import LayerWatch
from .notifications import Activity, LibraryWarnings
from .objects import SessionObjects
from .painting import PaintController
from .pairs import PairController
from .point_numbers import PointNumbers
from .polishing import PolishingController
from .propagation import PropagationController
from .refinement import RefinementController
from .renewal import RenewalController
from .result_layers import Policy
from .review import ReviewController, SliceInfo
from .run import PropagationRequest
from .sam import SamController
from .state import SessionEvents, SessionSettings, State
from .templates import Kind, TemplateEntry
from .training import TrainingController
from .view import View

__all__ = ["Session"]


class Session:
    """Few-shot segmentation in one viewer; :func:`napari_fewshot.viewer_session` gives it.

    Methods are called on the GUI thread and return at once; a wrong request raises an InputError.
    Long work runs on a worker as a :class:`Job`, to watch, wait for and cancel. Layers are given
    themselves or by name; an image that is not given is the active one, else the topmost that is
    visible; a slice that is not given is the one in view. ``painting`` has the labels,
    ``labelling`` the one button, ``batch`` many images, ``channels`` of one image, ``objects`` of
    labels, ``landmarks`` points, ``exports`` files, ``clicks`` masks, ``finetuning`` networks.
    """

    def __init__(self, viewer_reference: weakref.ReferenceType[Any]) -> None:
        state = self._state = State(settings=SessionSettings.preferred())
        self._activity = Activity(state.events)
        runner = self._runner = JobRunner(self._activity.tell, self._activity.show)
        view = self._view = View(viewer_reference, state)
        common = (state, runner, view)
        self._pairs, self._warnings = PairController(state, view), LibraryWarnings()
        self._training = TrainingController(*common)
        self._polishing = PolishingController(state, runner, self._training)
        self._costs, self._storage = CostController(state, view), SessionStorage(state, runner)
        self._propagation = PropagationController(*common, self._training, self._storage)
        self._restoring = RestoreController(*common, self._training, self._pairs, self._storage)
        self.channels, self.exports = state.channels, ExportController(state, runner)
        self.painting = PaintController(state, view, self._pairs)
        self.batch = BatchController(*common, self._propagation)
        makers = (self._training, self._propagation, self.painting, self.batch)
        self.labelling = LabellingController(state, view, *makers)
        self._numbers = PointNumbers(state, self._storage.soon)
        self._refinement = RefinementController(*common, self._propagation)
        self._renewal = RenewalController(*common, self._training, self._propagation)
        self._sam, self.clicks = SamController(*common), SessionClicks(*common)
        self.landmarks = FoundLandmarks(*common, self._training, self._storage.soon)
        self.objects = SessionObjects(*common, self._pairs)
        self.finetuning = SessionFinetuning(state, view, self._training, self._activity)
        self._review = ReviewController(state, view, self._propagation, self._storage)
        self._watch = LayerWatch(*common, self._propagation, self._storage, self.close)

    @property
    def events(self) -> SessionEvents:
        """Psygnal events; ``job`` gives a Job whose state has changed, ``failed`` a text."""
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
        """Held-out score of the model, as soon as it is there; else see :attr:`unscored`."""
        return self._state.scores

    @property
    def unscored(self) -> str:
        """Why there is no held-out score, for people; empty where there is one."""
        return self._training.unscored

    @property
    def outdated(self) -> tuple[str, ...]:
        """Settings that were changed since the model was trained, by their names."""
        return self._training.outdated

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Jobs that run or wait."""
        return (*self._runner.jobs, *self.finetuning.jobs)

    def configure(self, **changes: Any) -> None:
        """Change settings, for what is asked for from now on; a wrong one changes nothing.

        ``changes`` are fields of :class:`SessionSettings`, ``of_adapter`` (a dict for the chosen
        one), or of :class:`~napari_fewshot.SegmenterConfig`, sections as dicts.
        """
        self._training.configure(changes)

    def add_template(
        self, image: Any, labels: Any, *, kind: Kind | None = None, axis: int | None = None
    ) -> TemplateEntry:
        """Learn from an image and its labels or points from now on.

        Labels have the shape of the image, or of its spatial axes. ``kind`` None: as set, points
        for a Points layer. ``axis``: painted spatial one; None: as painted, as set, or in view.
        """
        labels = self._view.layer(labels, ("labels", "points"), "labels")
        return self._pairs.add(self._view.image(image), labels, kind, axis)

    def retype_template(self, entry: TemplateEntry, kind: Kind) -> TemplateEntry:
        """Say that a template is dense, or scribbles, from now on; its new entry."""
        return self._pairs.retype(entry, kind)

    def doubt(self, image: Any, labels: Any) -> str:
        """Why a layer may not be of an image, for people; empty if nothing speaks against it."""
        return self._pairs.doubt(image, labels)

    def remove_template(self, entry: TemplateEntry) -> None:
        """Learn from these layers no longer; they stay in the viewer."""
        self._pairs.remove(entry)

    def label_names(self) -> dict[int, str]:
        """Names of the labels of the templates and the model."""
        return self._state.label_names()

    def label_colours(self) -> dict[int, tuple[float, ...]]:
        """Colour (R, G, B, A in 0..1) of each label, as its layer shows it."""
        return self._state.label_colours()

    def estimate(self, stage: Stage, image: Any = None) -> Estimate:
        """How long a stage should take, and how much it keeps on disk."""
        return self._costs.estimate(stage, self._view.image_or_none(image))

    def extract(self, image: Any = None) -> Job:
        """Compute features of the templates and of an image ahead of their use."""
        self._state.require_templates()
        return self._training.extract(self._view.image_or_none(image))

    def train(self, *, score: bool = True, anew: bool = False) -> Job:
        """Fit a model, on top of one that was opened unless ``anew``; then ``score`` it."""
        self._state.require_templates()
        return self._training.train(score=score, anew=anew)

    def polish(self, minutes: float | None = None) -> Job:
        """Train the embedded network on what the model has learned from, as one more expert.

        In ``minutes`` at most (None: as set). Stopped, it keeps the best; results are renewed.
        """
        return self._polishing.polish(minutes)

    def propagate(
        self,
        image: Any = None,
        *,
        into: Any = None,
        policy: Policy = "new",
        confidence: bool = True,
        landmarks: bool = True,
        slices: Sequence[int] | None = None,
        all_planes: bool = False,
    ) -> Job:
        """Label what is in view of an image with the model; the slice in view first.

        ``into`` is a layer that takes the labels, with ``policy``: ``new``, a new layer; ``fill``,
        only empty voxels; ``overwrite``, predictions are replaced. What a person painted stays.
        ``confidence``, ``landmarks``: make layers of them. ``slices``: only these. ``all_planes``:
        then as ``axis="fused"`` of :meth:`FewShotSegmenter.predict`.
        """
        image, model = self._view.image(image), self._state.fitted()
        into = None if into is None else self._view.layer(into, ("labels",), "into")
        some = self._view.checked(slices, image)
        asked = PropagationRequest(into, policy, confidence, landmarks, some, all_planes=all_planes)
        return self._propagation.propagate(model, image, asked)

    def update(self, image: Any = None) -> Job:
        """Learn from what was painted and corrected since; the slice in view is redone first."""
        self._state.require_templates()
        return self._propagation.update(self._view.image(image))

    def cancel(self) -> None:
        """Stop all jobs; each does within one batch."""
        self._runner.cancel()
        self.finetuning.cancel()

    @property
    def live(self) -> bool:
        """Whether the slice in view is redone after each stroke."""
        return self._review.live

    @live.setter
    def live(self, on: bool) -> None:
        self._review.live = bool(on)
        self.events.settings.emit()

    def refine(
        self, image: Any = None, *, method: str = "auto", slices: Sequence[int] | None = None
    ) -> Job:
        """Make the predicted labels of an image more exact; the slice in view comes first.

        ``method``: ``"random-walker"``, the name of a SAM, or ``"auto"``: a SAM whose weights are
        here, else the random walker. Its changes can be kept or discarded, and are one undo step.
        It waits for a propagation that runs. ``Job.result`` counts the slices refined.
        """
        image = self._view.image(image)
        return self._refinement.refine(image, method, self._view.checked(slices, image))

    def can_discard_refinement(self, image: Any = None) -> bool:
        """Whether there is a refinement that was neither kept nor discarded."""
        found = self._view.image_or_none(image)
        return found is not None and self._refinement.can_discard(found)

    def keep_refinement(self, image: Any = None) -> None:
        """Let the labels from before the refinements go."""
        self._refinement.keep(self._view.image(image))

    def discard_refinement(self, image: Any = None) -> int:
        """Bring back labels from before the refinements, unless written since; slices changed."""
        return self._refinement.discard(self._view.image(image))

    def segment_everything(
        self,
        image: Any = None,
        *,
        sam: str = DEFAULT_SAM,
        slices: Sequence[int] | None = None,
        **settings: Any,
    ) -> Job:
        """Find all objects of an image with SAM's automatic mode, each with a label of its own.

        They go to a new layer, the slice in view first. ``Job.result`` counts them. ``settings``
        are fields of :class:`~napari_fewshot.config.AutomaticConfig`.
        """
        image = self._view.image(image)
        return self._sam.segment_everything(image, sam, self._view.checked(slices, image), settings)

    def segment_boxes(
        self,
        boxes: Any,
        image: Any = None,
        *,
        sam: str = BOX_SAM,
        label: int | None = None,
        slices: Sequence[int] | None = None,
        **settings: Any,
    ) -> Job:
        """Segment what is in the boxes of a shapes layer, with MedSAM or another SAM.

        It goes to a new layer; where masks overlap, the higher score counts. ``boxes`` are shapes,
        each on one slice. Their feature ``label`` tells what is in each, else ``label``; None: each
        has its own. ``settings`` are fields of :class:`~napari_fewshot.config.RegionConfig`.
        """
        image, shapes = self._view.image(image), self._view.layer(boxes, ("shapes",), "boxes")
        slices = self._view.checked(slices, image)
        return self._sam.segment_boxes(image, shapes, sam, label, slices, settings)

    def segment_like(
        self, image: Any = None, *, sam: str = DEFAULT_SAM, slices: Sequence[int] | None = None
    ) -> Job:
        """Find what the templates show, with PerSAM (one slice is enough), in a new layer."""
        image, templates = self._view.image(image), self._training.templates()
        return self._sam.segment_like(image, sam, self._view.checked(slices, image), templates)

    def slices(self, image: Any = None) -> tuple[SliceInfo, ...]:
        """Status and score of all slices along the working axis."""
        return self._review.slices(self._view.image(image))

    def slice_in_view(self, image: Any = None) -> int | None:
        """Slice of an image at the place of the sliders; None beyond it, or without an image."""
        found = self._view.image_or_none(image)
        return None if found is None else self._view.slice_of(found)

    def go_to(self, index: int, image: Any = None) -> None:
        """Show a slice of an image."""
        self._view.go_to(self._view.image(image), index)

    def axis_names(self, image: Any) -> tuple[str, ...]:
        """Names of the spatial axes of an image."""
        return self._view.axis_names(self._view.image(image))

    def sliced_axis(self, image: Any) -> int | None:
        """Spatial axis that the viewer slices; None for an image of two axes."""
        return self._view.sliced_axis(self._view.image(image))

    def result_layer(self, image: Any) -> Any:
        """Labels layer that propagation wrote last for an image, or None."""
        found = self._state.result_of(self._view.image(image))
        return None if found is None else found.labels

    def images_of(self, labels: Any) -> tuple[Any, ...]:
        """Images that a labels layer is the result of, or a template of."""
        return tuple(self._state.images_of(labels))

    def owner_of(self, labels: Any, image: Any) -> str:
        """Name of another image that a layer is of, also of one that was removed, or empty."""
        return self._state.owner_of(labels, image)

    def mark_reviewed(self, index: int | None = None, image: Any = None) -> None:
        """All that is on a slice is painted, even if that is nothing."""
        self._review.mark_reviewed(self._view.image(image), index)

    def unmark_reviewed(self, index: int | None = None, image: Any = None) -> None:
        """Take :meth:`mark_reviewed` back."""
        self._review.unmark_reviewed(self._view.image(image), index)

    def review_layer(self, index: int | None = None, image: Any = None) -> Any:
        """Labels layer whose slice :meth:`mark_reviewed` takes for complete."""
        return self._review.review_layer(self._view.image(image), index)

    def accept(self, index: int | None = None, image: Any = None) -> None:
        """Take the prediction on a slice, as corrected, for a template."""
        self._review.accept(self._view.image(image), index)

    def unaccept(self, index: int | None = None, image: Any = None) -> None:
        """Take :meth:`accept` back; strokes on the slice stay."""
        self._review.unaccept(self._view.image(image), index)

    def next_slice(self, image: Any = None) -> int | None:
        """Slice where painting should help most; None when all are known."""
        return self._review.next_slice(self._view.image(image))

    def save_model(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file, also for the command line."""
        check_is_no_open_file(Path(path), self._view.viewer.layers)
        self._state.fitted().with_card(score=self._state.scores).save(path)

    def load_model(self, path: str | os.PathLike[str]) -> None:
        """Read a model from a file, in place of the present one, with its settings."""
        self._training.load(path)

    @property
    def autosave_folder(self) -> Path | None:
        """Folder that templates and results are kept in, from the first result on; None: none."""
        return self._storage.folder

    @autosave_folder.setter
    def autosave_folder(self, folder: str | os.PathLike[str] | None) -> None:
        self._storage.folder = None if folder is None else Path(folder)
        self._storage.chosen = True
        self.events.settings.emit()

    def save(self, folder: str | os.PathLike[str] | None = None) -> Job:
        """Write templates, results and the model to a folder (None: the autosave folder)."""
        return self._storage.save(folder)

    def latest_autosave(self, image: Any = None) -> Path | None:
        """What :meth:`restore` opens: the last session with an image, also of another day."""
        return self._restoring.latest(self._view.image_or_none(image))

    def unfinished(self, image: Any = None) -> Unfinished | None:
        """Saved work on an image (None: any) that nothing was begun on: :meth:`restore` it."""
        return self._restoring.unfinished(None if image is None else self._view.image(image))

    def leave_unfinished(self, image: Any = None) -> None:
        """Offer saved work on an image no longer."""
        self._restoring.leave(self._view.image(image))

    def restore(self, folder: str | os.PathLike[str] | None = None) -> Job:
        """Open what was saved (None: the :meth:`latest_autosave`), but nothing twice."""
        return self._restoring.restore(folder, self._view.image_or_none())

    def close(self) -> None:
        """Cancel all work and let the viewer go; done by itself when the window closes."""
        self._review.live = False
        own = (self.finetuning, self.landmarks, self._storage, self._review, self.clicks)
        for one in (*own, self._runner, self._activity, self._numbers, self._warnings, self._watch):
            one.close()
