"""The table of a run: what became of each image, worst first."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ..errors import InputError
from ..io.outputs import replacing
from ..types import Array

__all__ = [
    "TABLE",
    "ImageResult",
    "Status",
    "check_table",
    "doubt_of",
    "read_table",
    "write_table",
]

TABLE = "napari-fewshot-results.csv"
"""Name of the table in the folder of the results."""

Status = Literal["done", "failed", "skipped", "reviewed"]

_ROWS = 2**22
"""Voxels that are summed up at once."""


@dataclass(frozen=True)
class ImageResult:
    """What became of one image.

    Parameters
    ----------
    image : Path
        The image.
    labels : Path, optional
        Its label map; None where it failed.
    status : {"done", "failed", "skipped", "reviewed"}
        skipped: done by an earlier run with the same model and settings. reviewed: a person has
        looked at it since, and no run replaces it.
    seconds : float, optional
        Time that it took to read, label and write it.
    mean_confidence : float, optional
        Mean confidence, in 0..1, of the voxels that have a label; None where none has.
    disagreement : float, optional
        See :func:`doubt_of`; None where nothing has a label.
    slices : int, optional
        Slices that were labelled.
    error : str
        What went wrong.
    confidence, landmarks : Path, optional
        The other files, where they were written; of several time points the first landmarks.
    """

    image: Path
    labels: Path | None = None
    status: Status = "done"
    seconds: float | None = None
    mean_confidence: float | None = None
    disagreement: float | None = None
    slices: int | None = None
    error: str = ""
    confidence: Path | None = None
    landmarks: Path | None = None


_COLUMNS = tuple(field.name for field in fields(ImageResult))
_PATHS = ("image", "labels", "confidence", "landmarks")
_NUMBERS = ("seconds", "mean_confidence", "disagreement")


def doubt_of(labels: Array, confidence: Array) -> tuple[float | None, float | None]:
    """Mean confidence of what has a label, and how far labels and probabilities disagree.

    The disagreement is 1 − the soft Dice, with squares as of V-Net, of the labels with the
    probabilities that they were made from: a voxel that has a label counts with the probability of
    it, one of the background with that of all labels together. It is near 0 where the model is
    sure of every voxel, and grows with what is unsure on either side of a border, with what is
    probable but was not chosen, and with what clean-up took away; at most 1.

    Parameters
    ----------
    labels : int array, shape (Z, Y, X) or (Y, X)
        0 is background.
    confidence : float array, of that shape
        Probability, in 0..1, of the value that ``labels`` has there.

    Returns
    -------
    tuple of float or None
        None, both, where nothing has a label.
    """
    count, total, squares = 0, 0.0, 0.0
    step = max(1, _ROWS // max(1, math.prod(labels.shape[1:])))
    for start in range(0, len(labels), step):  # in bands: either may lie on the disk
        chosen = np.asarray(labels[start : start + step]) != 0
        sure = np.asarray(confidence[start : start + step])
        inside = sure[chosen].astype(np.float64)
        count += inside.size
        total += float(inside.sum())
        probable = np.where(chosen, sure, 1 - sure).astype(np.float64)
        squares += float(np.square(probable).sum())
    if not count:
        return None, None
    return total / count, 1 - 2 * total / (count + squares)


def write_table(path: Path, results: Iterable[ImageResult]) -> None:
    """Write results as CSV: what failed on top, then by rising mean confidence.

    Paths are relative to the folder of the table where they lie below it or beside it.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for result in sorted(results, key=_badness):
            rows.writerow([_written(result, name, path.parent) for name in _COLUMNS])


def read_table(path: Path) -> list[ImageResult]:
    """Read what :func:`write_table` wrote, in its order; further columns are passed over.

    Raises
    ------
    InputError
        If it is not there, or no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = csv.DictReader(stream)
            if not {"image", "labels", "status"} <= set(rows.fieldnames or ()):
                raise ValueError("without the columns image, labels and status")
            return [_read(row, path.parent) for row in rows]
    except FileNotFoundError:
        raise InputError(str(path), "be an existing file", "nothing at this path") from None
    except (OSError, ValueError, csv.Error, TypeError) as error:
        raise InputError(
            str(path), f"be a table as predict writes it ({TABLE})", f"one {error}"
        ) from None


def check_table(parameter: str, path: Path, *, overwrite: bool) -> list[ImageResult]:
    """Rows of the table that a new one takes the place of; none where there is none.

    Raises
    ------
    InputError
        If something else has its name, and is not to be overwritten.
    """
    if not os.path.lexists(path):
        return []
    try:
        return read_table(path)
    except InputError:
        if overwrite and path.is_file():
            return []
        raise InputError(
            parameter,
            "not replace a file that no run has written",
            path,
            "Choose another folder, or give --overwrite.",
        ) from None


def _badness(result: ImageResult) -> tuple[int, float, str]:
    """Order of the table: failed, nothing found, then the least sure first."""
    if result.status == "failed":
        return 0, 0.0, str(result.image)
    return 1, -1.0 if result.mean_confidence is None else result.mean_confidence, str(result.image)


def _written(result: ImageResult, name: str, folder: Path) -> str:
    value = getattr(result, name)
    if value is None:
        return ""
    if isinstance(value, Path):
        return _relative(value, folder)
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(str(value).split())


def _relative(path: Path, folder: Path) -> str:
    """Path as seen from a folder, with forward slashes; absolute on another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def _read(row: dict[str, str], folder: Path) -> ImageResult:
    given = {name: row[name] for name in _COLUMNS if row.get(name)}
    values: dict[str, object] = {**given}
    values |= {name: _path(folder / given[name]) for name in _PATHS if name in given}
    values |= {name: float(given[name]) for name in _NUMBERS if name in given}
    if "slices" in given:
        values["slices"] = int(given["slices"])
    if given["status"] not in get_args(Status):
        raise ValueError(f"with the status {given['status']}")
    return ImageResult(**values)  # type: ignore[arg-type] # by name


def _path(path: Path) -> Path:
    """Path without ``..``; links stay."""
    return Path(os.path.normpath(path))
