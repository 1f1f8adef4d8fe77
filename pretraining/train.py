"""Train the embedded backbone: ``python -m pretraining.train --help``.

A run can be ended at any moment (by ``kill``, which lets it finish a step and save, or by
``kill -9``) and goes on from its last checkpoint when the same command is given again. Batches
depend on the seed and the step alone, so that a run in pieces takes the same batches as one in
a single piece.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from napari_fewshot.backbones.embedded_network import EmbeddedNet
from napari_fewshot.features.encode import cpu_has_bfloat16
from napari_fewshot.finetuning.matching import disagreement, matching_loss
from napari_fewshot.finetuning.pixels import encode
from napari_fewshot.finetuning.steps import clipped_step, follow
from napari_fewshot.finetuning.synthetic.episodes import Batch, draw_batch

from .checkpoint import load_checkpoint, save_checkpoint
from .export import read_exported, write_weights
from .settings import TrainConfig

__all__ = ["Trainer", "free_cores", "main", "synthetic_loss"]

_CHECK_SEED_OFFSET = 100_003
_CHECK_EVERY = 250
_CHECK_SIZES = ((128, 2), (192, 1))


class _Batches(Dataset[Batch]):
    """The batches of the steps from ``start`` on."""

    def __init__(self, config: TrainConfig, start: int) -> None:
        self.config, self.start = config, start

    def __len__(self) -> int:
        return max(self.config.steps - self.start, 0)

    def __getitem__(self, item: int) -> Batch:
        c = self.config
        return draw_batch(c.seed, self.start + item, c.sizes, c.images, c.pixels)


def _be_nice(_: int) -> None:
    os.nice(19 - os.nice(0))
    torch.set_num_threads(1)


def _unwrap(batches: list[Batch]) -> Batch:
    return batches[0]


class Trainer:
    """Network, averaged weights and optimiser of one run.

    Parameters
    ----------
    config : TrainConfig
    device : str
    """

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None:
        torch.manual_seed(config.seed)
        self.config, self.device, self.step = config, torch.device(device), 0
        self.bfloat16 = config.bfloat16 and (self.device.type != "cpu" or cpu_has_bfloat16())
        self.network = EmbeddedNet(config.network).to(self.device)
        self.network = self.network.to(memory_format=torch.channels_last)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        named = dict(self.network.named_parameters())
        decay = [n for n, p in named.items() if n.endswith("weight") and p.ndim > 1]
        plain = [n for n in named if n not in decay]
        self.parameters = [*decay, *plain]
        groups = [
            {"params": [named[n] for n in decay], "weight_decay": config.weight_decay},
            {"params": [named[n] for n in plain], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))

    def loss_of(self, batch: Batch, network: EmbeddedNet) -> dict[str, torch.Tensor]:
        """Losses of a batch, their weighted sum ``loss``, and the mean ``probability``."""

        def given(values: np.ndarray[Any, Any]) -> torch.Tensor:
            return torch.from_numpy(values).to(self.device)

        index, twins = given(batch.index), given(batch.twins)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            maps = [encode(network, given(images)) for images in batch.images]
            pixels = torch.stack([m.at(index[:, k]) for k, m in enumerate(maps)], dim=1)
            apart = disagreement(
                maps[0].at(twins[0]), encode(network, given(batch.again)).at(twins[1])
            )
        matching, probability = matching_loss(pixels, given(batch.labels), self.config.temperature)
        return {
            "loss": matching + self.config.agreement * apart,
            "matching": matching,
            "apart": apart,
            "probability": probability,
        }

    def update(self, batch: Batch) -> dict[str, float]:
        """Take one step; return what is worth logging."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.rate_at(self.step)
        self.network.train()
        found = self.loss_of(batch, self.network)
        self.optimiser.zero_grad(set_to_none=True)
        found["loss"].backward()
        norm = clipped_step(self.network, self.optimiser, self.config.clip)
        self.step += 1
        follow(self.average, self.network, self.step, self.config.ema)
        return {name: float(value.detach()) for name, value in found.items()} | {"norm": norm}

    def state(self) -> dict[str, Any]:
        """Everything that a later run needs to go on."""
        return {
            "step": self.step,
            "model": self.network.state_dict(),
            "ema": self.average,
            "optimiser": self.optimiser.state_dict(),
            "parameters": self.parameters,
            "rng": torch.get_rng_state(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Take up a state: of a checkpoint exactly, of exported files from the average."""
        self.step = int(state["step"])
        self.network.load_state_dict(state.get("model", state["ema"]))
        self.average = {k: v.clone().to(self.device) for k, v in state["ema"].items()}
        if "optimiser" in state:
            self.optimiser.load_state_dict(state["optimiser"])
            torch.set_rng_state(state["rng"])

    def batches(self, workers: int) -> Iterator[Batch]:
        """Batches from the present step on, drawn in background processes."""
        loader = DataLoader(
            _Batches(self.config, self.step),
            num_workers=workers,
            collate_fn=_unwrap,
            worker_init_fn=_be_nice if workers else None,
            prefetch_factor=4 if workers else None,
        )
        return iter(loader)


def synthetic_loss(trainer: Trainer) -> dict[str, float]:
    """Losses of the averaged weights on synthetic episodes that training never draws."""
    c = trainer.config
    network = EmbeddedNet(c.network).to(trainer.device).eval()
    network.load_state_dict(trainer.average)
    total = {"matching": 0.0, "apart": 0.0}
    with torch.inference_mode():
        for k in range(c.checks):
            batch = draw_batch(c.seed + _CHECK_SEED_OFFSET, k, _CHECK_SIZES, c.images, c.pixels)
            found = trainer.loss_of(batch, network)
            total = {name: value + float(found[name]) for name, value in total.items()}
    return {f"check {name}": round(value / c.checks, 4) for name, value in total.items()}


def free_cores(most: int, used: int) -> int:
    """Threads to use, by the load of the last minute, of which ``used`` is our own."""
    others = max(os.getloadavg()[0] - used - 0.2, 0.0)
    return int(min(max((os.cpu_count() or 1) - round(others), 1), most))


def run(
    trainer: Trainer,
    out: Path,
    *,
    minutes: float,
    every: float,
    workers: int,
    give_way: bool = False,
    keep: int = 0,
) -> None:
    """Train until the run is complete, ``minutes`` are over or a SIGTERM asks to end.

    There is a checkpoint at the end and every few minutes.

    Parameters
    ----------
    trainer : Trainer
        New or resumed.
    out : Path
        Folder of ``last.pt`` and ``log.jsonl``.
    minutes, every : float
        Time to stop, and time between checkpoints, in minutes.
    workers : int
        Processes that draw batches; 0 draws them in this one.
    give_way : bool
        Whether to use fewer threads while other programs want the processor: threads that wait
        for a core make each other wait.
    keep : int
        Steps after which the averaged weights are exported each time, to compare them later; 0
        for never.
    """
    begin = saved = time.monotonic()
    recent: list[dict[str, float]] = []
    threads = torch.get_num_threads()
    stopped = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.set())

    def log(**values: float) -> None:
        with (out / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": trainer.step, **values}) + "\n")

    for batch in trainer.batches(workers):
        if give_way:
            torch.set_num_threads(free_cores(threads, torch.get_num_threads()))
        recent.append(trainer.update(batch))
        now = time.monotonic()
        if len(recent) == 25:
            means = {k: round(sum(r[k] for r in recent) / 25, 4) for k in recent[0]}
            log(**means, minutes=round((now - begin) / 60, 2))
            recent.clear()
        if now - saved > 60 * every:
            save_checkpoint(out / "last.pt", trainer.state(), trainer.config)
            saved = now
        if keep and trainer.step % keep == 0:
            name = f"step-{trainer.step}.safetensors"
            write_weights(out / name, trainer.average, trainer.step, trainer.config)
        if trainer.step % _CHECK_EVERY == 0:
            log(**synthetic_loss(trainer))
        if stopped.is_set() or now - begin > 60 * minutes:
            break
    save_checkpoint(out / "last.pt", trainer.state(), trainer.config)
    signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m pretraining.train", description=__doc__)
    parser.add_argument("--config", type=Path, help="TOML file; defaults where it is silent")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint and log")
    parser.add_argument("--steps", type=int, help="length of the whole run")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--every", type=float, default=5.0, help="minutes between checkpoints")
    parser.add_argument("--keep", type=int, default=0, help="export weights every so many steps")
    parser.add_argument("--start", type=Path, help="checkpoint or exported weights to begin from")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--give-way", action="store_true", help="fewer threads under load")
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    config = TrainConfig.read(options.config)
    if options.steps is not None:
        config = TrainConfig.from_dict({**config.to_dict(), "steps": options.steps})
    options.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, options.device)
    last = options.out / "last.pt"
    start = last if last.exists() else options.start
    if start is not None:
        exported = start.suffix == ".safetensors"
        state, before = read_exported(start) if exported else load_checkpoint(start, TrainConfig)
        if before.network != config.network:
            parser.error(f"{start} holds another network than the settings describe.")
        trainer.resume(state)
    run(
        trainer,
        options.out,
        minutes=options.minutes,
        every=options.every,
        workers=options.workers,
        give_way=options.give_way,
        keep=options.keep,
    )


if __name__ == "__main__":
    main()
