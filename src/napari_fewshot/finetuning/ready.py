"""Settings of fine-tuning out of TOML: a file, or one of those in the package, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config.toml_file import read_toml
from ..errors import UnknownNameError

__all__ = ["ready_settings"]

_READY = Path(__file__).with_name("configs")


def ready_settings(given: str) -> dict[str, Any]:
    """Read settings, as nested dicts, for a :class:`~napari_fewshot.config.FinetuneConfig`.

    Raises
    ------
    UnknownNameError
        If it is neither a file nor the name of a ready configuration.
    UnreadableFileError
        If it is no TOML.
    """
    path = Path(given)
    ready = {file.stem: file for file in sorted(_READY.glob("*.toml"))}
    if not path.is_file():
        if given not in ready:
            raise UnknownNameError("config", given, [*ready, "a file .toml"])
        path = ready[given]
    return read_toml(path)
