"""All files of a report."""

from __future__ import annotations

from pathlib import Path

from ...io.atomic import replacing
from ..benchmark.runner import Benchmark
from .document import make_document
from .html import to_html
from .markdown import to_markdown
from .tidy import columns_of, tidy_rows, write_csv, write_json

__all__ = ["write_report"]


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
    """
    folder = benchmark.folder
    rows = tidy_rows(benchmark.records.all(benchmark.units))
    columns = columns_of(benchmark.config.landmarks is not None)
    write_csv(folder / "results.csv", rows, columns)
    write_json(folder / "results.json", benchmark, rows, command)
    blocks = make_document(benchmark, rows, folder / "figures", command)
    for name, text in (
        ("report.md", to_markdown(blocks, folder)),
        ("report.html", to_html(blocks)),
    ):
        with replacing(folder / name) as part:
            part.write_text(text, "utf-8")
    return folder / "report.html"
