"""Compare finished designs on real images: ``python -m pretraining.probe CHECKPOINT``.

Pixel features and normalised position go to a small perceptron, trained on the painted slices;
the score is the mean Dice over labels on the other slices. For comparing finished designs only:
checkpoints are not chosen by it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint import load_checkpoint
from .network import EmbeddedNet
from .probe_data import Problem, Slice, load_problems

__all__ = ["encode", "main", "score"]


def encode(network: EmbeddedNet, image: npt.NDArray[np.float32], scale: float = 1.0) -> Tensor:
    """Features of one slice, (H, W) or (H, W, 3) in 0..1, as (H, W, C)."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).float()
    pixels = pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels.expand(3, -1, -1)
    height, width = pixels.shape[1:]
    pixels = pixels[None]
    if scale != 1:
        pixels = F.interpolate(pixels, scale_factor=scale, mode="bicubic").clamp(0, 1)
    h, w = pixels.shape[2:]
    step = network.config.multiple
    pixels = F.pad(pixels, (0, -w % step, 0, -h % step), mode="replicate")
    with torch.inference_mode():
        features = network(pixels)[:, :, :h, :w]
        if scale != 1:
            features = F.interpolate(features, (height, width), mode="bilinear", antialias=True)
    rows: Tensor = features[0].permute(1, 2, 0)
    return rows


def _smoothed(image: npt.NDArray[np.float32]) -> Tensor:
    """Grey values or colours at three scales, (H, W, C)."""
    from scipy.ndimage import gaussian_filter

    channels = image if image.ndim == 3 else image[..., None]
    scales = [gaussian_filter(channels, (s, s, 0)) for s in (0, 1, 3)]
    return torch.from_numpy(np.concatenate(scales, -1)).float()


def _rows(network: EmbeddedNet, s: Slice, scale: float, deep: bool, plain: bool) -> Tensor:
    features = encode(network, s.image, scale)
    if plain:
        features = torch.cat([features, _smoothed(s.image)], -1)
    h, w = features.shape[:2]
    y = torch.linspace(-1, 1, h)[:, None].expand(h, w)
    x = torch.linspace(-1, 1, w)[None].expand(h, w)
    z = torch.full((h, w), s.z if deep else 0.0)
    return torch.cat([features, torch.stack([y, x, z], -1)], -1).flatten(0, 1)


def _fit(rows: Tensor, target: Tensor, classes: int, steps: int) -> nn.Sequential:
    """Train the perceptron on standardised rows with balanced-by-root sampling."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(rows.shape[1], 128),
        nn.ReLU(),
        nn.Linear(128, 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(steps):
        at = torch.randint(len(rows), (2048,))
        loss = F.cross_entropy(model(rows[at]), target[at])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model


def _sample(target: Tensor, most: int) -> Tensor:
    """Choose at most ``most`` pixels of each label, and as much background as labels."""
    draw = torch.Generator().manual_seed(0)
    picked = []
    for value in target.unique().tolist():
        at = torch.nonzero(target == value)[:, 0]
        limit = most if value else max(most, int((target > 0).sum()))
        picked.append(at[torch.randperm(len(at), generator=draw)[:limit]])
    return torch.cat(picked)


def score(network: EmbeddedNet, problem: Problem, scale: float = 1.0, plain: bool = False) -> float:
    """Mean Dice of a problem over labels (and over volumes, where there are several)."""
    deep = len(problem.painted) > 1 and len({s.z for s in problem.painted}) > 1
    index = {value: k + 1 for k, value in enumerate(problem.labels)}
    rows, target = [], []
    for s in problem.painted:
        rows.append(_rows(network, s, scale, deep, plain))
        names = torch.from_numpy(np.vectorize(lambda v: index.get(int(v), 0))(s.labels)).flatten()
        target.append(names)
    x, y = torch.cat(rows), torch.cat(target)
    at = _sample(y, 4000)
    x, y = x[at], y[at]
    mean, spread = x.mean(0), x.std(0).clamp(min=1e-3)
    model = _fit((x - mean) / spread, y, len(index) + 1, 600)
    scores = []
    for volume in problem.targets:
        overlap = np.zeros((len(index), 2))
        for s in volume:
            with torch.inference_mode():
                logits = model((_rows(network, s, scale, deep, plain) - mean) / spread)
            found = logits.argmax(-1).numpy().reshape(s.labels.shape)
            for value, k in index.items():
                a, b = found == k, s.labels == value
                overlap[k - 1] += 2 * np.sum(a & b), a.sum() + b.sum()
        some = overlap[:, 1] > 0
        scores.append(float(np.mean(overlap[some, 0] / overlap[some, 1])))
    return float(np.mean(scores))


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, score every problem and print one line of JSON for each."""
    parser = argparse.ArgumentParser(prog="python -m pretraining.probe", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--full", action="store_true", help="all problems, 1, 3 and 5 slices")
    parser.add_argument("--scale", type=float, default=1.0, help="enlarge slices by this")
    parser.add_argument("--plain", action="store_true", help="add smoothed grey values")
    parser.add_argument("--random", action="store_true", help="untrained weights, to compare")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    state, config = load_checkpoint(options.checkpoint)
    network = EmbeddedNet(config.network).eval()
    if not options.random:
        network.load_state_dict(state["ema"])
    network = network.to(memory_format=torch.channels_last)
    for problem in load_problems(options.data, full=options.full):
        begin = time.perf_counter()
        dice = score(network, problem, options.scale, options.plain)
        seconds = round(time.perf_counter() - begin, 1)
        line = {"step": state["step"], "problem": problem.name, "dice": round(dice, 3)}
        print(json.dumps({**line, "seconds": seconds}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
