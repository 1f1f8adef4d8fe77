"""Checkpoints that survive a kill, and the exported weights with the names of SAM."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from segment_anything.modeling import Sam

from .network import build_sam, measures_of
from .settings import SmallSamConfig

__all__ = ["export", "load_checkpoint", "read_sam", "read_start", "save_checkpoint"]


def save_checkpoint(path: Path, state: dict[str, Any], config: SmallSamConfig) -> None:
    """Write ``state`` with its settings beside ``path``, then rename: never half a file."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        torch.save({**state, "config": json.dumps(config.to_dict())}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path) -> tuple[dict[str, Any], SmallSamConfig]:
    """Read a checkpoint, without executing anything that it holds."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state, SmallSamConfig.from_dict(json.loads(state.pop("config")))


def export(state: dict[str, Any], config: SmallSamConfig, out: Path) -> None:
    """Write averaged weights as float16, named as in official checkpoints."""
    metadata = {
        "seed": str(config.seed),
        "steps": str(state["step"]),
        "data": "synthetic only",
        "licence": "BSD-3-Clause",
        "training": json.dumps(config.to_dict()),
    }
    weights = {k: v.to(torch.float16).contiguous() for k, v in state["ema"].items()}
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    save_file(weights, temporary, metadata)
    temporary.replace(out)


def read_start(path: Path) -> dict[str, Any]:
    """Read exported weights as a state to begin from, at step 0 with a new optimiser."""
    return {"step": 0, "ema": {k: v.float() for k, v in load_file(path).items()}}


def read_sam(path: Path) -> Sam:
    """Read exported weights, or the averaged ones of a checkpoint, as a network."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    else:
        state = load_checkpoint(path)[0]["ema"]
    sam = build_sam(measures_of(state))
    sam.load_state_dict(state)
    return sam.eval()
