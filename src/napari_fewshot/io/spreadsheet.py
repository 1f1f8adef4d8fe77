"""Texts in CSV files, of which a spreadsheet makes a formula where they begin as one."""

from __future__ import annotations

import re

from ..types import plain_name

__all__ = ["guarded", "guarded_path", "unguarded"]

_STARTS = "=+-@\t\r＝＋－＠"
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def guarded(text: str) -> str:
    """Text for a cell: an apostrophe goes before what would be taken for a formula.

    That is what spreadsheets have for it, and :func:`unguarded` takes it away again. What steers
    terminals is left out.
    """
    text = plain_name(text)
    if text[:1] in tuple(_STARTS) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def guarded_path(path: str) -> str:
    """Relative path for a cell, which stays a path: ``./`` goes before what would be a formula."""
    return f"./{path}" if path[:1] in tuple(_STARTS) else path


def unguarded(text: str) -> str:
    """Text of a cell that :func:`guarded` may have written."""
    return text[1:] if text[:1] == "'" and text[1:2] in tuple(_STARTS) else text
