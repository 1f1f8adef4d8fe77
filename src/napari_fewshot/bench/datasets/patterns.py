"""Files of a data set by patterns of their names, and the errors that say what is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ...io.paths import stem_of

__all__ = ["existing_folder", "match_files", "natural", "shortened"]

_CASE = "{case}"


def existing_folder(root: Path, what: str, remedy: str = "") -> Path:
    """Return the folder, or raise an :class:`InputError` that says what it should be."""
    if not root.is_dir():
        given = f"{root}, which is a file" if root.exists() else f"{root}, where nothing is"
        raise InputError("root", f"be {what}", given, remedy)
    return root


def match_files(root: Path, patterns: Sequence[str], option: str) -> dict[str, Path]:
    """Find files by the name of their case, in natural order.

    Parameters
    ----------
    root : Path
        Folder that they start from.
    patterns : sequence of str
        Paths below ``root`` with ``*`` within a name and at most one ``{case}``, which is the
        name of the case; without it the name is that of the file without its ending.
    option : str
        What the patterns are, for messages.

    Raises
    ------
    InputError
        If a pattern is none, matches nothing, or two files answer to one case.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        if pattern.count(_CASE) > 1 or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise InputError(option, f"be a path below the root, with at most one {_CASE}", pattern)
        parts = [re.escape(part).replace(r"\*", "[^/]*") for part in pattern.split(_CASE)]
        expression = re.compile("([^/]+?)".join(parts))
        for path in sorted(root.glob(pattern.replace(_CASE, "*"))):
            match = expression.fullmatch(path.relative_to(root).as_posix())
            if match is None or path.name.startswith("."):
                continue
            name = match.group(1) if match.groups() else stem_of(path)
            if found.setdefault(name, path) != path:
                raise InputError(
                    option, "match one file for each case", f"{found[name]} and {path}"
                )
    if not found:
        raise InputError(
            option,
            f"match files below {root}",
            ", ".join(patterns),
            "Is it the folder of this data set?",
        )
    return dict(sorted(found.items(), key=lambda item: natural(item[0])))


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which ``case_2`` comes before ``case_10``."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]


def shortened(names: Sequence[str]) -> str:
    """First three of many names, and how many there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
