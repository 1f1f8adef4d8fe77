"""Fine-tuning of transformers: does it learn, and what does a step cost: docs/finetune.md.

    python benchmarks/finetuning_vit.py curve OUT [--steps 0 100 200 400] [--starts 0 1 2]
                                        [--noise 0.1] [--set KEY=VALUE ...] [--minutes M]
    python benchmarks/finetuning_vit.py cost [--train last lora all] [--batch 8] [--device cpu]

``curve``: a small transformer of random weights learns from 20 phantoms without labels. After each
number of steps its teacher is scored: Dice of a classification adapter on its features alone, three
painted slices of one phantom, on every third slice of three others; the mean over two painted
phantoms. ``--noise`` is added to all images, as a share of their grey values: without it grey
values alone tell the organs, and random weights pass them on. Each of ``--starts`` has random
weights and slices of its own. Of the losses that of patches alone counts, of masked and of seen
ones, unless ``--set`` says otherwise. It goes on where it stopped. ``cost``: one step of
DINOv2-S, B or L with its true shapes (random weights; nothing is fetched): seconds, peak of memory,
operations. Needs the extra ``finetune``.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accuracy_tasks import Case, Task
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from finetuning import dice
from napari_fewshot import Template
from napari_fewshot.backbones import backbone_entry, get_backbone
from napari_fewshot.backbones.base import BACKBONES, BackboneSpec, Preprocessing
from napari_fewshot.backbones.timm_network import TimmBackbone, build_network, timm_entry
from napari_fewshot.backbones.weights import WeightsSource
from napari_fewshot.cli.shared import parse_settings
from napari_fewshot.config import FinetuneConfig
from napari_fewshot.config.base import merged_settings
from napari_fewshot.finetuning.contrast import DenseContrast
from napari_fewshot.finetuning.distillation import SelfDistillation
from napari_fewshot.finetuning.group import Group
from napari_fewshot.finetuning.scans import Scans
from napari_fewshot.phantoms import Phantom, make_phantom, painted_labels, template_slices
from napari_fewshot.types import Volume

NAME, MODEL, PATCH, WIDTH = "small-vit", "vit_tiny_patch16_224", 4, 64
OPTIONS = {"img_size": 64, "patch_size": PATCH, "embed_dim": WIDTH, "depth": 3, "num_heads": 2}
SHAPE = (24, 64, 64)
PATIENTS = 20
CONFIG = {
    "learning_rate": 1e-3,
    "distillation": {
        "train": "all",
        "batch": 4,
        "tokens": 8,
        "local_tokens": 4,
        "local_crops": 0,
        "global_scale": (0.15, 0.5),
        "local_scale": (0.03, 0.12),
        "masked_images": 1.0,
        "seen_patches": 1.0,
        "image_loss": 0.0,
        "koleo_loss": 0.0,
        "prototypes": 128,
        "hidden": 128,
        "bottleneck": 64,
        "head_steps": 0,
        "layer_decay": 1.0,
    },
}


def register(out: Path, start: int) -> Path:
    """Make the small transformer known; random weights of it."""
    spec = BackboneSpec(NAME, "", PATCH, Preprocessing(resize="none", multiple=PATCH), WIDTH)
    if NAME not in BACKBONES:
        BACKBONES.add(NAME, timm_entry(spec, MODEL, WeightsSource(NAME, "MIT"), OPTIONS))
    path = out / f"vit-{start}-0.safetensors"
    if not path.exists():
        torch.manual_seed(start)
        save_file(build_network(MODEL, OPTIONS).state_dict(), path)
    return path


def noisy(number: int, noise: float) -> Phantom:
    """A torso with noise of a share of its grey values, as it is stored."""
    found = make_phantom("torso", number, SHAPE)
    data = np.asarray(found.image.data, np.float32)
    low, high = np.percentile(data, (0.5, 99.5))
    data += np.random.default_rng(number).normal(0, noise * (high - low), SHAPE).astype(np.float32)
    spacing, labels = found.image.spacing, np.asarray(found.labels.data)
    return replace(found, image=Volume(data, spacing), labels=Volume(labels, spacing))


def phantom_tasks(noise: float) -> list[Task]:
    """Three painted slices of a torso, every third slice of three others; two such tasks."""

    def third(volume: Volume) -> Volume:
        return Volume(np.asarray(volume.data)[1::3], volume.spacing)

    others = [noisy(PATIENTS + k, noise) for k in (1, 2, 3)]
    cases = [Case(third(one.image), third(one.labels)) for one in others]
    found = []
    for taught in (noisy(0, noise), noisy(PATIENTS + 4, noise)):
        template = Template(taught.image, painted_labels(taught, template_slices(taught, 3)))
        labels = sorted(int(v) for v in np.unique(taught.labels.data) if v)
        found.append(Task([template], cases, labels))
    return found


def curve(options: argparse.Namespace) -> None:
    """Train from each start, and score after each number of steps."""
    out, end = options.out, time.monotonic() + 60 * options.minutes
    out.mkdir(parents=True, exist_ok=True)
    tasks = phantom_tasks(options.noise)
    images = [noisy(k, options.noise).image for k in range(1, PATIENTS + 1)]
    for start in options.starts:
        own = {"seed": start, "steps": max(options.steps)}
        settings = merged_settings(CONFIG, parse_settings(options.set))
        config = FinetuneConfig.of(settings | own, "settings")
        _curve(options, start, config, images, tasks, end)


def _curve(
    options: argparse.Namespace,
    start: int,
    config: FinetuneConfig,
    images: list[Volume],
    tasks: list[Task],
    end: float,
) -> None:
    out, rows = options.out, options.out / "vit.jsonl"
    backbone: Any = get_backbone(NAME, register(out, start))
    learner = SelfDistillation(backbone, Scans.of(images, config), config, Group("cpu"))
    saved = out / f"vit-{start}.pt"
    if saved.exists():
        learner.restore(torch.load(saved, weights_only=True))
    for steps in sorted(options.steps):
        path, losses = out / f"vit-{start}-{steps}.safetensors", {}
        while learner.steps < steps and time.monotonic() < end:
            losses = learner.step(learner.steps)
        torch.save(learner.state(), saved)
        if learner.steps == steps and steps:
            learner.write(path, learner.averaged(), {})
        known = [json.loads(ln) for ln in rows.read_text().splitlines()] if rows.exists() else []
        done = (start, steps) in [(row["start"], row["steps"]) for row in known]
        if path.exists() and not done and time.monotonic() < end:
            values = [dice(task, path, 0, NAME)[0] for task in tasks]
            row = {"start": start, "steps": steps, "dice": float(np.mean(values)), "each": values}
            row |= {name: round(value, 3) for name, value in losses.items()}
            with rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


def cost(options: argparse.Namespace) -> None:
    """Print what a step costs, for each way to train."""
    spec = backbone_entry(options.backbone).spec
    images = [np.random.default_rng(0).random((8, 256, 256), np.float32)]
    group = Group(options.device)
    for train in ["all"] if options.backbone == "embedded" else options.train:
        config = FinetuneConfig.of(
            {"distillation": {"train": train, "batch": options.batch, "head_steps": 0}}, "settings"
        )
        scans, learner = Scans.of(images, config), None
        if options.backbone == "embedded":
            learner = DenseContrast(get_backbone("embedded"), scans, config, group)
        else:
            network = build_network(spec.source.removeprefix("timm/"))
            learner = SelfDistillation(TimmBackbone(spec, network, "", 1), scans, config, group)
        with FlopCounterMode(display=False) as counter:
            learner.step(0)
        begin, used = time.perf_counter(), time.process_time()
        learner.step(1)
        seconds, used = time.perf_counter() - begin, time.process_time() - used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{options.backbone}, {train}: {seconds:.1f} s, of the CPU {used:.1f} s, "
            f"peak so far {peak:.0f} MiB, {counter.get_total_flops() / 1e12:.3f} Tflop",
            flush=True,
        )


def main() -> None:
    """Read the arguments, and do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("curve")
    one.add_argument("out", type=Path)
    one.add_argument("--steps", nargs="+", type=int, default=[0, 100, 200, 400])
    one.add_argument("--starts", nargs="+", type=int, default=[0, 1, 2])
    one.add_argument("--noise", type=float, default=0.1)
    one.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    one.add_argument("--minutes", type=float, default=float("inf"))
    one.set_defaults(act=curve)
    other = commands.add_parser("cost")
    other.add_argument("--backbone", default="dinov2-s")
    other.add_argument("--train", nargs="+", default=["last", "lora", "all"])
    other.add_argument("--batch", type=int, default=8)
    other.add_argument("--device", default="cpu")
    other.set_defaults(act=cost)
    options = parser.parse_args()
    options.act(options)


if __name__ == "__main__":
    main()
