"""A CSV file as its lines are, however a spreadsheet has saved it, so that one can be changed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..io.outputs import replacing

__all__ = ["CsvText"]

_DELIMITERS = ",;\t"
_BOM = "utf-8-sig"
_ERRORS = "surrogateescape"
"""File names need not be UTF-8: their bytes are written as they are, and read again."""


@dataclass
class CsvText:
    """Columns and rows of a CSV file.

    Parameters
    ----------
    columns : sequence of str
        The first line.
    rows : list of list of str
        The others; each may have fewer fields than there are columns, or more.
    delimiter : str
        Where commas are decimal, spreadsheets write semicolons.
    encoding : {"utf-8", "utf-8-sig"}
        Spreadsheets know UTF-8 by a mark at the beginning.
    """

    columns: Sequence[str]
    rows: list[list[str]]
    delimiter: str = ","
    encoding: str = "utf-8"

    @classmethod
    def read(cls, path: Path, columns: Iterable[str], *, header_only: bool = False) -> CsvText:
        """Read a file that has at least these columns.

        Raises
        ------
        ValueError, csv.Error
            If it has not.
        OSError
            If it cannot be read.
        """
        wanted = set(columns)
        with path.open("rb") as stream:
            encoding = _BOM if stream.read(3) == b"\xef\xbb\xbf" else "utf-8"
        for delimiter in _DELIMITERS:
            with path.open(encoding=encoding, errors=_ERRORS, newline="") as stream:
                lines = csv.reader(stream, delimiter=delimiter)
                found = next(lines, [])
                if wanted <= set(found):
                    rows = [] if header_only else [line for line in lines if any(line)]
                    return cls(found, rows, delimiter, encoding)
        raise ValueError(f"without the columns {', '.join(sorted(wanted))}")

    def fields(self, row: Sequence[str]) -> dict[str, str]:
        """Fields of a row by column."""
        return dict(zip(self.columns, row, strict=False))

    def number(self, text: str) -> float:
        """Value of a field that is a number."""
        return float(text if self.delimiter == "," else text.replace(",", "."))

    def put(self, row: int, column: str, value: str) -> None:
        """Change one field."""
        fields, place = self.rows[row], list(self.columns).index(column)
        fields += [""] * (place + 1 - len(fields))
        fields[place] = value

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding=self.encoding, errors=_ERRORS, newline="") as stream,
        ):
            lines = csv.writer(stream, delimiter=self.delimiter, lineterminator="\n")
            lines.writerows([self.columns, *self.rows])
