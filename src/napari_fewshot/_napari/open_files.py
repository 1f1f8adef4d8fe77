"""The files that layers of the viewer were read from: nothing is saved over them by mistake."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import InputError

__all__ = ["check_is_no_open_file", "check_is_no_open_image"]


def check_is_no_open_image(path: Path, layers: Iterable[Any]) -> None:
    """Refuse to write labels or points over the file of an image that is open.

    Labels may be saved where they came from: that is how they are corrected.
    """
    _check(path, (layer for layer in layers if layer._type_string == "image"), "image")


def check_is_no_open_file(path: Path, layers: Iterable[Any]) -> None:
    """Refuse to write a model over the file of whatever is open."""
    _check(path, layers, "layer")


def _check(path: Path, layers: Iterable[Any], what: str) -> None:
    for layer in layers:
        source = layer.metadata.get("source") or layer.source.path
        if source is None:
            continue
        with suppress(OSError):
            if path.samefile(source):
                given, remedy = f"the file of {layer.name}", "Choose another name."
                raise InputError(str(path), f"not be the file of an open {what}", given, remedy)
