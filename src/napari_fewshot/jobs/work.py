"""The work on one image, in whichever process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..config import NO_REFINEMENT
from ..io import read_volume
from ..io.dicom.codes import codes_for
from ..io.dicom.segmentation import with_codes
from ..io.formats import check_image
from ..io.image_jobs import ImageJob, write_results
from ..io.outputs import Outputs
from ..io.temporaries import remove_abandoned
from ..predict.predictor import PredictionRequest
from ..predict.sink import Prediction
from ..slices.region import box_shape
from ..types import Box, Progress, Volume, no_progress
from .journal import Fingerprint, Journal, stored_bytes
from .request import LoadedModel, PredictOptions
from .table import ImageResult, doubt_of

__all__ = ["Started", "Work"]


_MAX_VOXELS_A_BYTE = 8
"""Compressed images may hold so many; rarely more."""


@dataclass(frozen=True)
class Started:
    """An image whose work has begun: when, and what it was known by before it was read."""

    job: ImageJob
    fingerprint: Fingerprint
    start: float

    @classmethod
    def of(cls, job: ImageJob) -> Started:
        """Begin the work on an image."""
        return cls(job, Fingerprint.of(job.image), time.perf_counter())


@dataclass(frozen=True)
class Work:
    """What all images of a run have in common: how they are labelled, written and noted down."""

    options: PredictOptions
    outputs: Outputs
    journal: Journal

    def label(
        self,
        loaded: LoadedModel,
        job: ImageJob,
        progress: Progress = no_progress,
        predict: Callable[[Volume, int | None], Prediction] | None = None,
    ) -> ImageResult:
        """Read an image, label its time points, write its files, and note that it is done.

        ``predict(image, frame)`` stands in where the labels come from elsewhere.
        """
        started, found = Started.of(job), []
        for frame in job.frames:
            image = read_volume(job.image, frame=frame)
            check_image(job.labels, image)
            if predict is not None:
                found.append(predict(image, frame))
                continue
            prediction = loaded.model.predict(
                image,
                axis=self.options.axis,
                landmarks=bool(job.landmarks),
                refine=loaded.refiner or NO_REFINEMENT,
                region=self.options.region,
                progress=_named(progress, job, frame),
            )
            found.append(prediction)
        predictor, request = loaded.model.volume_predictor(), self.request(loaded, job)
        box, axis = predictor.box(image, request), predictor.file_axis(image, request.axis)
        slices = box_shape(box)[axis] if image.ndim == 3 else 1
        return self.written(started, found, image, box, slices)

    def request(self, loaded: LoadedModel, job: ImageJob) -> PredictionRequest:
        """Say what is wanted of each time point of an image."""
        own = self.options
        return PredictionRequest(own.axis, bool(job.landmarks), loaded.refiner, own.region)

    def runs(self, loaded: LoadedModel, job: ImageJob) -> list[tuple[int | None, tuple[int, int]]]:
        """Frames of an image, and runs of slices of each; none where it is no large volume."""
        if _MAX_VOXELS_A_BYTE * stored_bytes(job.image) <= self.options.block_voxels:
            return []  # small ones are not read for this
        image = read_volume(job.image, frame=job.frames[0])
        if math.prod(image.shape) <= self.options.block_voxels:
            return []
        check_image(job.labels, image)
        predictor = loaded.model.volume_predictor()
        runs = predictor.runs(image, self.request(loaded, job), self.options.block_voxels)
        return [(frame, run) for frame in job.frames for run in runs] if len(runs) > 1 else []

    def written(
        self,
        started: Started,
        found: Sequence[Prediction],
        image: Volume,
        box: Box,
        slices: int,
    ) -> ImageResult:
        """Write what was found in an image, and note that it is done.

        The table has the confidence in a box alone, and the number of slices in it; of several time
        points, the mean of both numbers.
        """
        job = started.job
        with self.outputs.writing():
            write_results(job, found, self._with_codes(found, image))
        for path in job.outputs:
            remove_abandoned(path)
        doubts = [doubt_of(one.labels[box], one.confidence[box]) for one in found]
        mean, disagreement = (_mean(numbers) for numbers in zip(*doubts, strict=True))
        result = ImageResult(
            image=job.image,
            labels=job.labels,
            seconds=time.perf_counter() - started.start,
            mean_confidence=mean,
            disagreement=disagreement,
            slices=slices * len(found),
            confidence=job.confidence,
            landmarks=next(iter(job.landmarks), None),
        )
        self.journal.add(job, result, started.fingerprint, self.outputs.lock)
        return result

    def _with_codes(self, found: Sequence[Prediction], image: Volume) -> Volume:
        codes = self.options.codes
        if codes is None:
            return image
        names = {value: name for one in found for value, name in one.names.items()}
        return with_codes(image, codes_for(codes, names, names))


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if known else None


def _named(progress: Progress, job: ImageJob, frame: int | None) -> Progress:
    """Progress that names the image, and the time point."""
    title = job.image.name if frame is None else f"{job.image.name} [{frame}]"
    return lambda done, total, what: progress(done, total, f"{title}: {what}")
