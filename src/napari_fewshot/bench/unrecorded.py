"""Results of version 0.1.0, which kept no record of its files: their content says what they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..io.outputs import RECORD, digest_of, remember
from .executing import prediction_files
from .plan import Unit

__all__ = ["take_over"]

_KEY = re.compile("[0-9a-f]{24}")


def take_over(folder: Path) -> None:
    """Record the files of a benchmark that lie in folders without a record.

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
            remember(place, {path.name: digest_of(path) for path in found[place]})


def _of_units(folder: Path) -> Iterator[Path]:
    """Records of units, their pictures, and predictions that they or the report list."""
    units, report = folder / "units", folder / "results.json"
    yield from (path for path in units.glob("*.png") if _KEY.fullmatch(path.stem))
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
    for path in prediction_files(folder, unit):
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
