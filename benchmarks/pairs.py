"""Pair evaluation of the contrastive adapter against naive pairing in chunks, in one run.

    python benchmarks/pairs.py [--side 512] [--labels 3] [--references 50] [--head bilinear]

Both evaluate every pixel of a slice against every reference with the same network. The naive
side joins each pixel with each reference, chunk by chunk, passes both through the shared
branch, and applies the head to the pair, as the equations are written. Each side runs in a
process of its own, so that the peak memory is its own. The results are compared.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from typing import Any

import numpy as np

CHANNELS = 24
CHUNK = 1024


def build(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """A network with random weights, the pixels and the references."""
    import torch

    from napari_fewshot.adapters.contrastive_network import PairNetwork
    from napari_fewshot.config import ContrastiveConfig

    torch.manual_seed(0)
    config = ContrastiveConfig(head=options.head)
    network = PairNetwork(CHANNELS, options.labels, config).eval()
    pixels = torch.randn(options.side**2, CHANNELS)
    return network, pixels, torch.randn(options.labels, options.references, CHANNELS)


def ours(options: argparse.Namespace) -> Any:
    """What the adapter does."""
    import torch

    from napari_fewshot.adapters.comparison import Comparison
    from napari_fewshot.pointwise import linear

    network, pixels, vectors = build(options)
    compare = Comparison(network, vectors)
    first, _, _, last = network.branch
    parts = []
    for part in pixels.split(4096):
        hidden = linear(part, first.weight, first.bias).relu_()
        parts.append(compare(linear(hidden, last.weight, last.bias).relu_()))
    return torch.cat(parts)


def naive(options: argparse.Namespace) -> Any:
    """Every pair on its own, in chunks of pixels."""
    import torch

    network, pixels, vectors = build(options)
    labels, count = vectors.shape[:2]
    result = []
    for part in pixels.split(CHUNK):
        odds = []
        for label in range(labels):
            target = part[:, None].expand(-1, count, -1).reshape(-1, CHANNELS)
            reference = vectors[label][None].expand(len(part), -1, -1).reshape(-1, CHANNELS)
            t, r = network.shared(target), network.shared(reference)
            if options.head == "bilinear":
                linear = network.target(t)[:, label] + network.reference(r)[:, label]
                same = torch.sigmoid(linear + ((t @ network.product) * r).sum(1))
                zero = 1 - same
            else:
                pair = (network.target(t) + network.reference(r)).softmax(1)
                same, zero = pair[:, label + 1], pair[:, 0]
            odds.append(same.view(-1, count).mean(1) / zero.view(-1, count).mean(1))
        logits = torch.stack([torch.ones_like(odds[0]), *odds], 1).log()
        result.append(logits.softmax(1))
    return torch.cat(result)


def measure(name: str, options: argparse.Namespace, queue: Any) -> None:
    """Run one side; report seconds, what it added to the peak memory, and the result."""
    import torch

    side = {"ours": ours, "naive": naive}[name]
    with torch.inference_mode():
        side(argparse.Namespace(**{**vars(options), "side": 32}))  # warm up
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        result = side(options)
        seconds = time.perf_counter() - start
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    queue.put((seconds, added / 1024, result.numpy()))


def main() -> None:
    """Measure both sides in turn, several times; print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--labels", type=int, default=3)
    parser.add_argument("--references", type=int, default=50)
    parser.add_argument("--head", choices=["bilinear", "concat"], default="bilinear")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    times: dict[str, list[float]] = {"ours": [], "naive": []}
    memory: dict[str, float] = {}
    results: dict[str, np.ndarray] = {}
    for _ in range(options.repeat):
        for name, taken in times.items():
            queue = context.Queue()
            process = context.Process(target=measure, args=(name, options, queue))
            process.start()
            seconds, memory[name], results[name] = queue.get()
            process.join()
            taken.append(seconds)
    difference = float(np.abs(results["ours"] - results["naive"]).max())
    for name, seconds in times.items():
        print(f"{name:6} {np.median(seconds):8.3f} s   peak memory +{memory[name]:.0f} MB")
    print(f"naive / ours: {np.median(times['naive']) / np.median(times['ours']):.1f} times")
    print(f"largest difference of a probability: {difference:.1e}")


if __name__ == "__main__":
    main()
