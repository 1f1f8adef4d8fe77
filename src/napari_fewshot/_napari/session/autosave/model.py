"""The models of a session on disk: those of the last save stay until the next ones are whole.

A save writes each beside, the description of the session names its digest, and then it takes its
place. After a process was killed in between, the digest tells which of the two counts.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ....download import file_sha256

__all__ = ["BASE", "MODEL", "model_of", "place_model", "settle_model", "stage_model"]

MODEL = "model.fewshot"
BASE = "opened.fewshot"
"""What the model goes on from, whose templates are not in the folder."""


def stage_model(folder: Path, model: Any, name: str = MODEL) -> str:
    """Write a fitted model beside that of the last save; return the digest of the file."""
    staged = _staged(folder, name)
    model.save(staged)
    return file_sha256(staged)


def place_model(folder: Path, name: str = MODEL) -> None:
    """Let the model that the description names now take its place."""
    _staged(folder, name).replace(folder / name)


def settle_model(folder: Path, digest: str | None, name: str = MODEL) -> None:
    """End what a killed save had begun; ``digest`` is that of the description."""
    staged = _staged(folder, name)
    if not staged.is_file():
        return
    if file_sha256(staged) == digest:
        place_model(folder, name)
    else:
        with suppress(OSError):
            staged.unlink()


def model_of(folder: Path, digest: str | None, name: str = MODEL) -> Path | None:
    """File of the model that a description names; None where there is none."""
    staged, path = _staged(folder, name), folder / name
    if digest is not None and staged.is_file() and file_sha256(staged) == digest:
        return staged
    return path if path.is_file() else None


def _staged(folder: Path, name: str) -> Path:
    return folder / f".{name}.next"
