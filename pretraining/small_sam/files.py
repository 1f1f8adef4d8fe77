"""The exported weights, with the names of SAM."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from segment_anything.modeling import Sam

from ..checkpoint import load_checkpoint
from .network import build_sam, measures_of
from .settings import SmallSamConfig

__all__ = ["export", "read_sam"]


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


def read_sam(path: Path) -> Sam:
    """Read exported weights, or the averaged ones of a checkpoint, as a network."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    else:
        state = load_checkpoint(path, SmallSamConfig)[0]["ema"]
    sam = build_sam(measures_of(state))
    sam.load_state_dict(state)
    return sam.eval()
