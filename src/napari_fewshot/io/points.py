"""Landmarks as CSV: ``name,label,z,y,x[,score][,R,A,S]``.

z, y, x count voxels in the file order, whole at voxel centres; R, A, S are mm in the patient.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from ..errors import InputError, UnreadableFileError
from ..types import Landmark, Volume
from .checks import LARGEST_LABEL
from .markups import is_markups, read_markups
from .outputs import replacing
from .spreadsheet import guarded, unguarded

__all__ = ["is_point_file", "read_points", "write_points"]

_VOXEL = ("z", "y", "x")
_PATIENT = ("r", "a", "s")
_COLUMNS = "name,label,z,y,x"
_MAX_DIGITS = 10


def is_point_file(path: Path) -> bool:
    """Whether a file is called as files of landmarks are: CSV, or those of 3D Slicer."""
    return path.suffix.lower() == ".csv" or is_markups(path)


def read_points(
    path: str | Path,
    like: Volume,
    *,
    numbers: dict[str, int] | None = None,
    columns: Mapping[str, str] | None = None,
) -> list[Landmark]:
    """Read landmarks of a volume.

    Columns are found by their names, in any order and case; others are ignored. Where z, y, x
    are given they are used; else R, A, S are converted through the affine of ``like``. For 2D
    images z may be missing. Without ``label``, names that are all numbers are the labels, and
    other names count from 1 in the order in which they first appear; where some rows have a
    label, a name keeps the one that it has elsewhere. Without ``name``, it is that of
    ``like.names`` or the label itself. Empty lines are skipped, and a file with only a header
    has no points.

    Parameters
    ----------
    path : str or Path
        The file, UTF-8, fields separated by commas; or landmarks of 3D Slicer (``.mrk.json``,
        ``.fcsv``).
    like : Volume
        The volume that the points lie in.
    numbers : dict of str to int, optional
        Labels of names, for rows without a label; names that are not in it yet are added. Give
        one dict to several files, so that a name has the same label in all of them.
    columns : mapping of str to str, optional
        Our names of columns to those of the file, where it has others.

    Raises
    ------
    InputError
        If a column is missing, a row is incomplete or has a value that is none (the message
        names line and column), or a point lies outside the volume.
    UnreadableFileError
        If the file is no text.
    """
    path = Path(path)
    if is_markups(path):
        return _of_markups(path, like, {} if numbers is None else numbers)
    lines = _lines(path)
    if not lines:
        raise InputError(str(path), f"begin with a header such as {_COLUMNS}", "an empty file")
    header = [name.strip().lower() for name in lines[0][1]]
    places = {name: index for index, name in enumerate(header) if name}
    if len(places) < sum(bool(name) for name in header):
        raise InputError(str(path), "have columns of different names", ", ".join(header))
    if columns is not None:
        places = _renamed(path, places, columns)
    position = _position_columns(path, places, like)
    if "label" not in places and "name" not in places:
        raise _missing(path, "a column label or name", places)
    rows = []
    for number, fields in lines[1:]:
        where = f"{path}, line {number}"
        if len(fields) != len(header):
            constraint = f"have {len(header)} fields as the header"
            raise InputError(where, constraint, f"{len(fields)} fields")
        rows.append(
            _Row(where, {name: unguarded(fields[place].strip()) for name, place in places.items()})
        )
    labels = _labels(rows, {} if numbers is None else numbers)
    return [_landmark(row, label, position, like) for row, label in zip(rows, labels, strict=True)]


def write_points(path: str | Path, landmarks: Iterable[Landmark], like: Volume) -> None:
    """Write landmarks of a volume.

    The column ``score`` is there when any landmark has one, R, A, S when ``like`` has an
    affine. For 2D images z is 0.

    Raises
    ------
    InputError
        If the path cannot be written.
    """
    points = list(landmarks)
    scored = any(point.score is not None for point in points)
    header = [*_COLUMNS.split(","), *(["score"] if scored else [])]
    header += ["R", "A", "S"] if like.affine is not None else []
    with (
        replacing(Path(path)) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        for point in points:
            row = [guarded(point.name), str(point.label), *(f"{v:.10g}" for v in point.position)]
            if scored:
                row.append("" if point.score is None else f"{point.score:.6g}")
            if like.affine is not None:
                patient = like.affine @ (*point.position, 1.0)
                row += [f"{v:.6f}" for v in patient[:3]]
            writer.writerow(row)


def _of_markups(path: Path, like: Volume, numbers: dict[str, int]) -> list[Landmark]:
    """Landmarks of 3D Slicer, in patient coordinates or voxels."""
    marks = read_markups(path)
    if like.affine is None and not all(mark.in_voxels for mark in marks):
        raise _without_orientation(path, "positions in the patient only")
    rows = []
    for mark in marks:
        columns = _VOXEL if mark.in_voxels else _PATIENT
        values = {name: repr(value) for name, value in zip(columns, mark.position, strict=True)}
        rows.append((_Row(mark.where, {"name": mark.name, **values}), columns))
    labels = _labels([row for row, _ in rows], numbers)
    return [
        _landmark(row, label, columns, like)
        for (row, columns), label in zip(rows, labels, strict=True)
    ]


@dataclass(frozen=True)
class _Row:
    """One line of a file by columns, with errors that say where they stand."""

    where: str
    values: Mapping[str, str]

    def text(self, column: str) -> str:
        """Value of a column; empty where there is no such column."""
        return self.values.get(column, "")

    def number(self, column: str) -> float:
        """Finite number in a column."""
        try:
            value = float(self.text(column))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(column, "be a finite number")
        return value

    def error(self, column: str, constraint: str) -> InputError:
        return InputError(f"{self.where}, column {column}", constraint, repr(self.text(column)))


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and fields of all lines that are not empty; the first is the header."""
    if path.is_dir():
        raise InputError(str(path), "be a CSV file", "a folder")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            return [(reader.line_num, row) for row in reader if any(f.strip() for f in row)]
    except FileNotFoundError:
        raise InputError(str(path), "be an existing file", "nothing at this path") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFileError(
            str(path), "be a CSV file in UTF-8", str(error), "Save it as CSV (UTF-8)."
        ) from error


