"""The report of a benchmark: a tidy table, Markdown and one HTML file."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...io.outputs import is_ours, replacing
from ...io.spreadsheet import guarded
from ..methods import METHODS
from ..runner import Benchmark
from .cases import case_figures
from .figures import can_plot, plots, worst_cases
from .published import published_tables
from .results import Results
from .tables import cost_table, failure_table, method_table, structure_table, taught_table

__all__ = ["report_files", "write_report"]

_COSTS = (
    "fit_seconds", "predict_seconds", "first", "slices", "memory_mb", "device_memory_mb", "painted",
)  # fmt: skip
_PLOTS = ("shots.png", "boxes.png", "intensities.png", "cases.png", "montage.png")
_OTHER_LINK = re.compile(r"\]\((?!https?://|figures/[^()\s]*\.png\)$)", re.MULTILINE)
_OUR_FIGURES = (*_PLOTS, "worst-*.png")


def report_files(benchmark: Benchmark) -> Iterator[Path]:
    """All files that a report may have."""
    folder, figures = benchmark.folder, benchmark.folder / "figures"
    for name in ("results.csv", "results.json", "report.md", "report.html"):
        yield folder / name
    yield from (figures / name for name in _PLOTS)
    for unit in benchmark.units:
        yield figures / f"worst-{benchmark.records.path(unit).stem}.png"


def write_report(benchmark: Benchmark, command: str = "") -> Path:
    """Write ``results.csv``, ``results.json``, ``report.md`` and ``report.html``.

    Parameters
    ----------
    benchmark : Benchmark
        Whatever of it is finished is reported.
    command : str
        What makes the report again.

    Returns
    -------
    Path
        The HTML file.

    Raises
    ------
    InputError
        If it would replace a file that is not ours.
    """
    folder, results = benchmark.folder, Results(benchmark)
    with benchmark.outputs.writing():
        scores = results.scores.map(lambda cell: guarded(cell) if isinstance(cell, str) else cell)
        _write(folder / "results.csv", scores.to_csv(index=False, lineterminator="\n"))
        _write(folder / "results.json", json.dumps(_content(results, command), indent=1) + "\n")
        content = _report(results, command)
        for ending in ("md", "html"):
            _write(folder / f"report.{ending}", _rendered(ending, content, folder))
        pictures = (*content["plots"], *content["cases"], *content["worst"])
        _remove_stale(folder / "figures", [one.path for one in pictures])
    return folder / "report.html"


def _write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, "utf-8", newline="\n")


def _content(results: Results, command: str) -> dict[str, Any]:
    """The table with all that is needed to make it again."""
    machines = _machines(results)
    return {
        "title": results.config.title,
        "command": command,
        "machine": machines[0] if machines else {},
        "machines": machines,
        "unit": results.unit,
        "config": results.config.model_dump(mode="json"),
        "coverage": [
            {"method": method, "shot": shot, **asdict(one)}
            for (method, shot), one in results.coverage.items()
        ],
        "runs": [
            {
                **{key: getattr(unit, key) for key in ("method", "shot", "seed", "case")},
                **{key: getattr(record, key) for key in _COSTS},
                "machine": machines.index(record.machine) if record.machine else None,
                "error": record.error,
            }
            for unit, record in results.records
        ],
        "rows": results.rows,
    }


def _machines(results: Results) -> list[dict[str, Any]]:
    """Machines and versions that records were made with, each once."""
    found: list[dict[str, Any]] = []
    for _, record in results.records:
        if record.machine and record.machine not in found:
            found.append(record.machine)
    return found


def _report(results: Results, command: str) -> dict[str, Any]:
    """What the templates are filled with."""
    benchmark, config, shots = results.benchmark, results.config, results.scored_shots
    figures, machines = benchmark.folder / "figures", _machines(results)
    versions = {(machine.get("napari-fewshot"), machine.get("commit")) for machine in machines}
    published, not_published = published_tables(results)
    worst, missing = worst_cases(results, figures) if shots else ([], {})
    return {
        "title": config.title or "Benchmark",
        "command": command,
        "config": config,
        "results": results,
        "selection": benchmark.selection,
        "oracles": [one.name for one in config.methods if METHODS.get(one.method).oracle],
        "units": len(benchmark.units),
        "open_units": len(benchmark.units) - len(results.records),
        "failures": failure_table(results),
        "scored": bool(shots),
        "whole": all(one.whole for one in results.coverage.values()),
        "methods": [method_table(results, shot) for shot in shots],
        "structures": [structure_table(results, shot) for shot in shots],
        "taught": [taught_table(results, shot) for shot in shots] if results.taught else [],
        "can_plot": can_plot(),
        "plots": list(plots(results, figures)) if shots and can_plot() else [],
        "published": published,
        "not_published": not_published,
        "cases": list(case_figures(results, figures)) if shots else [],
        "worst": worst,
        "missing": missing,
        "costs": cost_table(results),
        "seeds": sorted({unit.seed for unit in benchmark.units}),
        "several_versions": len(versions) > 1,
        "machines": [
            (machine, Counter(unit.method for unit, r in results.records if r.machine == machine))
            for machine in machines
        ],
    }


def _rendered(ending: str, content: dict[str, Any], folder: Path) -> str:
    """Fill the templates; pictures lie in HTML, and are linked from Markdown."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader(__name__, "."),
        autoescape=ending == "html",
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "base64": lambda path: base64.b64encode(path.read_bytes()).decode("ascii"),
        "cell": lambda text: " ".join(text.split()).replace("|", r"\|"),
        "link": lambda path: path.relative_to(folder).as_posix(),
    }
    text = environment.get_template("words.jinja").render(content, format=ending)
    if ending == "md":
        text = _without_html(text)
    return re.sub("\n{3,}", "\n\n", text).strip() + "\n"


def _without_html(text: str) -> str:
    """Markdown in which no name of a case, method or label is HTML, or a link elsewhere."""
    parts = re.split("(?ms)(^```.*?^```$)", text)  # code stays as it is
    for number in range(0, len(parts), 2):
        part = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", parts[number])
        parts[number] = _OTHER_LINK.sub(r"]\(", part)
    return "".join(parts)


def _remove_stale(figures: Path, shown: Collection[Path]) -> None:
    """Remove figures of earlier reports that this one does not show."""
    for pattern in _OUR_FIGURES:
        for path in figures.glob(pattern):
            if path not in shown and is_ours(path):
                path.unlink()
