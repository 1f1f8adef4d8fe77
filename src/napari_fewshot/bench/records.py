"""Finished units on disk: one JSON each, whole or not there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..io.outputs import replacing
from .plan import Unit

__all__ = ["Record", "Records", "slug"]


@dataclass(frozen=True)
class Record:
    """The outcome of a unit.

    Parameters
    ----------
    rows : list of dict
        Scores, a row for each label or landmark.
    error, trace : str
        Why there are none.
    fit_seconds, predict_seconds : float
        Wall time; that of the fit is the same for all of its cases.
    first : bool
        Whether this process had not seen the case before with this method, so that no features
        of it were at hand.
    slices : int
        Slices that were predicted.
    memory_mb, device_memory_mb : float, optional
        Largest memory of the process up to then.
    painted : dict of str to list of int
        Template slices by case.
    machine : dict
        Versions and hardware.
    picture : str
        File of the worst slice, below the folder of the units.
    worst : str
        What the picture shows.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    trace: str = ""
    fit_seconds: float | None = None
    predict_seconds: float | None = None
    first: bool = False
    slices: int = 0
    memory_mb: float | None = None
    device_memory_mb: float | None = None
    painted: dict[str, list[int]] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    picture: str = ""
    worst: str = ""


class Records:
    """The finished units of a benchmark.

    Parameters
    ----------
    folder : Path
        Of the benchmark; units lie in ``units`` below it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "units"

    def path(self, unit: Unit) -> Path:
        """File of a unit; the picture of its worst slice has the same name."""
        return self.folder / f"{unit.key}.json"

    def write(self, unit: Unit, record: Record) -> None:
        """Keep a record."""
        content = {"unit": asdict(unit), **asdict(record)}
        with replacing(self.path(unit)) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", "utf-8")

    def read(self, unit: Unit) -> Record | None:
        """Return the record of a unit; None where there is none, or it is damaged."""
        try:
            content = json.loads(self.path(unit).read_text("utf-8"))
            return Record(**{one.name: content[one.name] for one in fields(Record)})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def done(self, unit: Unit) -> bool:
        """Whether a unit was scored; one that failed is tried again."""
        record = self.read(unit)
        return record is not None and not record.error

    def all(self, units: Iterable[Unit]) -> list[tuple[Unit, Record]]:
        """Return the records that are there, failures too."""
        pairs = ((unit, self.read(unit)) for unit in units)
        return [(unit, record) for unit, record in pairs if record is not None]


def slug(name: str) -> str:
    """Name of a file or folder that stands for the name of a method or case."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"
