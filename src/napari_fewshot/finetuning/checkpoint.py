"""Checkpoints of a run that can be gone on with to the last bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ..backbones.checkpoint import TorchFileError, read_torch
from ..config import FinetuneConfig
from ..errors import InputError
from ..io.outputs import replacing
from .scans import Scans

__all__ = ["checkpoint_path", "read_checkpoint", "run_digest", "write_checkpoint"]

_FORMAT = 1
_LENGTH = ("steps", "minutes", "checkpoint_minutes")
"""Settings that may change from one part of a run to the next."""


def checkpoint_path(output: Path) -> Path:
    """Where the checkpoint of a run lies: beside its weights, until it has ended."""
    return output.with_name(f"{output.name}.checkpoint")


def run_digest(
    backbone: str, base_hash: str, config: FinetuneConfig, scans: Scans, probe: bool
) -> str:
    """Digest of all that makes a run what it is, but for how long it lasts."""
    settings = config.model_dump(mode="json", exclude=set(_LENGTH))
    parts = [backbone, base_hash, settings, scans.keys, probe]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def write_checkpoint(path: Path, digest: str, state: dict[str, Any]) -> None:
    """Write a state, whole or not at all."""
    import torch

    # To a stream: torch hides what the disk says.
    with replacing(path) as temporary, temporary.open("wb") as stream:
        torch.save({"format": _FORMAT, "digest": digest, **state}, stream)


def read_checkpoint(path: Path, digest: str) -> dict[str, Any]:
    """Read a state; nothing that the file holds is executed.

    Raises
    ------
    InputError
        If it is damaged, or of a run with other images, weights or settings.
    """
    remedy = "Give another output, or overwrite to begin anew."
    try:
        state: dict[str, Any] = read_torch(path)
        known = state["format"], state["digest"]
    except (OSError, TorchFileError, KeyError, TypeError) as error:
        what = "a damaged file, or one of another kind"
        raise InputError(str(path), "be a whole checkpoint", what, remedy) from error
    if known != (_FORMAT, digest):
        raise InputError(
            str(path),
            "be of a run with the same images, weights and settings",
            "one of another run",
            remedy,
        )
    return state
