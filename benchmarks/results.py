"""Rows of a benchmark as JSON lines, so that a run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_fewshot import __version__
from napari_fewshot.bench.machine import describe_machine

Row = dict[str, Any]
KEYS = ("task", "method", "seed", "tag")
"""What each row has."""


def version() -> str:
    """Version and commit of the package: the usual tag."""
    return " ".join([__version__, *filter(None, [describe_machine("cpu").get("commit")])])


@dataclass
class Results:
    """Rows of earlier runs and of this one.

    Parameters
    ----------
    path : Path, optional
        A row is added to this file as soon as it is there; None: rows are kept in memory.
    references : collection of str
        Methods whose rows count whatever their tag.
    keys : collection of str
        What a row of this benchmark has besides; others are left out.
    """

    path: Path | None
    references: Collection[str] = ()
    keys: Collection[str] = ()
    _kept: list[Row] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """All rows, read anew: another process may have added some."""
        return self._kept if self.path is None else read_rows(self.path, self.keys)

    def has(self, task: str, method: str, seed: int, tag: str) -> bool:
        """Whether there is a row of a task, method and seed for a tag."""
        wanted = (task, method, seed)
        return any(
            (row["task"], row["method"], row["seed"]) == wanted
            and (row["tag"] == tag or method in self.references)
            for row in self.rows
        )

    def add(self, row: Row) -> None:
        """Keep a row."""
        if self.path is None:
            self._kept.append(row)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = not self.path.exists() or self.path.read_bytes()[-1:] in (b"", b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("" if whole else "\n") + json.dumps(row) + "\n")

    def of(self, tag: str | None) -> tuple[list[Row], str | None]:
        """Rows of a tag with those of the references, and the tag; None: the last one.

        Of rows that are there twice the last counts.
        """
        return of_tag(self.rows, tag, self.references)


def read_rows(path: Path, keys: Collection[str] = ()) -> list[Row]:
    """Rows of a file, none if it is not there; a line that was cut off is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and {*KEYS, *keys} <= row.keys():
            rows.append(row)
    return rows


def of_tag(
    rows: Sequence[Row], tag: str | None, references: Collection[str] = ()
) -> tuple[list[Row], str | None]:
    """See :meth:`Results.of`."""
    own = [row for row in rows if row["method"] not in references]
    if tag is None:
        tag = next((row["tag"] for row in reversed(own)), None)
    found: dict[tuple[str, str, int], Row] = {}
    for row in rows:
        if row["tag"] == tag or row["method"] in references:
            found[row["task"], row["method"], row["seed"]] = row
    return list(found.values()), tag
