"""What a benchmark keeps in its folder: finished units, and which files there are its own.

A unit is one JSON, whole or not there. Version 0.1.0 kept no record of its files: their content
says what they are.
"""

from __future__ import annotations

import hashlib
import json
import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..download import file_sha256
from ..errors import FewShotError
from ..io.outputs import RECORD, remember, replacing
from .plan import Unit

__all__ = ["Record", "Records", "prediction_files", "slug", "take_over"]

_KEY = re.compile("[0-9a-f]{24}")


@dataclass(frozen=True)
class Record:
    """The outcome of a unit: rows of scores for each label or landmark, or the error.

    Times are wall times; that of the fit is the same for all of its cases. ``first`` says whether
    the process had not seen the case before with this method, so that no features of it were at
    hand. Memory is the largest of the process up to then. ``painted`` are template slices by case;
    ``picture`` is the file of the worst slice, below the folder of the units, and ``worst`` what it
    shows.
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

    @classmethod
    def of_error(cls, error: Exception, machine: dict[str, Any]) -> Record:
        """Record of what failed."""
        words = (
            str(error) if isinstance(error, FewShotError) else f"{type(error).__name__}: {error}"
        )
        trace = "".join(traceback.format_exception(error))
        return cls(error=" ".join(words.split()), trace=trace, machine=machine)


class Records:
    """The finished units of a benchmark, in ``units`` below its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "units"

    def path(self, unit: Unit) -> Path:
        """File of a unit; the picture of its worst slice has the same name."""
        return self.folder / f"{unit.key}.json"

    def kept_path(self, unit: Unit) -> Path:
        """File of what is kept of its prediction, for figures."""
        return self.path(unit).with_suffix(".npz")

    def is_kept(self, unit: Unit) -> bool:
        """Whether there is anything of its prediction."""
        files = (self.kept_path(unit), *prediction_files(self.folder.parent, unit))
        return any(path.is_file() for path in files)

    def write(self, unit: Unit, record: Record) -> None:
        """Keep a record."""
        content = {"unit": asdict(unit), **asdict(record)}
        with replacing(self.path(unit)) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", "utf-8")

    def files(self, unit: Unit) -> tuple[Path, ...]:
        """Files that are made of a prediction; which of them, the configuration says."""
        picture = self.path(unit).with_suffix(".png")
        return (picture, self.kept_path(unit), *prediction_files(self.folder.parent, unit))

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


def prediction_files(folder: Path, unit: Unit) -> tuple[Path, Path]:
    """Label map of a unit, where it is kept: of a volume, and of a 2D image."""
    return _label_maps(folder, unit, slug(unit.method))


def _label_maps(folder: Path, unit: Unit, method: str) -> tuple[Path, Path]:
    place = folder / "predictions" / method / str(unit.shot)
    stem = f"{unit.case}_seed{unit.seed}"
    return place / f"{stem}.nii.gz", place / f"{stem}.tif"


def slug(name: str) -> str:
    """Name of a file or folder that stands for the name of a method, and for no other's.

    Words of small letters and digits are joined by hyphens; of all else a digest tells names apart
    that differ in signs, or in upper and lower case.
    """
    plain = _former_slug(name)
    if plain.replace("-", " ") == name:
        return plain
    return f"{plain}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def _former_slug(name: str) -> str:
    """What names became in version 0.1.0: those that differ in signs had one file."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"


def take_over(folder: Path) -> None:
    """Record the files of a benchmark of version 0.1.0 that lie in folders without a record.

    Only files that the benchmark lists, or that can be nothing else, are taken for ours: what
    somebody has put beside them is not.
    """
    if (folder / RECORD).exists():
        return
    found: dict[Path, list[Path]] = {}
    for path in (*_of_units(folder), *_of_cases(folder), *_of_report(folder)):
        if path.is_file() and not path.is_symlink():
            found.setdefault(path.parent, []).append(path)
    # The folder itself comes last: without its record, a run that is killed begins again.
    for place in sorted(found, key=lambda one: len(one.parts), reverse=True):
        if not (place / RECORD).exists():
            remember(place, {path.name: file_sha256(path) for path in found[place]})


def _of_units(folder: Path) -> Iterator[Path]:
    """Records of units, their pictures, and predictions that they or the report list."""
    units, report = folder / "units", folder / "results.json"
    pictures = (path for path in units.glob("*") if path.suffix in (".png", ".npz"))
    yield from (path for path in pictures if _KEY.fullmatch(path.stem))
    runs = _json(report).get("runs")
    for run in runs if isinstance(runs, list) else ():
        yield from _predictions(folder, run, report)
    for path in units.glob("*.json"):
        unit = _json(path).get("unit")
        if _KEY.fullmatch(path.stem) and isinstance(unit, dict) and unit.get("key") == path.stem:
            yield path
            yield from _predictions(folder, unit, path)


def _predictions(folder: Path, run: Any, listed_in: Path) -> Iterator[Path]:
    if not isinstance(run, dict) or not run.keys() >= {"method", "shot", "seed", "case"}:
        return
    unit = Unit(str(run["method"]), run["shot"], run["seed"], str(run["case"]), "")
    for path in _label_maps(folder, unit, _former_slug(unit.method)):
        # It was written before what lists it, unless somebody has corrected it since.
        if path.is_file() and path.stat().st_mtime_ns <= listed_in.stat().st_mtime_ns:
            yield path


def _of_cases(folder: Path) -> Iterator[Path]:
    """What is remembered of the data set."""
    known = _json(folder / "fingerprints.json").values()
    if known and all(isinstance(entry, list) and len(entry) == 3 for entry in known):
        yield folder / "fingerprints.json"
    for path in (folder / "areas").glob("[!.]*.json"):
        if _json(path).keys() >= {"case", "slices", "mapped", "names", "areas"}:
            yield path


def _of_report(folder: Path) -> Iterator[Path]:
    """The report, and the figures that it shows."""
    content = _json(folder / "results.json")
    if not content.keys() >= {"title", "config", "coverage", "runs", "rows"}:
        return
    yield folder / "results.json"
    starts = {
        "results.csv": "method,shot,seed,case,label,name,",
        "report.md": f"# {content['title'] or 'Benchmark'}\n",
        "report.html": "<!doctype html>",
    }
    texts = {name: _text(folder / name) for name in starts}
    yield from (folder / name for name, start in starts.items() if texts[name].startswith(start))
    if texts["report.md"].startswith(starts["report.md"]):
        links = re.findall(r"\]\((figures/[^/()]+\.png)\)", texts["report.md"])
        yield from (folder / link for link in links)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _json(path: Path) -> dict[str, Any]:
    """Return an object of a file; nothing where there is none."""
    with suppress(ValueError, RecursionError):
        content = json.loads(_text(path))
        if isinstance(content, dict):
            return content
    return {}
