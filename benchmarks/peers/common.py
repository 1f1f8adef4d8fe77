"""What the scripts of all tools share; only numpy and torch are needed.

Each script is run as ``python SCRIPT DATA RESULT [options]``. DATA holds, as NumPy arrays,
``image`` (Z, Y, X) uint16, ``paint`` and ``correction`` of that shape in uint8 (0 unknown, 1
background, from 2 on the labels), and ``slices``, those to be labelled. The script writes what it
found to RESULT, an array like ``paint`` with 0 on slices that it did not label, and prints seconds
and memory as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


class Run:
    """One run of a tool: its data, and the seconds of its stages.

    ``options`` declares what the tool alone is asked.
    """

    def __init__(self, options: Callable[[argparse.ArgumentParser], None] | None = None) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("data", type=Path)
        parser.add_argument("result", type=Path)
        if options is not None:
            options(parser)
        self.options = parser.parse_args()
        with np.load(self.options.data) as data:
            self.image = data["image"]
            self.paint = data["paint"]
            self.correction = data["correction"]
            self.slices = [int(k) for k in data["slices"]]
        self.seconds: dict[str, float] = {}
        self.corrected = int(np.flatnonzero((self.paint != self.correction).any(axis=(1, 2)))[0])

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def finish(self, found: np.ndarray, version: str, scaled: tuple[str, ...] = ()) -> None:
        """Write and print; ``scaled`` are the stages whose time grows with the slices."""
        factor = len(self.image) / len(self.slices)
        report: dict[str, Any] = {
            "version": version,
            "slices": len(self.slices),
            "seconds": {
                name: value * (factor if name in scaled else 1)
                for name, value in self.seconds.items()
            },
            "memory_mb": resident_peak(),
        }
        np.save(self.options.result, found)
        print(json.dumps(report))


def resident_peak() -> float:
    """Largest resident memory so far, in MB; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # what resource tells counts the process that started this one
        lines = status.read_text("utf-8").splitlines()
        return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def known_slices(paint: np.ndarray) -> list[int]:
    """Slices with paint."""
    return [int(k) for k in np.flatnonzero(paint.any(axis=(1, 2)))]


def random_dinov2(*_: Any, **__: Any) -> Any:
    """DINOv2-S with registers, random weights, behind the methods that tools call of Meta's code.

    It stands in for ``torch.hub.load``. timm's network is of the same shapes; it keeps Meta's order
    of operations.
    """
    import timm
    import torch
    from torch import nn

    class Network(nn.Module):
        patch_size = 14

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.network = timm.create_model(
                "vit_small_patch14_reg4_dinov2", num_classes=0, dynamic_img_size=True
            )

        def forward_features(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            tokens = self.network.forward_features(images)
            return {"x_norm_patchtokens": tokens[:, self.network.num_prefix_tokens :]}

        def get_intermediate_layers(
            self, images: torch.Tensor, n: int = 1, **_: Any
        ) -> list[torch.Tensor]:
            """Return maps of the last layer, as ``reshape=True`` gives them."""
            grid = [side // self.patch_size for side in images.shape[-2:]]
            tokens = self.forward_features(images)["x_norm_patchtokens"]
            return [tokens.transpose(1, 2).reshape(len(images), -1, *grid)]

    return Network().eval().requires_grad_(False)
