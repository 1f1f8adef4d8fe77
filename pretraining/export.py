"""Write the averaged weights as a shippable file: ``python -m pretraining.export --help``.

Beside ``NAME.safetensors`` (float16, settings as metadata) goes ``NAME.moments.safetensors``,
the optimiser's second moments as bfloat16, so that a later run can go on from the two
(``--start NAME.safetensors`` of the trainer) where the full checkpoint is lost.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checkpoint import load_checkpoint
from .network import EmbeddedNet, NetworkConfig
from .settings import TrainConfig

__all__ = ["export", "load_weights", "main", "read_exported"]


def export(checkpoint: Path, out: Path) -> None:
    """Write weights and moments of a checkpoint; see the module's text."""
    state, config = load_checkpoint(checkpoint)
    metadata = {
        "format": "napari-fewshot embedded 1",
        "network": json.dumps(config.network.to_dict()),
        "training": json.dumps(config.to_dict()),
        "seed": str(config.seed),
        "steps": str(state["step"]),
        "data": "synthetic images only",
        "licence": "BSD-3-Clause",
    }
    weights = {k: v.to(torch.float16).contiguous() for k, v in state["ema"].items()}
    _write(out, weights, metadata)
    if "optimiser" in state:
        moments = {
            name: state["optimiser"]["state"][k]["exp_avg_sq"].to(torch.bfloat16).contiguous()
            for k, name in enumerate(state["parameters"])
        }
        _write(_moments_of(out), moments, {"steps": str(state["step"])})


def read_exported(path: Path) -> tuple[dict[str, Any], TrainConfig]:
    """Read exported weights, and moments where they are, as a state to go on from."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state: dict[str, Any] = {"step": int(metadata["steps"])}
    state["ema"] = {k: v.float() for k, v in load_file(path).items()}
    if _moments_of(path).exists():
        state["moments"] = {k: v.float() for k, v in load_file(_moments_of(path)).items()}
    return state, TrainConfig.from_dict(json.loads(metadata["training"]))


def load_weights(path: Path) -> EmbeddedNet:
    """Build the network of an exported file, in float32 and ready to encode."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, "pt") as file:
        config = NetworkConfig.from_dict(json.loads(file.metadata()["network"]))
    network = EmbeddedNet(config)
    network.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return network.eval().to(memory_format=torch.channels_last)


def _moments_of(path: Path) -> Path:
    return path.with_suffix(".moments.safetensors")


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
