"""What a run makes of each image: which time points, and the files that they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from ..errors import InputError
from ..types import Array, Landmark, Volume
from .checks import FrameError, as_labels, fitting_dtype
from .formats import FORMATS, Kind, format_by_name, output_paths, sniff_format, stem_of
from .nifti.format import write_nifti
from .opening import read_file
from .points import write_points
from .volumes import name_files, write_image, write_labels, write_telling_names

__all__ = [
    "ALL_FRAMES",
    "FrameChoice",
    "ImageJob",
    "count_frames",
    "image_jobs",
    "write_results",
]

ALL_FRAMES: Literal["all"] = "all"
FrameChoice = int | Literal["all"] | None
"""A time point, all of them, or None where images have one."""


class Result(Protocol):
    """What was predicted for one time point."""

    @property
    def labels(self) -> Array:
        """Label map on the grid of the image."""
        ...

    @property
    def confidence(self) -> Array:
        """Probability of the label of each voxel."""
        ...

    @property
    def names(self) -> Mapping[int, str]:
        """Names of the label values."""
        ...

    @property
    def landmarks(self) -> Sequence[Landmark]:
        """Points that were found."""
        ...


@dataclass(frozen=True)
class ImageJob:
    """One image, or one time point of it, and the files to write.

    Parameters
    ----------
    image : Path
    labels : Path
        Label map; of several time points it has four axes.
    confidence : Path, optional
    landmarks : tuple of Path
        A CSV for each time point; empty where they are not wanted.
    frames : tuple of (int or None)
        Time points to read; None where the image has but one.
    """

    image: Path
    labels: Path
    confidence: Path | None = None
    landmarks: tuple[Path, ...] = ()
    frames: tuple[int | None, ...] = (None,)

    @property
    def outputs(self) -> list[Path]:
        """All files that may be written."""
        confidence = [] if self.confidence is None else [self.confidence]
        return [self.labels, name_files(self.labels)[0], *confidence, *self.landmarks]


def image_jobs(
    images: Sequence[Path],
    out: Path,
    *,
    confidence: bool = False,
    landmarks: bool = False,
    frame: FrameChoice = None,
    choice: str | None = None,
) -> list[ImageJob]:
    """Say what is read of each image and which files it gives, in the order of the images.

    All time points of a NIfTI image become one file of four axes, as the image is; of other formats
    each is a job of its own, with files ``NAME_t000_labels`` and so on. Landmarks have a file for
    each time point. Names are otherwise those of :func:`~.formats.output_paths`, for the ``choice``
    of a format.

    Raises
    ------
    InputError
        If two results would have one name, or a result that of an input.
    """

    def named(suffix: str, kind: Kind, wanted: bool) -> Sequence[Path | None]:
        return output_paths(images, out, suffix, kind, choice) if wanted else [None] * len(images)

    rows = zip(
        images,
        output_paths(images, out, choice=choice),
        named("_confidence", "image", confidence),
        named("_landmarks", "points", landmarks),
        strict=True,
    )
    jobs: list[ImageJob] = []
    for image, labels, sure, points in rows:
        marks = [] if points is None else [points]
        count = count_frames(image) if frame == ALL_FRAMES else 1
        if frame != ALL_FRAMES or count == 1:
            at = None if frame == ALL_FRAMES else frame
            jobs.append(ImageJob(image, labels, sure, tuple(marks), (at,)))
        elif sniff_format(image) is format_by_name(labels) is FORMATS.get("nifti"):
            each = tuple(_of_frame(path, image, t) for t in range(count) for path in marks)
            jobs.append(ImageJob(image, labels, sure, each, tuple(range(count))))
        else:
            for t in range(count):
                one = None if sure is None else _of_frame(sure, image, t)
                each = tuple(_of_frame(path, image, t) for path in marks)
                jobs.append(ImageJob(image, _of_frame(labels, image, t), one, each, (t,)))
    _check_distinct(jobs)
    return jobs


def count_frames(path: Path) -> int:
    """Time points of an image: 1 also of a file that cannot be read, for its job to report."""
    try:
        read_file(path, -1, False)  # which no file has: pixels are not read
    except FrameError as error:
        return error.count
    except (InputError, OSError):
        return 1
    return 1


def write_results(job: ImageJob, found: Sequence[Result], like: Volume) -> None:
    """Write what was predicted for each time point of a job, on the grid of its image.

    The label map comes last: where it is, the others are.
    """
    for path, one in zip(job.landmarks, found, strict=bool(job.landmarks)):
        write_points(path, one.landmarks, like)
    first, names = found[0], {v: n for one in found for v, n in one.names.items()}
    if len(found) == 1:
        if job.confidence is not None:
            write_image(job.confidence, first.confidence, like)
        write_labels(job.labels, first.labels, like, names=names)
        return
    if job.confidence is not None:
        sure = np.stack([one.confidence for one in found]).astype(np.float32, copy=False)
        write_nifti(job.confidence, sure, like)
    labels = as_labels(np.stack([one.labels for one in found]), "labels")
    write_nifti(job.labels, labels.astype(fitting_dtype(labels), copy=False), like, "label")
    write_telling_names(job.labels, names)


def _of_frame(path: Path, image: Path, frame: int) -> Path:
    """Name of a result, with the number of the time point behind the stem of the image."""
    stem = stem_of(image)
    return path.with_name(f"{stem}_t{frame:03d}{path.name.removeprefix(stem)}")


def _check_distinct(jobs: Sequence[ImageJob]) -> None:
    taken: dict[str, Path] = {}
    for job in jobs:
        other = taken.setdefault(str(job.labels).casefold(), job.image)
        if other != job.image:
            raise InputError(
                "inputs",
                "have results of different names",
                f"{other} and {job.image}, both giving {job.labels.name}",
                "Rename one, or use an output folder for each.",
            )
