"""What the feature store saves: reading against computing again, tokens against pixels.

Run ``python benchmarks/store.py [--slices 8] [--side 512] [--width 384] [--depth 12]``. The
network is a transformer of the size of DINOv2-S with random weights: the time does not depend
on what it has learned, and nothing is downloaded. Files that were just written are read from
the memory of the system, so reading from a slow disk takes longer than shown.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from napari_fewshot.backbones.base import BackboneSpec, Preprocessing
from napari_fewshot.config import ExtractionConfig
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.features.store import FeatureStore

PATCH = 14


class RandomTransformer(nn.Module):
    """A plain vision transformer without position embedding or class token."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, width, PATCH, PATCH)
        layer = nn.TransformerEncoderLayer(
            width, width // 64, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.eval()
        self.spec = BackboneSpec(
            name="random-transformer",
            summary="random weights",
            stride=PATCH,
            channels=width,
            preprocessing=Preprocessing(
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
                resize="grid",
                multiple=PATCH,
            ),
        )
        self.weights_hash = hashlib.sha256(f"{width} {depth}".encode()).hexdigest()

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Tokens of each patch as a grid."""
        grid = self.patches(images[:, 0])
        tokens = self.blocks(grid.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).reshape(grid.shape)


class NoiseSlices:
    """Random slices, made when they are asked for."""

    channels = 1

    def __init__(self, count: int, side: int) -> None:
        self.count = count
        self.shape = (side, side)

    def __len__(self) -> int:
        return self.count

    def slice(self, index: int) -> np.ndarray:
        """Slice ``index``, shape (1, H, W)."""
        return np.random.default_rng(index).random((1, *self.shape), dtype=np.float32)

    def digest(self, index: int) -> str:
        """Digest of slice ``index``."""
        return hashlib.sha256(self.slice(index).tobytes()).hexdigest()


def timed(extractor: FeatureExtractor, source: NoiseSlices) -> float:
    """Seconds for each slice."""
    start = time.perf_counter()
    for _ in extractor.maps(source, range(len(source))):
        pass
    return (time.perf_counter() - start) / len(source)


def measure(
    slices: int = 8, side: int = 512, width: int = 384, depth: int = 12, device: str = "cpu"
) -> dict[str, float]:
    """Seconds and bytes of a slice."""
    source = NoiseSlices(slices, side)
    backbone = RandomTransformer(width, depth)
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder))
        config = ExtractionConfig()
        computing = timed(FeatureExtractor(backbone, config, device), source)
        filled = FeatureExtractor(backbone, config, device, store)
        writing = timed(filled, source) - computing
        reading = timed(filled, source)
        on_disk = store.size() / len(source)
    return {
        "computing": computing,
        "writing": writing,
        "reading": reading,
        "bytes": on_disk,
        "pixel_bytes": 4 * width * side**2,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    found = measure(**vars(options))
    computing, reading = found["computing"], found["reading"]
    on_disk, pixels = found["bytes"], found["pixel_bytes"]
    print(f"{options.slices} slices of {options.side}², width {options.width}")
    print(f"computing      {1e3 * computing:9.1f} ms a slice")
    print(f"  and storing  {1e3 * found['writing']:+9.1f} ms a slice")
    print(f"reading        {1e3 * reading:9.1f} ms a slice, {computing / reading:.0f} times faster")
    print(f"on disk        {on_disk / 1e6:9.2f} MB a slice")
    print(f"float32 pixels {pixels / 1e6:9.1f} MB a slice, {pixels / on_disk:.0f} times larger")


if __name__ == "__main__":
    main()
