"""Many images with one model, one after the other or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FewShotError, InputError, concerns_all
from ..io.checks import LARGEST_LABEL
from ..io.dicom.codes import codes_for
from ..io.formats import check_holds, format_by_name
from ..io.image_jobs import ImageJob, image_jobs
from ..io.outputs import Outputs
from ..types import Progress, no_progress
from .journal import Journal
from .request import ModelSource, PredictOptions
from .table import TABLE, ImageResult, check_table, read_table, same_file, write_table
from .work import Work

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Batch", "Ended", "predict_many"]

Ended = Callable[[ImageJob, ImageResult, Exception | None], None]
"""``ended(job, result, error)`` after each image; the error of one that failed."""


def _unheard(job: ImageJob, result: ImageResult, error: Exception | None) -> None:
    """Take no notice."""


@dataclass(frozen=True)
class Batch:
    """A run over many images: what is left of it, and what is there already.

    Made by :meth:`open`.
    """

    source: ModelSource
    jobs: tuple[ImageJob, ...]
    work: Work
    folder: Path
    before: dict[ImageJob, ImageResult] = field(default_factory=dict)
    """Images that are done, or that a person has reviewed."""

    @classmethod
    def open(
        cls,
        source: ModelSource,
        jobs: Sequence[ImageJob],
        folder: Path,
        options: PredictOptions,
        outputs: Outputs,
    ) -> Batch:
        """See what is left, and check that all that is written may be written.

        What a run with the same model and settings has finished is not done again, and what a
        person has reviewed is never: but with ``outputs.overwrite`` all is.

        Raises
        ------
        InputError
            If a file is in the way that no run has written, or that was changed since; with
            ``outputs.overwrite``, one that the model has learned from.
        """
        table = check_table(outputs.parameter, folder / TABLE, overwrite=outputs.overwrite)
        journal = Journal.of(folder, source.key(options), anew=outputs.overwrite)
        before: dict[ImageJob, ImageResult] = {}
        if not outputs.overwrite:
            done = journal.finished(list(jobs))
            before = {job: replace(row, status="skipped") for job, row in done.items()}
            before |= _reviewed(jobs, table)
        left = [job for job in jobs if job not in before]
        paths = [path for job in left for path in job.outputs]
        outputs.check(paths)
        if left:
            outputs.taught = source.segmenter().card_.files
            outputs.check(paths)
        return cls(source, tuple(jobs), Work(options, outputs, journal), folder, before)

    def run(
        self,
        ended: Ended = _unheard,
        progress: Progress = no_progress,
        client: Client | None = None,
    ) -> list[ImageResult]:
        """Label what is left; a bad image is recorded, and the others go on.

        Where there are several images, or a table, it is written, also after an interruption.

        Parameters
        ----------
        ended : callable
            Told of each image, those first that were there before.
        progress : callable
            Counts the slices of each image; with a client the images (and blocks of large ones).
        client : distributed.Client, optional
            Where images are labelled; None: in this process.

        Raises
        ------
        FewShotError, OSError
            What concerns all images: a model, weights or workers that cannot be had, a full disk.
        """
        self._check_formats()
        if self.work.outputs.overwrite:
            self._forget_reviews()
        found = dict(self.before)
        for job, result in found.items():
            ended(job, result, None)
        left = [job for job in self.jobs if job not in found]
        try:
            for job, result, error in self._outcomes(left, progress, client):
                found[job] = result
                ended(job, result, error)
        finally:
            with suppress(FewShotError, OSError):
                self._write_table(found)
        return [found[job] for job in self.jobs]

    def _check_formats(self) -> None:
        """Check before the work that files can hold the labels of the model, and their codes."""
        left = [job for job in self.jobs if job not in self.before]
        codes = self.work.options.codes
        if left and codes is not None:
            model = self.source.segmenter()
            codes_for(codes, model.names_, model.label_values_)
        narrow = [job for job in left if format_by_name(job.labels).largest < LARGEST_LABEL]
        if narrow:
            labels = self.source.segmenter().label_values_
            for job in narrow:
                check_holds(job.labels, labels, 2)

    def _outcomes(
        self, left: Sequence[ImageJob], progress: Progress, client: Client | None
    ) -> Iterator[tuple[ImageJob, ImageResult, Exception | None]]:
        if not left:
            return
        outcomes = self._here(left, progress)
        if client is not None:
            from .cluster import on_cluster

            outcomes = on_cluster(client, self.source, self.work, left, progress)
        for job, outcome in outcomes:
            if isinstance(outcome, ImageResult):
                yield job, replace(outcome, image=job.image), None
                continue
            if concerns_all(outcome):
                raise outcome
            yield job, ImageResult(job.image, status="failed", error=_words(outcome)), outcome

    def _here(
        self, left: Sequence[ImageJob], progress: Progress
    ) -> Iterator[tuple[ImageJob, ImageResult | Exception]]:
        loaded = self.source.load(self.work.options)
        for job in left:
            try:
                yield job, self.work.label(loaded, job, progress)
            except Exception as error:
                yield job, error

    def _write_table(self, found: Mapping[ImageJob, ImageResult]) -> None:
        """Write what became of the images of this run; what was reviewed of others stays.

        A person may have marked rows while the run went on: they hold where it wrote no labels.
        """
        table = self.folder / TABLE
        if not found or (len(self.jobs) == 1 and not table.exists()):
            return
        rows = {same_file(job.labels): result for job, result in found.items()}
        with suppress(InputError):  # none, or something else that is to be overwritten
            for row in read_table(table, bad_rows=True):
                key = same_file(row.labels or row.image)
                if row.status == "reviewed" and (key not in rows or rows[key].status != "done"):
                    rows[key] = replace(row, image=rows[key].image) if key in rows else row
        write_table(table, rows.values())

    def _forget_reviews(self) -> None:
        """Before labels are done anew: a run that is killed leaves none of them as reviewed."""
        table, mine = self.folder / TABLE, {same_file(job.labels) for job in self.jobs}
        with suppress(InputError):
            rows = read_table(table)
            again = {r for r in rows if r.status == "reviewed" and _key(r.labels) in mine}
            if again:
                write_table(table, [replace(r, status="done") if r in again else r for r in rows])


def predict_many(
    model: str | os.PathLike[str] | ModelSource,
    images: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    options: PredictOptions | None = None,
    *,
    client: Client | None = None,
    progress: Progress = no_progress,
    overwrite: bool = False,
) -> list[ImageResult]:
    """Label many images with a model, here or on a cluster, and write the results.

    Every image gives ``<stem>_labels`` in the folder ``out``, in its own format and on its own
    grid; images of equal stem keep their folders. What became of each stands in a table,
    ``napari-fewshot-results.csv``. A run that was stopped goes on where it was: what is finished
    with the same model and settings, from the same image, is not done again.

    Parameters
    ----------
    model : path or ModelSource
        Model file; a :class:`~napari_fewshot.jobs.ModelSource` says with which weights, on which
        device, with which feature store and settings of the propagation.
    images : sequence of path
        Images; for DICOM the folder of a series.
    out : path
        Folder of the results.
    options : PredictOptions, optional
        How images are labelled, and what is written.
    client : distributed.Client, optional
        Client of a ``dask.distributed`` cluster, whose workers see the same files by the same
        paths. Images, and blocks of slices of large ones, are labelled there; the results are those
        of this process. None: in this process, one after the other.
    progress : callable
        ``progress(done, total, what)``; it may raise ``Cancelled``.
    overwrite : bool
        Do everything anew, also where files were changed by a person since.

    Returns
    -------
    list of ImageResult
        In the order of ``images``, and of their time points where each has a file of its own. A bad
        image is of status ``"failed"``.

    Raises
    ------
    InputError
        If a result would take the place of an image or of a file that no run has written.
    ModelFileError, WeightsError, SchedulerError, OSError
        What would be so with every image: a model, weights or workers that cannot be had, a full
        disk. Results that are there by then are whole.

    Examples
    --------
    >>> from distributed import Client
    >>> results = predict_many("knee.fewshot", paths, "out", client=Client("tcp://10.0.0.1:8786"))
    >>> [result.image for result in results if result.status == "failed"]
    """
    source = model if isinstance(model, ModelSource) else ModelSource.of(Path(model))
    wanted, folder = options or PredictOptions(), Path(out)
    paths = [Path(image) for image in images]
    jobs = image_jobs(
        paths,
        folder,
        confidence=wanted.confidence,
        landmarks=wanted.landmarks,
        frame=wanted.frame,
        choice=wanted.format,
    )
    outputs = Outputs("out", [*paths, *source.files], overwrite=overwrite)
    return Batch.open(source, jobs, folder, wanted, outputs).run(progress=progress, client=client)


def _reviewed(
    jobs: Sequence[ImageJob], table: Sequence[ImageResult]
) -> dict[ImageJob, ImageResult]:
    """Images whose labels a person has looked at, by the table."""
    rows = {_key(row.labels): row for row in table if row.status == "reviewed" and row.labels}
    there = {job: rows[_key(job.labels)] for job in jobs if _key(job.labels) in rows}
    return {job: replace(row, image=job.image) for job, row in there.items() if job.labels.exists()}


def _key(path: Path | None) -> str:
    return "" if path is None else same_file(path)


def _words(error: Exception) -> str:
    """One line of an error, for the table."""
    named = isinstance(error, FewShotError)
    return " ".join((str(error) if named else f"{type(error).__name__}: {error}").split())
