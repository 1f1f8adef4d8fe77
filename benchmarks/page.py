"""Pages whose tables are written by a benchmark, between the marks of its sections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_sections(page: Path, script: str, sections: Mapping[str, list[str]]) -> None:
    """Replace what stands between the marks of each section; the rest of the page stays.

    The marks of a section are ``<!-- benchmarks/SCRIPT NAME -->`` and ``<!-- end of NAME -->``. The
    page is left as it was, and the program ends, where one of them is missing.
    """
    text = page.read_text(encoding="utf-8")
    for name, lines in sections.items():
        start, end = f"<!-- benchmarks/{script} {name} -->", f"<!-- end of {name} -->"
        if start not in text or end not in text:
            raise SystemExit(f"{page} must have the marks {start} and {end}.")
        head, _, rest = text.partition(start)
        tail = rest.partition(end)[2]
        text = "\n".join([f"{head}{start}", "", *lines, "", f"{end}{tail}"])
    page.write_text(text, encoding="utf-8")
