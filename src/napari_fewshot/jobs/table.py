"""The table of a run: what became of each image, worst first."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ..errors import InputError
from ..io.spreadsheet import guarded, guarded_path
from ..types import Array
from .csv_text import CsvText

__all__ = [
    "TABLE",
    "ImageResult",
    "Status",
    "check_table",
    "doubt_of",
    "is_table",
    "mark_reviewed",
    "read_table",
    "same_file",
    "worst_first",
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
_NEEDED = ("image", "labels", "status")
_TELLING = (*_NEEDED, "mean_confidence", "disagreement")
"""Columns that no other table has together."""
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

    Paths are relative to the folder of the table where they lie below it or beside it. Columns that
    somebody has added to the table that is there stay.
    """
    before = _text_if_any(path)
    added = [name for name in before.columns if name not in _COLUMNS]
    notes = {_same_row(row, path.parent): row for row in map(before.fields, before.rows)}
    rows = []
    for result in worst_first(results):
        row = [_written(result, name, path.parent) for name in _COLUMNS]
        own = notes.get(same_file(result.labels or result.image), {}) if added else {}
        rows.append(row + [own.get(name, "") for name in added])
    CsvText([*_COLUMNS, *added], rows).write(path)


def worst_first(results: Iterable[ImageResult]) -> list[ImageResult]:
    """What failed, what has no label, then by rising mean confidence."""
    return sorted(results, key=_badness)


def read_table(path: Path, *, bad_rows: bool = False) -> list[ImageResult]:
    """Read what :func:`write_table` wrote, in its order; further columns are passed over.

    Parameters
    ----------
    path : Path
        The table, also as a spreadsheet has saved it (with semicolons, and decimal commas).
    bad_rows : bool
        Give a row that cannot be read as a failed one, whose error says why; else the first
        such row is an error.

    Raises
    ------
    InputError
        If it is not there, or no such table.
    """
    text, found = _text(path), []
    for number, row in enumerate(text.rows, 2):
        try:
            found.append(_read(text, row, path.parent))
        except (ValueError, TypeError) as error:
            if not bad_rows:
                raise _no_table(path, error) from None
            image = text.fields(row).get("image") or f"row {number}"
            words = f"Row {number} of the table cannot be read: it is one {error}."
            found.append(ImageResult(_path(path.parent / image), status="failed", error=words))
    return found


def mark_reviewed(path: Path, labels: Path) -> None:
    """Note in a table that a person has looked at the labels of an image.

    All else stays as it is in the file at this moment, also what others have changed there.

    Parameters
    ----------
    path : Path
        The table.
    labels : Path
        The label map of the image.

    Raises
    ------
    InputError
        If the table is not there, has no such row, or cannot be written; it stays as it was.
    """
    text = _text(path)
    at = [n for n, row in enumerate(text.rows) if _labels_of(text, row, path) == same_file(labels)]
    if not at:
        remedy = "It was changed by another program: open it again."
        raise InputError(str(path), f"have a row with the labels {labels.name}", "none", remedy)
    for n in at:
        text.put(n, "status", "reviewed")
    try:
        text.write(path)
    except OSError as error:
        raise InputError(
            str(path),
            "be a file that can be written",
            error.strerror or error,
            "Close it in other programs.",
        ) from None


def is_table(path: Path) -> bool:
    """Whether the first line of a file is that of our table, with columns added or not."""
    try:
        CsvText.read(path, _TELLING, header_only=True)
    except (OSError, ValueError, csv.Error):
        return False
    return True


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
        return guarded_path(_relative(value, folder))
    if isinstance(value, float):
        return f"{value:.6g}"
    return guarded(" ".join(str(value).split()))


def _relative(path: Path, folder: Path) -> str:
    """Path as seen from a folder, with forward slashes; absolute on another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def _read(text: CsvText, row: Sequence[str], folder: Path) -> ImageResult:
    fields = text.fields(row)
    given = {name: fields[name].strip() for name in _COLUMNS if fields.get(name, "").strip()}
    for name in ("image", "status"):
        if name not in given:
            raise ValueError(f"without the {name}")
    values: dict[str, object] = {**given, "status": given["status"].lower()}
    values |= {name: _path(folder / given[name]) for name in _PATHS if name in given}
    for name in (*_NUMBERS, "slices"):
        if name in given:
            try:
                number = text.number(given[name])
                values[name] = int(number) if name == "slices" else number
            except (ValueError, OverflowError):
                raise ValueError(f"with {given[name]} for {name}") from None
    if values["status"] not in get_args(Status):
        raise ValueError(f"with the status {given['status']}")
    return ImageResult(**values)  # type: ignore[arg-type] # by name


def _text(path: Path) -> CsvText:
    try:
        return CsvText.read(path, _NEEDED)
    except FileNotFoundError:
        raise InputError(str(path), "be an existing file", "nothing at this path") from None
    except (OSError, ValueError, csv.Error) as error:
        raise _no_table(path, error) from None


def _text_if_any(path: Path) -> CsvText:
    try:
        return _text(path)
    except InputError:
        return CsvText(_COLUMNS, [])


def _no_table(path: Path, error: Exception) -> InputError:
    return InputError(str(path), f"be a table as predict writes it ({TABLE})", f"one {error}")


def _labels_of(text: CsvText, row: Sequence[str], path: Path) -> str | None:
    given = text.fields(row).get("labels", "").strip()
    return same_file(path.parent / given) if given else None


def _same_row(fields: Mapping[str, str], folder: Path) -> str:
    """What a row is known by: its labels, else its image."""
    return same_file(folder / (fields.get("labels", "").strip() or fields.get("image", "").strip()))


def same_file(path: Path) -> str:
    """What paths of one file have in common; links stay."""
    return os.path.abspath(path)  # noqa: PTH100 - keeps links


def _path(path: Path) -> Path:
    """Path without ``..``; links stay."""
    return Path(os.path.normpath(path))
