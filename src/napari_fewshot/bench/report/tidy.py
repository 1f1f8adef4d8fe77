"""All scores as one tidy table."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...io.outputs import replacing
from ..plan import Unit
from ..records import Record
from ..scoring import LABEL_COLUMNS, LANDMARK_COLUMNS

__all__ = ["Row", "columns_of", "distinct_machines", "tidy_rows", "write_csv"]

Row = dict[str, Any]

_KEYS = ("method", "shot", "seed", "case", "label", "name")


def columns_of(landmarks: bool) -> tuple[str, ...]:
    """Columns of the table, in their order."""
    return (*_KEYS, *(LANDMARK_COLUMNS if landmarks else LABEL_COLUMNS))


def tidy_rows(pairs: list[tuple[Unit, Record]]) -> list[Row]:
    """Make a row for each method, shot, seed, case and label; what failed has none."""
    return [
        {"method": unit.method, "shot": unit.shot, "seed": unit.seed, "case": unit.case, **row}
        for unit, record in pairs
        for row in record.rows
    ]


def distinct_machines(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Machines and versions that records were made with, each once."""
    found: list[dict[str, Any]] = []
    for record in records:
        if record.machine and record.machine not in found:
            found.append(record.machine)
    return found


def write_csv(path: Path, rows: Iterable[Row], columns: tuple[str, ...]) -> None:
    """Write the table; what is not defined is an empty field."""
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
