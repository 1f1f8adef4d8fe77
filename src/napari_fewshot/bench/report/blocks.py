"""What a report is made of, whatever it is written in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "Cell", "Heading", "Picture", "Table", "Text"]


@dataclass(frozen=True)
class Heading:
    """A title; ``level`` 1 is that of the report."""

    level: int
    text: str


@dataclass(frozen=True)
class Text:
    """Paragraphs; with ``items`` a list, with ``code`` as it is typed."""

    paragraphs: tuple[str, ...]
    items: bool = False
    code: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell of a table; the best of its kind is bold."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table; its first ``left`` columns are words, the others numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left: int = 1
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG, and what it shows."""

    path: Path
    caption: str


Block = Heading | Text | Table | Picture
