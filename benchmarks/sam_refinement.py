"""Refinement by SAM: what kept embeddings save, and memory for few and many slices.

    python benchmarks/sam_refinement.py [--weights FILE] [--sam NAME] [--slices 25 100] [--side 256]

Without weights the true network of ``--sam`` is used with random weights: time and memory are
those of the real one, the masks are not. Every run is a process of its own. The first refines
with an empty feature store, the second with the store that the first has filled.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def random_weights(name: str, path: Path) -> Path:
    """Write a checkpoint of the official format with random weights."""
    import torch
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    size = {"medsam": "vit_b"}.get(name, name.removeprefix("sam-").replace("-", "_"))
    torch.save(sam_model_registry[size]().state_dict(), path)
    return path


def one(slices: int, side: int, name: str, weights: Path, store: Path) -> dict[str, float]:
    """Refine a volume; seconds, and peak memory in MiB beyond what was there before."""
    from napari_fewshot import get_refiner, refine_labels
    from napari_fewshot.features.store import FeatureStore
    from napari_fewshot.phantoms import make_phantom

    phantom = make_phantom("torso", shape=(slices, side, side))
    labels = np.where(np.isin(phantom.labels.data, (1, 6, 9)), phantom.labels.data, 0)
    kept = FeatureStore(store)
    start = time.perf_counter()
    refiner = get_refiner(name, sam_weights=weights, store=kept)
    refine_labels(phantom.image, labels, method=refiner)
    seconds = time.perf_counter() - start
    size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    filled = int(labels.any(axis=(1, 2)).sum())
    return {"slices": filled, "seconds": seconds, "peak": peak, "store": size / 2**20}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--sam", default="sam-vit-b")
    parser.add_argument("--slices", type=int, nargs="+", default=[25, 100])
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        found = one(options.slices[0], options.side, options.sam, options.weights, options.one)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as folder:
        weights = options.weights or random_weights(options.sam, Path(folder) / "random.pth")
        print(f"{options.sam}, slices of {options.side}², 3 labels, ten random points each")
        print("volume  refined  embeddings  seconds  s/slice  peak MiB  store MiB")
        ends: list[dict[str, float]] = []
        for slices in options.slices:
            store = Path(folder) / str(slices)
            for kept in ("none", "kept"):
                command = [sys.executable, __file__, "--one", str(store), "--slices", str(slices)]
                command += ["--side", str(options.side), "--sam", options.sam]
                command += ["--weights", str(weights)]
                text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found = json.loads(text.strip().splitlines()[-1])
                ends.append(found)
                print(
                    f"{slices:>6}  {found['slices']:>7}  {kept:>10}  {found['seconds']:>7.1f}  "
                    f"{found['seconds'] / found['slices']:>7.2f}  {found['peak']:>8.0f}  "
                    f"{found['store']:>9.1f}"
                )
            saved = ends[-2]["seconds"] / ends[-1]["seconds"]
            print(f"        time saved by kept embeddings: × {saved:.1f}")
        if len(options.slices) > 1:
            print(f"peak memory, last to first: × {ends[-2]['peak'] / ends[0]['peak']:.2f}")


if __name__ == "__main__":
    main()
