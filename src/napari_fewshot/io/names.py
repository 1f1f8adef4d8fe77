"""Names of labels, in a JSON file beside a label image."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from .atomic import replacing
from .paths import stem_of

__all__ = ["name_files", "read_names", "write_names"]

_LOGGER = logging.getLogger(__name__)
_COMMON = "labels.json"


def name_files(path: Path) -> tuple[Path, Path]:
    """Files that :func:`read_names` looks for beside a label image, the first one first."""
    return _own_file(path), path.with_name(_COMMON)


def read_names(path: Path) -> Mapping[int, str]:
    """Find the names of a label image.

    ``<stem>_labels.json`` is tried first (``<stem>.json`` where the stem itself ends in
    ``_labels``), then ``labels.json`` in the same folder. Either holds an object such as
    ``{"1": "spleen"}``. A file that does not is ignored with a warning.

    Returns
    -------
    mapping of label value (at least 1) to name; empty where nothing is found.
    """
    for candidate in name_files(path):
        if candidate.is_file():
            names = _parse(candidate)
            if names is not None:
                return MappingProxyType(names)
    return MappingProxyType({})


def write_names(path: Path, names: Mapping[int, str]) -> None:
    """Write names beside the label image ``path``, where :func:`read_names` looks first."""
    text = json.dumps({str(value): name for value, name in sorted(names.items())}, indent=1)
    with replacing(_own_file(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _own_file(path: Path) -> Path:
    stem = stem_of(path)
    return path.with_name(f"{stem.removesuffix('_labels')}_labels.json")


def _parse(path: Path) -> dict[int, str] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {int(value): name for value, name in content.items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        names = None
    if names is None or not all(isinstance(name, str) for name in names.values()):
        _LOGGER.warning(
            '%s is ignored: names of labels must be an object such as {"1": "spleen"}', path
        )
        return None
    return {value: name for value, name in names.items() if value > 0}
