"""Speed and memory of extraction with the embedded backbone.

    python benchmarks/embedded.py [--side 256] [--slices 20 120] [--threads 2]

Each number of slices runs in a process of its own; the ratio of the peaks shows whether memory
grows with the number of slices.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time


def extract(side: int, slices: int, threads: int) -> None:
    """Encode slices of noise, one map after the other; print seconds and peak memory."""
    import numpy as np
    import torch

    from napari_fewshot import Volume
    from napari_fewshot.backbones import get_backbone
    from napari_fewshot.config import ExtractionConfig, IntensityConfig, ResamplingConfig
    from napari_fewshot.features.extract import FeatureExtractor
    from napari_fewshot.slices.stack import SliceStack

    torch.set_num_threads(threads)
    data = np.random.default_rng(0).integers(0, 255, (slices, side, side), dtype=np.uint8)
    stack = SliceStack(Volume(data, (1.0, 1.0, 1.0)), 0, IntensityConfig(), ResamplingConfig())
    extractor = FeatureExtractor(get_backbone("embedded"), ExtractionConfig(), "cpu")
    extractor.map(stack, 0)
    start = time.perf_counter()
    for _ in extractor.maps(stack, range(slices)):
        pass
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"slices": slices, "seconds": seconds, "peak": peak - data.nbytes / 2**20}))


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--slices", type=int, nargs="+", default=[20, 120])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--run", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        extract(options.side, options.run, options.threads)
        return
    rows = []
    for count in options.slices:
        command = [sys.executable, __file__, *sys.argv[1:], "--run", str(count)]
        rows.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        row = rows[-1]
        print(
            f"{count:5} slices of {options.side}²: {count / row['seconds']:.1f} a second, "
            f"peak {row['peak']:.0f} MiB without the volume"
        )
    print(f"peak, last to first: {rows[-1]['peak'] / rows[0]['peak']:.2f}")


if __name__ == "__main__":
    main()
