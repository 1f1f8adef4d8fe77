"""Train a small SAM on synthetic images: ``python -m pretraining.small_sam.train --help``.

A run can be ended at any moment and goes on from its last checkpoint when the same command is
given again: images and prompts depend on the seed and the step alone.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Generator, Tensor, nn
from torch.nn.functional import smooth_l1_loss

from ..checkpoint import load_checkpoint, save_checkpoint
from .check import answer, embed, held_out_iou
from .files import export, read_start
from .images import Batch, draw_batch
from .loss import GUIDE_CHANNELS, guide_target, sam_loss
from .network import build_sam, measures_of
from .prompts import correct, first_prompt, halved
from .settings import SmallSamConfig

__all__ = ["Trainer", "main", "run"]

_CHECK_EVERY = 200


class Trainer:
    """Network, averaged weights and optimiser of one run.

    Parameters
    ----------
    config : SmallSamConfig
    """

    def __init__(self, config: SmallSamConfig) -> None:
        torch.manual_seed(config.seed)
        self.config, self.step = config, 0
        self.network = build_sam(config.network)
        nn.init.trunc_normal_(self.network.image_encoder.pos_embed, std=0.02)
        self.guide = nn.Conv2d(config.network.dim, GUIDE_CHANNELS, 1)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        named = dict(self.network.named_parameters())
        plain = [n for n, p in named.items() if p.ndim < 2 or "embed" in n or "token" in n]
        decay = [n for n in named if n not in set(plain)]
        groups = [
            {"params": [named[n] for n in decay], "weight_decay": config.weight_decay},
            {"params": [named[n] for n in plain], "weight_decay": 0.0},
            {"params": list(self.guide.parameters()), "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))

    def rate(self) -> float:
        """Learning rate of the present step."""
        c = self.config
        rise = min(1.0, (self.step + 1) / max(c.warmup, 1))
        fall = 0.5 * (1 + np.cos(np.pi * min(self.step / max(c.steps, 1), 1.0)))
        return float(c.learning_rate * rise * max(fall, 0.01))

    def batch(self) -> Batch:
        """Images of the present step."""
        c = self.config
        return draw_batch(c.seed, self.step, c.network.image_size, c.images, c.regions)

    def _prompted(self, embedding: Tensor, masks: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Loss of one image over all rounds, and the IoU of the last answer."""
        truth = halved(masks)
        prompt = first_prompt(masks, rng)
        odds = torch.tensor(self.config.corrections)
        corrections = 1 + int(torch.multinomial(odds, 1, generator=rng))
        rows, losses = torch.arange(len(masks)), []
        for k in range(corrections + 1):
            logits, predicted = answer(self.network, embedding, prompt)
            loss, iou = sam_loss(logits, predicted, truth, ambiguous=prompt.ambiguous)
            losses.append(loss)
            chosen = 1 + predicted[:, 1:].argmax(1) if prompt.ambiguous else 0 * rows
            if k < corrections:
                prompt = correct(prompt, logits[rows, chosen].detach(), truth, rng)
        return torch.stack(losses).mean(), iou[rows, chosen].mean()

    def update(self, batch: Batch) -> dict[str, float]:
        """Take one step; return what is worth logging."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        self.network.train()
        rng = Generator().manual_seed(1_000_003 * self.config.seed + self.step)
        embeddings = embed(self.network, batch.images, bfloat16=self.config.bfloat16)
        # The decoder's graph is freed image by image; its gradient is then sent on at once.
        leaves = embeddings.detach().requires_grad_()
        self.optimiser.zero_grad(set_to_none=True)
        results = []
        for k in range(len(leaves)):
            loss, iou = self._prompted(leaves[k : k + 1], batch.masks[k], rng)
            (loss / len(leaves)).backward()
            results.append((float(loss.detach()), float(iou)))
        target = guide_target((batch.images - self.network.pixel_mean) / self.network.pixel_std)
        guide = smooth_l1_loss(self.guide(embeddings), target)
        (self.config.guide * guide + (embeddings * leaves.grad).sum()).backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.step += 1
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        loss, iou = np.mean(results, 0)
        return {
            "loss": float(loss),
            "iou": float(iou),
            "guide": float(guide.detach()),
            "norm": float(norm),
        }

    def averaged(self) -> Sam:
        """A network with the averaged weights."""
        sam = build_sam(self.config.network)
        sam.load_state_dict(self.average)
        return sam.eval()

    def state(self) -> dict[str, Any]:
        """Everything that a later run needs to go on."""
        return {
            "step": self.step,
            "model": self.network.state_dict(),
            "guide": self.guide.state_dict(),
            "ema": self.average,
            "optimiser": self.optimiser.state_dict(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Take up a state: of a checkpoint exactly, of exported files from the average."""
        self.step = int(state["step"])
        self.network.load_state_dict(state.get("model", state["ema"]))
        self.average = {k: v.clone() for k, v in state["ema"].items()}
        if "optimiser" in state:
            self.guide.load_state_dict(state["guide"])
            self.optimiser.load_state_dict(state["optimiser"])