def _renamed(path: Path, places: dict[str, int], columns: Mapping[str, str]) -> dict[str, int]:
    """Places of our columns, where the file calls them otherwise."""
    own = {ours.strip().lower(): theirs.strip().lower() for ours, theirs in columns.items()}
    for theirs in own.values():
        if theirs not in places:
            raise _missing(path, f"the column {theirs}", places)
    # Where one position is called otherwise, the others are too.
    positions = {*_VOXEL, *_PATIENT}
    replaced = own.keys() | (positions if positions & own.keys() else set())
    kept = {name: place for name, place in places.items() if name not in replaced}
    return {**kept, **{ours: places[theirs] for ours, theirs in own.items()}}


def _position_columns(path: Path, columns: dict[str, int], like: Volume) -> tuple[str, ...]:
    voxel = _VOXEL if like.ndim == 3 or "z" in columns else _VOXEL[1:]
    if all(name in columns for name in voxel):
        return voxel
    if not all(name in columns for name in _PATIENT):
        raise _missing(path, f"the columns {', '.join(voxel)} (or R, A, S)", columns)
    if like.affine is None:
        raise _without_orientation(path, "columns R, A, S only")
    return _PATIENT


def _without_orientation(path: Path, given: str) -> InputError:
    return InputError(
        str(path),
        "have columns z, y, x for an image without orientation",
        given,
        "Give the positions in voxels of the file order.",
    )


def _missing(path: Path, what: str, columns: dict[str, int]) -> InputError:
    found = ", ".join(columns)
    remedy = "Separate the fields by commas." if ";" in found or "\t" in found else ""
    return InputError(str(path), f"have {what}", f"the columns {found}", remedy)


def _labels(rows: Sequence[_Row], numbers: dict[str, int]) -> list[int]:
    """Labels of rows: as given, else that of the name, else one that nothing has."""
    names = [row.text("name") for row in rows]
    for row, name in zip(rows, names, strict=True):
        if name.isdecimal() and len(name) > _MAX_DIGITS:
            raise row.error("name", f"be a name, or a label up to {LARGEST_LABEL}")
    # Names are labels themselves if all of a file without labels are numbers.
    if not any("label" in row.values for row in rows) and all(map(_is_label, names)):
        numbers.update({name: int(name) for name in names})
    given = [_label(row) for row in rows]
    for name, label in zip(names, given, strict=True):
        if label is not None and name:
            numbers.setdefault(name, label)
    used = {*given, *numbers.values()}
    found = []
    for row, name, label in zip(rows, names, given, strict=True):
        if label is None and name not in numbers:
            if not name:
                raise row.error("name", "not be empty where there is no label")
            numbers[name] = next(k for k in count(len(numbers) + 1) if k not in used)
            used.add(numbers[name])
        found.append(numbers[name] if label is None else label)
    return found


def _is_label(name: str) -> bool:
    return name.isdecimal() and 1 <= int(name) <= LARGEST_LABEL


def _label(row: _Row) -> int | None:
    if not row.text("label"):
        return None
    value = row.number("label")
    if value != int(value) or not 1 <= value <= LARGEST_LABEL:
        raise row.error("label", "be a whole number of at least 1")
    return int(value)


def _landmark(row: _Row, label: int, columns: tuple[str, ...], like: Volume) -> Landmark:
    score = row.number("score") if row.text("score") else None
    if score is not None and not 0 <= score <= 1:
        raise row.error("score", "be within 0..1")
    values = [row.number(column) for column in columns]
    if columns == _PATIENT:
        values = list((np.linalg.inv(np.asarray(like.affine)) @ (*values, 1.0))[:3])
    z, y, x = (0.0,) * (3 - len(values)) + tuple(float(v) for v in values)
    shape = (1,) * (3 - like.ndim) + like.shape
    if not all(-0.5 <= v <= n - 0.5 for v, n in zip((z, y, x), shape, strict=True)):
        raise InputError(
            row.where,
            f"lie inside the volume of shape {like.shape}",
            f"voxel z={z:.4g}, y={y:.4g}, x={x:.4g}",
            "Positions count voxels from 0 in the file order (Z, Y, X).",
        )
    name = row.text("name") or like.names.get(label, str(label))
    return Landmark(name, label, (z, y, x), score)
