"""All scores as one tidy table."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from ...io.atomic import replacing
from ..benchmark.plan import Unit
from ..benchmark.records import Record
from ..benchmark.runner import Benchmark
from ..benchmark.scoring import LABEL_COLUMNS, LANDMARK_COLUMNS

__all__ = ["Row", "columns_of", "tidy_rows", "write_csv", "write_json"]

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


def write_csv(path: Path, rows: list[Row], columns: tuple[str, ...]) -> None:
    """Write the table; what is not defined is an empty field."""
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_json(path: Path, benchmark: Benchmark, rows: list[Row], command: str) -> None:
    """Write the table with all that is needed to make it again."""
    records = benchmark.records.all(benchmark.units)
    content = {
        "title": benchmark.config.title,
        "command": command,
        "machine": next((record.machine for _, record in records if record.machine), {}),
        "config": benchmark.config.model_dump(mode="json"),
        "runs": [
            {
                "method": unit.method,
                "shot": unit.shot,
                "seed": unit.seed,
                "case": unit.case,
                "fit_seconds": record.fit_seconds,
                "predict_seconds": record.predict_seconds,
                "first": record.first,
                "slices": record.slices,
                "memory_mb": record.memory_mb,
                "device_memory_mb": record.device_memory_mb,
                "painted": record.painted,
                "error": record.error,
            }
            for unit, record in records
        ],
        "rows": rows,
    }
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
