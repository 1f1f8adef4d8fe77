"""Tables of measurements as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..io.outputs import replacing
from ..io.spreadsheet import guarded, guarded_path

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_text", "write_table"]


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table, whole or not at all.

    Raises
    ------
    InputError
        If the path cannot be written.
    """
    with replacing(path) as temporary:
        text = as_text(table, ",")  # names of files need not be UTF-8
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


def as_text(table: pd.DataFrame, separator: str) -> str:
    """Lines of a table; names that a spreadsheet would take for formulas are texts there."""
    guards = {"name": guarded, "file": guarded_path}
    safe = table.assign(
        **{column: table[column].map(guards[column]) for column in guards if column in table}
    )
    lines: str = safe.to_csv(
        None, sep=separator, index=False, float_format="%.10g", lineterminator="\n"
    )
    return lines
