"""Images as tasks of ``dask.distributed``: the part of this process, and that of the workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from ..io import read_volume
from ..io.formats import absolute
from ..io.image_jobs import ImageJob
from ..io.outputs import Outputs
from ..predict.sink import Prediction
from ..types import Array, Progress, Volume
from .request import LoadedModel, ModelSource, PredictOptions
from .scheduler import resources_for
from .table import ImageResult
from .tasks import ONE_AT_A_TIME, check_version, outcome_of, take_threads
from .work import Work

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["label_image", "label_run", "on_cluster", "put_together"]

_RECORD = "napari-fewshot-record"
"""Name of the lock of the records of all folders."""


def on_cluster(
    client: Client,
    source: ModelSource,
    work: Work,
    jobs: Sequence[ImageJob],
    progress: Progress,
) -> Iterator[tuple[ImageJob, ImageResult | Exception]]:
    """Label images on the workers of a cluster; yields each as it ends.

    A task whose worker is lost goes to another one. What is not done when the iteration ends is
    cancelled.

    Raises
    ------
    SchedulerError
        If the scheduler is lost, or has no worker for the device.
    """
    from distributed import as_completed

    run = partial(client.submit, pure=False, resources=resources_for(client, source.device))
    tasks: dict[Future[Any], ImageJob] = {}
    waiting: dict[Future[Any], tuple[Work, list[Future[Any]]]] = {}
    for job in jobs:
        own = replace(work, outputs=_outputs_of(job, source, work.outputs))
        task = run(label_image, source, own, _absolute(job))
        tasks[task], waiting[task] = job, (own, [])
    done, ended = 0, as_completed(list(tasks), loop=client.loop)
    try:
        for task in ended:
            job, (own, _) = tasks.pop(task), waiting.pop(task)
            outcome = outcome_of(task, str(job.image), "an image")
            if isinstance(outcome, Runs):
                shared = source, own, _absolute(job)
                parts = [run(label_run, *shared, *one) for one in outcome.of_frames]
                task = run(put_together, *shared, outcome.of_frames, parts)
                tasks[task], waiting[task] = job, (own, parts)
                ended.add(task)
                continue
            done += 1
            yield job, outcome
            progress(done, len(jobs), "images")
    finally:
        client.cancel([*tasks, *(part for _, parts in waiting.values() for part in parts)])


@dataclass(frozen=True)
class Runs:
    """A large volume is left to several tasks: frames, and runs of slices of each."""

    of_frames: tuple[tuple[int | None, tuple[int, int]], ...]


def label_image(source: ModelSource, work: Work, job: ImageJob) -> ImageResult | Runs:
    """Label an image in this process, which is that of a worker, unless it is a large one."""
    with ONE_AT_A_TIME:
        done = work.journal.finished([job])
        if job in done:  # its worker was lost after it, before anybody was told
            return done[job]
        loaded = _loaded(source, work.options)
        runs = work.runs(loaded, job)
        if runs:
            return Runs(tuple(runs))
        return _writing(work).label(loaded, job)


def label_run(
    source: ModelSource, work: Work, job: ImageJob, frame: int | None, run: tuple[int, int]
) -> dict[str, Array]:
    """Label a run of slices of a large volume."""
    with ONE_AT_A_TIME:
        loaded = _loaded(source, work.options)
        image = read_volume(job.image, frame=frame)
        request = work.request(loaded, job)
        return loaded.model.volume_predictor().predict_run(image, request, run)


def put_together(
    source: ModelSource,
    work: Work,
    job: ImageJob,
    runs: Sequence[tuple[int | None, tuple[int, int]]],
    parts: Sequence[dict[str, Array]],
) -> ImageResult:
    """Make one of the runs of a volume, clean, refine and write it."""
    with ONE_AT_A_TIME:
        loaded = _loaded(source, work.options)

        def predict(image: Volume, frame: int | None) -> Prediction:
            own = [
                (run[0], part) for (of, run), part in zip(runs, parts, strict=True) if of == frame
            ]
            request = work.request(loaded, job)
            return loaded.model.volume_predictor().put_together(image, request, own)

        return _writing(work).label(loaded, job, predict=predict)


def _writing(work: Work) -> Work:
    """The same work, beside that of other machines."""
    from distributed import Lock

    work.outputs.lock = Lock(_RECORD)
    return work


@lru_cache(maxsize=1)
def _loaded(source: ModelSource, options: PredictOptions) -> LoadedModel:
    """Load the model once a process, with as many threads as the worker may use."""
    check_version(source.version)
    take_threads()
    return source.load(options)


def _outputs_of(job: ImageJob, source: ModelSource, all_outputs: Outputs) -> Outputs:
    """What the files of one image are written with; all were checked together before."""
    inputs = [job.image, *source.files]
    return Outputs(
        all_outputs.parameter,
        inputs,
        overwrite=all_outputs.overwrite,
        taught=all_outputs.taught,
    )


def _absolute(job: ImageJob) -> ImageJob:
    """The same files, wherever a process has been started."""
    return replace(
        job,
        image=absolute(job.image),
        labels=absolute(job.labels),
        confidence=None if job.confidence is None else absolute(job.confidence),
        landmarks=tuple(absolute(path) for path in job.landmarks),
    )
