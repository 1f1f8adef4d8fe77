"""Checkpoints that survive a kill at any moment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import nn

from .settings import TrainConfig

__all__ = ["RunSettings", "load_checkpoint", "load_ema", "save_checkpoint"]


class RunSettings(Protocol):
    """Settings of a run, which a checkpoint keeps."""

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as values that JSON can hold."""
        ...

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build the settings from a dict."""
        ...


Settings = TypeVar("Settings", bound=RunSettings)


def save_checkpoint(path: Path, state: dict[str, Any], config: RunSettings) -> None:
    """Write ``state`` with its settings beside ``path``, then rename: never half a file."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        torch.save({**state, "config": json.dumps(config.to_dict())}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path, kind: type[Settings]) -> tuple[dict[str, Any], Settings]:
    """Read a checkpoint with settings of a kind, without executing anything that it holds."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state, kind.from_dict(json.loads(state.pop("config")))


def load_ema(path: Path, network: nn.Module) -> int:
    """Load the averaged weights of a checkpoint into ``network``; return its step."""
    state, _ = load_checkpoint(path, TrainConfig)
    network.load_state_dict(state["ema"])
    return int(state["step"])