def run(
    trainer: Trainer, out: Path, *, minutes: float, every: float, share: Path | None = None
) -> None:
    """Train until the run is complete, ``minutes`` are over or a SIGTERM asks to end.

    Parameters
    ----------
    trainer : Trainer
        New or resumed.
    out : Path
        Folder of ``last.pt`` and ``log.jsonl``.
    minutes, every : float
        Time to stop, and time between checkpoints, in minutes.
    share : Path, optional
        File that the averaged weights are exported to at each checkpoint.
    """
    begin = saved = time.monotonic()
    recent: list[dict[str, float]] = []
    stopped = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.set())

    def log(**values: float) -> None:
        rounded = {name: round(value, 4) for name, value in values.items()}
        with (out / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": trainer.step, **rounded}) + "\n")

    def save() -> None:
        save_checkpoint(out / "last.pt", trainer.state(), trainer.config)
        if share is not None:
            export(trainer.state(), trainer.config, share)

    def check() -> None:
        c = trainer.config
        log(**held_out_iou(trainer.averaged(), c.seed, c.checks))

    while trainer.step < trainer.config.steps:
        recent.append(trainer.update(trainer.batch()))
        now = time.monotonic()
        if len(recent) == 25:
            means = {k: sum(r[k] for r in recent) / 25 for k in recent[0]}
            log(**means, minutes=(now - begin) / 60)
            recent.clear()
        if now - saved > 60 * every:
            save()
            saved = now
        if trainer.step % _CHECK_EVERY == 0:
            check()
        if stopped.is_set() or now - begin > 60 * minutes:
            break
    save()
    check()
    signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m pretraining.small_sam.train", description=__doc__
    )
    parser.add_argument("--config", type=Path, help="TOML file; defaults where it is silent")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint and log")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--every", type=float, default=3.0, help="minutes between checkpoints")
    parser.add_argument("--start", type=Path, help="exported weights to begin from")
    parser.add_argument("--share", type=Path, help="export here at each checkpoint")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    config = SmallSamConfig.read(options.config)
    trainer = Trainer(config)
    last = options.out / "last.pt"
    if last.exists():
        state, before = load_checkpoint(last, SmallSamConfig)
        if before.network != config.network:
            parser.error(f"{last} holds another network than the settings describe.")
        trainer.resume(state)
    elif options.start is not None:
        state = read_start(options.start)
        if measures_of(state["ema"]) != config.network:
            parser.error(f"{options.start} holds another network than the settings describe.")
        trainer.resume(state)
    run(
        trainer,
        options.out,
        minutes=options.minutes,
        every=options.every,
        share=options.share,
    )


if __name__ == "__main__":
    main()
