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

import torch

from ..checkpoint import load_checkpoint, save_checkpoint
from .check import held_out_iou
from .files import export
from .pool import Pool, draw_pool, read_pool
from .settings import SmallSamConfig
from .trainer import Trainer

__all__ = ["main", "make_pool", "run"]

_CHECK_EVERY = 200
# Held-out images: so far from those of training that their phantoms are of other patients.
_HELD_OUT = 1_000_000


def make_pool(config: SmallSamConfig, path: Path) -> Pool:
    """Read the images of a run, or draw and keep them if there are none."""
    if path.exists():
        return read_pool(path)
    c = config
    pool = draw_pool(c.seed, 0, c.pool, c.network.image_size, c.pool_regions)
    pool.save(path)
    return pool


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

    c = trainer.config
    held_out = draw_pool(c.seed, _HELD_OUT, c.checks, c.network.image_size, c.regions)

    def check() -> None:
        log(**held_out_iou(trainer.averaged(), held_out))

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
        if trainer.step % _CHECK_EVERY == 0 and c.part(trainer.step)[0] != "encoder":
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
    parser.add_argument("--share", type=Path, help="export here at each checkpoint")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    config = SmallSamConfig.read(options.config)
    trainer = Trainer(config, make_pool(config, options.out / "pool.npz"))
    last = options.out / "last.pt"
    if last.exists():
        state, before = load_checkpoint(last, SmallSamConfig)
        if before.network != config.network:
            parser.error(f"{last} holds another network than the settings describe.")
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
