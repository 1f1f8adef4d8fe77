"""Landmarks as 3D Slicer saves them: ``.mrk.json``, and ``.fcsv`` of older versions."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, UnreadableFileError

__all__ = ["Markup", "is_markups", "read_markups"]

_ENDINGS = (".fcsv", ".mrk.json", ".json")
_COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"
# Positions are RAS mm, LPS mm, or voxels (i, j, k); older files count these from 0.
_SYSTEMS = {"0": "RAS", "1": "LPS", "2": "IJK"}
_POINTS = ("Fiducial", "PointList", "Line", "Angle", "Curve", "ClosedCurve")
_LARGEST = 1 << 26


@dataclass(frozen=True)
class Markup:
    """A point of a file; ``where`` says its place there, for messages.

    ``position`` is of (R, A, S) in mm, or of the voxel (z, y, x) if ``in_voxels``.
    """

    where: str
    name: str
    position: tuple[float, float, float]
    in_voxels: bool = False


def is_markups(path: Path) -> bool:
    """Whether a file is called as those of Slicer are."""
    return path.name.lower().endswith(_ENDINGS)


def read_markups(path: Path) -> list[Markup]:
    """Read the points of a file that are placed.

    Raises
    ------
    InputError
        If it holds no points, or counts in other units or coordinates.
    UnreadableFileError
        If it is damaged.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"a file of {path.stat().st_size} bytes")
        text = path.read_text(encoding="utf-8-sig")
        found = _of_fcsv(path, text) if path.suffix.lower() == ".fcsv" else _of_json(path, text)
        return list(found)
    except FileNotFoundError:
        raise InputError(str(path), "be an existing file", "nothing at this path") from None
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableFileError(
            str(path),
            "be landmarks of 3D Slicer (.mrk.json, .fcsv)",
            str(error) or type(error).__name__,
            "Save them again, or as CSV with the columns name, z, y, x or name, R, A, S.",
        ) from error


def _of_fcsv(path: Path, text: str) -> Iterator[Markup]:
    system, columns = "RAS", _COLUMNS.split(",")
    lines = text.splitlines()
    for line in lines:
        name, _, value = line.lstrip("# ").partition("=")
        if line.startswith("#") and name.strip() == "CoordinateSystem":
            system = _SYSTEMS.get(value.strip(), value.strip())
        elif line.startswith("#") and name.strip() == "columns":
            columns = [column.strip() for column in value.split(",")]
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row or row[0].startswith("#"):
            continue
        fields = dict(zip(columns, row, strict=False))
        where = f"{path}, line {number}"
        values = [float(fields[axis]) for axis in "xyz"]
        yield _markup(where, fields.get("label", "").strip(), values, system)


def _of_json(path: Path, text: str) -> Iterator[Markup]:
    count = 0
    for markup in json.loads(text)["markups"]:
        if markup.get("type") not in _POINTS:
            continue
        units = markup.get("coordinateUnits") or "mm"
        if "mm" not in ([units] if isinstance(units, str) else units)[0]:
            raise InputError(str(path), "count in mm", f"coordinates in {units}")
        for number, point in enumerate(markup.get("controlPoints") or (), start=1):
            if point.get("positionStatus", "defined") != "defined":
                continue
            count += 1
            where = f"{path}, control point {number}"
            values = [float(value) for value in point["position"]]
            name = str(point.get("label") or point.get("id") or "").strip()
            yield _markup(where, name, values, str(markup.get("coordinateSystem", "LPS")))
    if not count:
        raise InputError(str(path), "hold points", "no control point that is placed")


def _markup(where: str, name: str, values: list[Any], system: str) -> Markup:
    x, y, z = values
    known = _SYSTEMS.get(system, system).upper()
    if known == "IJK":
        return Markup(where, name, (z, y, x), in_voxels=True)
    if known not in ("RAS", "LPS"):
        raise InputError(where, "be in the coordinates RAS, LPS or IJK", system)
    sign = -1.0 if known == "LPS" else 1.0
    return Markup(where, name, (sign * x, sign * y, z))
