"""Fine-tuning of transformers: does it learn, and what does a step cost: docs/finetune.md.

    python benchmarks/finetuning_vit.py curve OUT [--steps 0 100 200 400] [--minutes M]
    python benchmarks/finetuning_vit.py cost [--train last lora all] [--batch 8] [--device cpu]

``curve``: a small transformer of random weights learns from 20 phantoms without labels. After each
number of steps its teacher is scored: Dice of a classification adapter on its features alone, three
painted slices of one phantom, on two others. It goes on where it stopped. ``cost``: one step of
DINOv2-S, B or L with its true shapes (random weights; nothing is fetched): seconds, peak of memory,
operations. Needs the extra ``finetune``.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
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
from napari_fewshot.config import FinetuneConfig
from napari_fewshot.finetuning.contrast import DenseContrast
from napari_fewshot.finetuning.distillation import SelfDistillation
from napari_fewshot.finetuning.group import Group
from napari_fewshot.finetuning.scans import Scans
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices

NAME, MODEL, PATCH = "small-vit", "vit_tiny_patch16_224", 4
OPTIONS = {"img_size": 64, "patch_size": PATCH, "embed_dim": 96, "depth": 4, "num_heads": 3}
SHAPE = (24, 64, 64)
PATIENTS = 20
CONFIG = {
    "learning_rate": 5e-4,
    "warm_up": 50,
    "averaged": 0.996,
    "distillation": {
        "train": "all",
        "batch": 8,
        "tokens": 16,
        "local_tokens": 6,
        "local_crops": 2,
        "prototypes": 512,
        "hidden": 256,
        "bottleneck": 64,
        "head_steps": 0,
        "layer_decay": 1.0,
        "teacher_temperature": 0.04,
    },
}


def register(out: Path) -> Path:
    """Make the small transformer known; random weights of it."""
    spec = BackboneSpec(NAME, "", PATCH, Preprocessing(resize="grid", multiple=PATCH), 96)
    BACKBONES.add(NAME, timm_entry(spec, MODEL, WeightsSource(NAME, "MIT"), OPTIONS))
    path = out / "vit-0.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        save_file(build_network(MODEL, OPTIONS).state_dict(), path)
    return path


def phantom_task() -> Task:
    """Three painted slices of one torso, two others to score."""
    taught = make_phantom("torso", 0, SHAPE)
    slices = template_slices(taught, 3)
    template = Template(taught.image, painted_labels(taught, slices))
    others = [make_phantom("torso", PATIENTS + k, SHAPE) for k in (1, 2)]
    labels = sorted(int(v) for v in np.unique(taught.labels.data) if v)
    return Task([template], [Case(one.image, one.labels) for one in others], labels)


def curve(options: argparse.Namespace) -> None:
    """Train, and score after each number of steps."""
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    start, rows = register(out), out / "vit.jsonl"
    known = [json.loads(ln) for ln in rows.read_text().splitlines()] if rows.exists() else []
    config, task = FinetuneConfig.of(CONFIG, "settings"), phantom_task()
    images = [make_phantom("torso", k, SHAPE).image for k in range(1, PATIENTS + 1)]
    backbone: Any = get_backbone(NAME, start)
    learner = SelfDistillation(backbone, Scans.of(images, config), config, Group("cpu"))
    saved = out / "vit.pt"
    if saved.exists():
        learner.restore(torch.load(saved, weights_only=True))
    begin, first = time.monotonic(), learner.steps
    for steps in sorted(options.steps):
        path = out / f"vit-{steps}.safetensors"
        while learner.steps < steps and time.monotonic() - begin < 60 * options.minutes:
            losses = learner.step(learner.steps)
            if learner.steps % 20 == 0:
                each = (time.monotonic() - begin) / (learner.steps - first)
                print(learner.steps, f"{each:.2f} s/step", losses, flush=True)
        torch.save(learner.state(), saved)
        if learner.steps == steps and steps:
            learner.write(path, learner.averaged(), {})
        if path.exists() and steps not in [row["steps"] for row in known]:
            values = [dice(task, path, seed, NAME)[0] for seed in options.seeds]
            row = {"steps": steps, "dice": float(np.mean(values)), "each": values}
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
    one.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
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
