"""Many images as one job: those that are open, time points of one, or the files of a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ...errors import InputError, concerns_all
from ...io.find import find_images
from ...io.formats import output_path
from ...io.image_jobs import ALL_FRAMES, ImageJob, image_jobs
from ...io.outputs import Outputs
from ...jobs import Batch, ImageResult, ModelSource, PredictOptions
from ...segmenter import FewShotSegmenter, Prediction
from ..wording import in_viewer
from .jobs import Callbacks, Job, JobRunner
from .propagation import PropagationController
from .result_layers import ResultLayers
from .run import PropagationRequest, Run
from .slicing import Key
from .state import State
from .teaching import is_result
from .view import View

__all__ = ["BatchController", "BatchItem"]

Progressed = Literal["waiting", "running", "done", "failed", "left"]
"""``left``: it was done before, by this model, or reviewed by a person."""
_PARTS = 1000
"""Of the progress of one image."""


@dataclass
class BatchItem:
    """An image of a job, and what became of it; ``note`` says why it failed."""

    name: str
    state: Progressed = "waiting"
    note: str = ""


@dataclass(eq=False)
class _Turn:
    """An image, or a time point of one: what is written, and how far all of the job is.

    ``last`` of its image; ``there``: its features were computed before.
    """

    item: BatchItem
    run: Run
    first: int | None
    job: Job
    number: int
    of: int
    last: bool = True
    there: bool = False
    is_open: bool = field(default=False, init=False)

    def send(self, piece: Any) -> None:
        """Hand a slice over."""
        self.job.send(partial(self.run.take, piece))

    def progress(self, done: int, total: int, what: str) -> None:
        """How far all images together are."""
        _tell_progress(self.job, self.number, self.of, done, total)

    def check(self) -> None:
        """Raise ``Cancelled`` if nobody wants the job any more."""
        self.job.check()


class BatchController:
    """Labels images one after the other, with the model that there is when it begins.

    ``items`` are those of the last job, ``folder`` is where it wrote files, if it did;
    ``session.batch``.
    """

    def __init__(
        self, state: State, runner: JobRunner, view: View, propagation: PropagationController
    ) -> None:
        self._state, self._runner, self._view = state, runner, view
        self._propagation = propagation
        self.items: list[BatchItem] = []
        self.folder: Path | None = None

    def open_images(self) -> list[Any]:
        """Open images that :meth:`label` would label: those without paint and without a result."""
        state = self._state
        return [
            one
            for one in self._view.viewer.layers
            if one._type_string == "image"
            and not is_result(one)
            and state.channels.leader_of(one) is one
            and not state.entries_of(one)
            and not _has_labels(state.result_of(one))
        ]

    def label(self, images: Sequence[Any] | None = None) -> Job:
        """Label open images (None: :meth:`open_images`), all their time points, as one job.

        Each has a result layer of its own. An image that fails is noted, and the others go on.
        """
        view, model = self._view, self._state.fitted()
        wanted = [view.image(one) for one in (self.open_images() if images is None else images)]
        if not wanted:
            raise InputError(
                "images",
                "be open and have no labels yet",
                "none",
                "Open some, or choose a folder of files.",
            )
        places = [(one, lead) for one in wanted for lead in view.slicing_of(one).leads()]
        name = f"Labelling {len(wanted)} images" if wanted[1:] else f"Labelling {wanted[0].name}"
        self.items, self.folder = [BatchItem(one.name) for one in wanted], None
        return self._start(name, places, self.items, model)

    def places(self, image: Any, leads: Sequence[Key], after: Job) -> Job:
        """Label time points of one image, if the job before (``after``) ends well."""
        name = f"Labelling {len(leads)} more time point{'s' * (len(leads) > 1)} of {image.name}"
        places = [(image, lead) for lead in leads]
        return self._start(name, places, [BatchItem(image.name)], None, after)

    def files(self, folder: Path, out: Path | None = None) -> Job:
        """Label the images of a folder as one job; results go to ``out`` (None: beside them).

        What was labelled there before with the same model is not labelled again, and what a person
        has reviewed never is. Raises InputError if there is no image in the folder.
        """
        state, model = self._state, self._state.fitted()
        settings = state.settings
        model = model.with_propagation(settings.config.propagation)
        paths = find_images("folder", [folder]).images
        target = folder if out is None else out
        items = {path: BatchItem(path.name) for path in paths}
        self.items, self.folder = list(items.values()), target
        sam = settings.sam_file(model.refinement or "")

        def work(job: Job) -> list[ImageResult]:
            ended = 0

            def progress(done: int, total: int, what: str) -> None:
                _tell_progress(job, ended, len(paths), done, total)

            def tell(one: ImageJob, result: ImageResult, error: Exception | None) -> None:
                nonlocal ended
                ended += 1
                job.send(partial(self._note, items[one.image], result.status, error))

            with tempfile.TemporaryDirectory() as temporary:
                path = Path(temporary) / "model.fewshot"
                model.save(path)
                source = ModelSource.of(
                    path, weights=settings.weights, sam_weights=sam, device=settings.device
                )
                options = PredictOptions(landmarks=bool(model.point_labels_))
                readable = []
                for one in paths:
                    try:
                        output_path(one, target)
                    except InputError as error:  # not even its format is known
                        ended += 1
                        job.send(partial(self._note, items[one], "failed", error))
                    else:
                        readable.append(one)
                jobs = image_jobs(readable, target, landmarks=options.landmarks, frame=ALL_FRAMES)
                outputs = Outputs("folder", [*paths, path])
                batch = Batch.open(source, jobs, target, options, outputs)
                return batch.run(tell, progress)

        def end() -> None:
            _sum_up(job, list(items.values()))

        callbacks = Callbacks(piece=_act, end=end)
        name = f"Labelling {len(paths)} file{'s' * (len(paths) > 1)} of {folder.name}"
        job = Job(name, "batch", work, callbacks, stores_features=True)
        return self._runner.start(job)

    # Open images

    def _start(
        self,
        name: str,
        places: Sequence[tuple[Any, Key]],
        items: Sequence[BatchItem],
        model: FewShotSegmenter | None,
        after: Job | None = None,
    ) -> Job:
        state, generations = self._state, self._runner.generations
        by_name = {item.name: item for item in items}
        turns: list[_Turn] = []
        used: list[FewShotSegmenter] = []

        def begin() -> None:
            if after is not None and after.state != "done":
                job.cancel(f"{after.name} did not end")
                return
            base = state.fitted() if model is None else model
            used.append(base.with_propagation(state.settings.config.propagation))
            # Runs are made here: the worker reads nothing that may change.
            targets: dict[int, ResultLayers] = {}
            for number, (image, lead) in enumerate(places):
                run = self._run(image, lead, targets.get(id(image)))
                targets[id(image)] = run.target
                last = number + 1 == len(places) or places[number + 1][0] is not image
                first = self._view.slice_of(image)
                item = by_name[image.name]
                there = (id(image), state.settings.backbone) in state.extracted and not lead
                turns.append(_Turn(item, run, first, job, number, len(places), last, there))

        def work(job: Job) -> int:
            for turn in turns:
                if turn.run.is_outdated(generations):
                    job.send(partial(self._leave, turn))
                    continue
                job.send(partial(self._begin, turn, used[0]))
                try:
                    found = self._propagation.timed(turn.run, turn, used[0], turn.first, turn.there)
                except Exception as error:  # the others go on
                    if concerns_all(error):
                        raise
                    job.send(partial(self._fail, turn, error))
                else:
                    job.send(partial(self._finish, turn, found))
            return len(turns)

        def end() -> None:
            for turn in turns:
                if turn.is_open:
                    self._close(turn)
            _sum_up(job, items)

        callbacks = Callbacks(start=begin, piece=_act, end=end)
        job = Job(name, "batch", work, callbacks, stores_features=True)
        return self._runner.start(job)

    def _run(self, image: Any, lead: Key, target: ResultLayers | None) -> Run:
        there = target is not None or _has_labels(self._state.result_of(image))
        request = PropagationRequest(policy="overwrite" if there else "new", preview=False)
        return self._propagation.run_of(image, request, Run, lead=lead, target=target)

    def _begin(self, turn: _Turn, model: FewShotSegmenter) -> None:
        turn.item.state = "running"
        try:
            turn.run.prepare(model, self._state.labels_like(turn.run.target.image))
        except InputError as error:
            self._fail(turn, error)
        else:
            turn.is_open = True

    def _finish(self, turn: _Turn, found: Prediction | None) -> None:
        if not turn.is_open:  # its layers could not be made
            return
        turn.run.finish(found)
        turn.item.state = "done" if turn.last else "running"
        self._close(turn)

    def _fail(self, turn: _Turn, error: Exception) -> None:
        turn.item.state, turn.item.note = "failed", in_viewer(error)
        if turn.is_open:
            self._close(turn)

    def _leave(self, turn: _Turn) -> None:
        turn.item.state, turn.item.note = "left", "a newer request took its place"

    def _close(self, turn: _Turn) -> None:
        turn.is_open = False
        self._propagation.ended(turn.run, turn.job)

    # Files

    def _note(self, item: BatchItem, status: str, error: Exception | None) -> None:
        item.state = "failed" if error else "done" if status == "done" else "left"
        item.note = in_viewer(error) if error else ""
        self._state.events.propagated.emit()


def _tell_progress(job: Job, ended: int, of: int, done: int, total: int) -> None:
    """How far a job is after so many of its images, and so much of the next one."""
    part = _PARTS * done // total if total else 0
    job.progress(_PARTS * ended + part, _PARTS * of, "images")
    job.rate = None  # of thousandths


def _act(piece: Callable[[], None]) -> None:
    piece()


def _has_labels(result: ResultLayers | None) -> bool:
    return result is not None and result.has_labels


def _sum_up(job: Job, items: Sequence[BatchItem]) -> None:
    """Say what became of all."""
    for one in items:
        if one.state in ("waiting", "running"):
            one.state, one.note = "waiting", "not labelled"
    failed = sum(one.state == "failed" for one in items)
    if failed and job.state == "done":
        job.note = f"done, but {failed} of {len(items)} failed"
