"""All files of a report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...io.outputs import is_ours, replacing
from ..runner import Benchmark
from .blocks import Block, Picture
from .document import make_document
from .html import to_html
from .markdown import to_markdown
from .results import Results
from .tidy import columns_of, distinct_machines, write_csv

__all__ = ["report_files", "write_report"]

_OUR_FIGURES = ("shots.png", "boxes.png", "worst-*.png")


def report_files(benchmark: Benchmark) -> Iterator[Path]:
    """All files that a report may have."""
    folder, figures = benchmark.folder, benchmark.folder / "figures"
    for name in ("results.csv", "results.json", "report.md", "report.html"):
        yield folder / name
    yield from (figures / "shots.png", figures / "boxes.png")
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
    with benchmark.outputs.writing():
        return _write(benchmark, command)


def _write(benchmark: Benchmark, command: str) -> Path:
    folder = benchmark.folder
    results = Results.of(benchmark)
    columns = columns_of(benchmark.config.landmarks is not None)
    write_csv(folder / "results.csv", results.rows, columns)
    _write_json(folder / "results.json", benchmark, results, command)
    blocks = make_document(benchmark, results, folder / "figures", command)
    for name, text in (
        ("report.md", to_markdown(blocks, folder)),
        ("report.html", to_html(blocks)),
    ):
        with replacing(folder / name) as part:
            part.write_text(text, "utf-8")
    _remove_stale(folder / "figures", blocks)
    return folder / "report.html"


def _write_json(path: Path, benchmark: Benchmark, results: Results, command: str) -> None:
    """Write the table with all that is needed to make it again."""
    records = benchmark.records.all(benchmark.units)
    machines = distinct_machines(record for _, record in records)
    content = {
        "title": benchmark.config.title,
        "command": command,
        "machine": machines[0] if machines else {},
        "machines": machines,
        "unit": results.unit,
        "config": benchmark.config.model_dump(mode="json"),
        "coverage": [
            {"method": method, "shot": shot, "done": one.done, "planned": one.planned}
            for (method, shot), one in results.coverage.items()
        ],
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
                "machine": machines.index(record.machine) if record.machine else None,
                "error": record.error,
            }
            for unit, record in records
        ],
        "rows": results.rows,
    }
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _remove_stale(figures: Path, blocks: Sequence[Block]) -> None:
    """Remove figures of earlier reports that this one does not show."""
    shown = {block.path for block in blocks if isinstance(block, Picture)}
    for pattern in _OUR_FIGURES:
        for path in figures.glob(pattern):
            if path not in shown and is_ours(path):
                path.unlink()
