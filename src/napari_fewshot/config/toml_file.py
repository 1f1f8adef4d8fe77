"""Reading settings out of TOML files, whoever wrote them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ..errors import UnreadableFileError

__all__ = ["read_toml"]


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file, as nested dicts.

    Raises
    ------
    UnreadableFileError
        If it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError, OSError) as error:  # too many digits and too deep, too
        raise UnreadableFileError(
            str(path), "be a TOML file", " ".join(str(error).split())
        ) from None
