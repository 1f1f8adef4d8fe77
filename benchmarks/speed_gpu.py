"""Vision transformers against the rate at which the device multiplies matrices.

    python benchmarks/speed_gpu.py [--device cuda] [--side 518] [--slices 64] [--sizes small base]

DINOv2's ViT-S, B and L with random weights. The rate is that of a large product in the precision
of the extraction, measured in the same run. ``network`` is the bare forward pass of a batch,
``extraction`` all of it, from slices to stored maps: what lies between is time that the device
waits. Without a CUDA device one line says so, unless ``--device cpu`` is asked for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from dataclasses import replace
from typing import Any

import torch
from speed_stages import matrix_rate, operations
from store import NoiseSlices

from napari_fewshot.backbones.dino import ENTRIES
from napari_fewshot.backbones.timm_network import TimmBackbone, build_network
from napari_fewshot.config import ExtractionConfig
from napari_fewshot.features.encode import choose_precision
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.features.layout import plan_layout

SIZES = {"small": "ViT-S", "base": "ViT-B", "large": "ViT-L"}


def backbone(size: str) -> TimmBackbone:
    """DINOv2 of a size, with random weights."""
    torch.manual_seed(0)
    spec = ENTRIES[f"dinov2-{size[0]}"].spec
    network = build_network(f"vit_{size}_patch14_dinov2")
    return TimmBackbone(
        replace(spec, name=f"random-{size}"), network, hashlib.sha256().hexdigest(), 1
    )


def measure(device: str, side: int, slices: int, sizes: list[str]) -> dict[str, Any]:
    """A row for each size; or why there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        return {"skipped": "no CUDA device here"}
    precision = choose_precision("auto", device, tokens=True)
    dtype = getattr(torch, precision)
    rate = matrix_rate(device, 8192 if device == "cuda" else 1024, dtype)
    name = torch.cuda.get_device_name() if device == "cuda" else device
    rows = {}
    for size in sizes:
        network = backbone(size).to(device)
        config = ExtractionConfig()
        layout = plan_layout((side, side), network.spec, config)  # it may enlarge, and cut
        image = torch.rand(1, 1, 3, *layout.tile, device=device)
        needed = operations(network.encode, image)
        extractor = FeatureExtractor(network, config, device)
        batch = image.repeat(config.batch if device == "cuda" else 1, 1, 1, 1, 1)
        bare = bare_seconds(network, batch, dtype)
        source = NoiseSlices(slices, side)
        for _ in extractor.maps(source, range(2)):  # the first pass chooses its kernels
            pass
        start = time.perf_counter()
        for _ in extractor.maps(source, range(slices)):
            pass
        seconds = (time.perf_counter() - start) / slices
        rows[SIZES[size]] = {
            "slices a second": 1 / seconds,
            "network": needed / bare / rate,
            "extraction": needed * len(layout.origins) / seconds / rate,
            "input": layout.tile,
        }
        print(json.dumps({size: rows[SIZES[size]]}), flush=True)
    return {"device": name, "precision": precision, "matrix_rate": rate, "side": side, "rows": rows}


def bare_seconds(network: TimmBackbone, images: torch.Tensor, dtype: torch.dtype) -> float:
    """Seconds of an input in the forward pass of a batch that is on the device already."""
    device = images.device.type
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    seconds = []
    with torch.inference_mode(), torch.autocast(device, dtype, enabled=dtype != torch.float32):
        for _ in range(6):
            wait()
            start = time.perf_counter()
            network.encode(images)
            wait()
            seconds.append((time.perf_counter() - start) / len(images))
    return min(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--side", type=int, default=518)
    parser.add_argument("--slices", type=int, default=64)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    options = parser.parse_args()
    print(json.dumps(measure(options.device, options.side, options.slices, options.sizes)))


if __name__ == "__main__":
    main()
