"""Compare finished designs on real images: ``python -m pretraining.probe CHECKPOINT``.

Pixel features and normalised position go to a small perceptron, trained on the painted slices;
the score is the mean Dice over labels on the other slices. For comparing finished designs only:
checkpoints are not chosen by it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_fewshot.backbones.embedded_network import EmbeddedNet

from .checkpoint import load_checkpoint
from .probe_data import Problem, Slice, load_problems
from .settings import TrainConfig

__all__ = ["Options", "encode", "main", "score", "vary"]


@dataclass(frozen=True)
class Options:
    """How the probe works.

    Parameters
    ----------
    scale : float
        Slices are enlarged by this before they are encoded.
    plain : bool
        Whether smoothed grey values or colours stand beside the features.
    augment : int
        Varied copies of each painted slice that the perceptron learns from as well.
    steps : int
        Steps of the perceptron's training.
    """

    scale: float = 1.0
    plain: bool = False
    augment: int = 0
    steps: int = 600


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


def vary(s: Slice, rng: np.random.Generator) -> Slice:
    """A painted slice under a small random affine map and gamma, its labels likewise."""
    image = torch.from_numpy(np.ascontiguousarray(s.image)).float()
    image = image.permute(2, 0, 1)[None] if image.ndim == 3 else image[None, None]
    labels = torch.from_numpy(s.labels).float()[None, None]
    turn, shift = rng.normal(0, 0.1), rng.normal(0, 0.04, 2)
    scale, gamma = np.exp(rng.normal(0, 0.07, 2)), float(np.exp(rng.normal(0, 0.15)))
    rows = [
        [np.cos(turn) * scale[0], -np.sin(turn) * scale[1], shift[0]],
        [np.sin(turn) * scale[0], np.cos(turn) * scale[1], shift[1]],
    ]
    grid = F.affine_grid(torch.tensor([rows]).float(), list(image.shape), align_corners=False)
    moved = F.grid_sample(image, grid, padding_mode="border", align_corners=False)[0] ** gamma
    names = F.grid_sample(labels, grid, "nearest", padding_mode="border", align_corners=False)
    pixels = moved.permute(1, 2, 0) if len(moved) == 3 else moved[0]
    return Slice(pixels.numpy(), names[0, 0].numpy().astype(np.int64), s.z)


def _smoothed(image: npt.NDArray[np.float32]) -> Tensor:
    """Grey values or colours at three scales, (H, W, C)."""
    from scipy.ndimage import gaussian_filter

    channels = image if image.ndim == 3 else image[..., None]
    scales = [gaussian_filter(channels, (s, s, 0)) for s in (0, 1, 3)]
    return torch.from_numpy(np.concatenate(scales, -1)).float()


def _rows(network: EmbeddedNet, s: Slice, deep: bool, options: Options) -> Tensor:
    features = encode(network, s.image, options.scale)
    if options.plain:
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


def score(network: EmbeddedNet, problem: Problem, options: Options) -> float:
    """Mean Dice of a problem over labels (and over volumes, where there are several)."""
    deep = len({s.z for s in problem.painted}) > 1
    classes = np.zeros(max(problem.labels) + 1, dtype=np.int64)
    classes[list(problem.labels)] = np.arange(1, len(problem.labels) + 1)
    count = len(problem.labels) + 1
    rng = np.random.default_rng(0)
    painted = list(problem.painted)
    painted += [vary(s, rng) for s in problem.painted for _ in range(options.augment)]
    x = torch.cat([_rows(network, s, deep, options) for s in painted])
    y = torch.cat([torch.from_numpy(classes[s.labels]).flatten() for s in painted])
    at = _sample(y, 4000 * (1 + options.augment))
    x, y = x[at], y[at]
    mean, spread = x.mean(0), x.std(0).clamp(min=1e-3)
    model = _fit((x - mean) / spread, y, count, options.steps)
    scores = []
    for volume in problem.targets:
        overlap = np.zeros((count, 2))
        for s in volume:
            with torch.inference_mode():
                logits = model((_rows(network, s, deep, options) - mean) / spread)
            found, truth = logits.argmax(-1).numpy(), classes[s.labels].ravel()
            both = np.bincount(truth[found == truth], minlength=count)
            sizes = np.bincount(found, minlength=count) + np.bincount(truth, minlength=count)
            overlap += np.stack([2 * both, sizes], 1)
        some = overlap[1:, 1] > 0
        scores.append(float(np.mean(overlap[1:][some, 0] / overlap[1:][some, 1])))
    return float(np.mean(scores))


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, score every problem and print one line of JSON for each."""
    parser = argparse.ArgumentParser(prog="python -m pretraining.probe", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--full", action="store_true", help="all problems, 1, 3 and 5 slices")
    parser.add_argument("--scale", type=float, default=1.0, help="enlarge slices by this")
    parser.add_argument("--plain", action="store_true", help="add smoothed grey values")
    parser.add_argument("--augment", type=int, default=0, help="varied copies of painted slices")
    parser.add_argument("--steps", type=int, default=600, help="steps of the perceptron")
    parser.add_argument("--random", action="store_true", help="untrained weights, to compare")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    state, config = load_checkpoint(options.checkpoint, TrainConfig)
    network = EmbeddedNet(config.network).eval()
    if not options.random:
        network.load_state_dict(state["ema"])
    network = network.to(memory_format=torch.channels_last)
    choice = Options(options.scale, options.plain, options.augment, options.steps)
    for problem in load_problems(options.data, full=options.full):
        begin = time.perf_counter()
        dice = score(network, problem, choice)
        seconds = round(time.perf_counter() - begin, 1)
        line = {"step": state["step"], "problem": problem.name, "dice": round(dice, 3)}
        print(json.dumps({**line, "seconds": seconds}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
