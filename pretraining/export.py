"""Write the averaged weights as a shippable file: ``python -m pretraining.export --help``.

``NAME.safetensors`` holds them as float16, with the settings as metadata. A later run can begin
from it (``--start NAME.safetensors`` of the trainer), with a new optimiser.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_fewshot.backbones.embedded import FORMAT

from .checkpoint import load_checkpoint
from .settings import TrainConfig

__all__ = ["export", "main", "read_exported", "write_weights"]


def export(checkpoint: Path, out: Path) -> None:
    """Write the averaged weights of a checkpoint; see the module's text."""
    state, config = load_checkpoint(checkpoint, TrainConfig)
    write_weights(out, state["ema"], int(state["step"]), config)


def write_weights(out: Path, weights: dict[str, Tensor], step: int, config: TrainConfig) -> None:
    """Write weights of a step as a shippable file."""
    metadata = {
        "format": FORMAT,
        "network": json.dumps(config.network.to_dict()),
        "training": json.dumps(config.to_dict()),
        "seed": str(config.seed),
        "steps": str(step),
        "data": "synthetic images only",
        "licence": "BSD-3-Clause",
    }
    _write(out, {k: v.to(torch.float16).contiguous() for k, v in weights.items()}, metadata)


def read_exported(path: Path) -> tuple[dict[str, Any], TrainConfig]:
    """Read exported weights as a state to begin from."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state: dict[str, Any] = {"step": int(metadata["steps"])}
    state["ema"] = {k: v.float() for k, v in load_file(path).items()}
    return state, TrainConfig.from_dict(json.loads(metadata["training"]))


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    from safetensors.torch import save_file

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    save_file(tensors, temporary, metadata)
    temporary.replace(path)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(prog="python -m pretraining.export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="last.pt of a run")
    parser.add_argument("out", type=Path, help="file to write, NAME.safetensors")
    options = parser.parse_args(arguments)
    export(options.checkpoint, options.out)


if __name__ == "__main__":
    main()
