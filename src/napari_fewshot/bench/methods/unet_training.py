"""Training of the U-Net: passes of augmented patches until the loss converges."""

from __future__ import annotations

import hashlib
import pickle
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...io.outputs import replacing
from ...types import Progress, no_progress
from .base import MethodContext
from .convergence import Convergence
from .partial_loss import partial_loss
from .patches import NOTHING, PatchSampler
from .slice_set import SliceSet

if TYPE_CHECKING:
    import torch

    from .unet import UNetConfig

__all__ = ["TrainingState", "UNetTraining"]

_HELD_OUT_PATCHES = 64
_RATE_FACTOR = 1 / 3


@dataclass(frozen=True)
class TrainingState:
    """How a training went.

    Parameters
    ----------
    losses, watched : tuple of float
        Of each pass: mean loss of the patches, and the loss that the rule looks at.
    reason : str
        Why it ended.
    seconds : float
        Of all its parts, if it was interrupted.
    resumed : bool
    """

    losses: tuple[float, ...]
    watched: tuple[float, ...]
    reason: str
    seconds: float
    resumed: bool


class UNetTraining:
    """One training, which can be interrupted and goes on after the last whole pass.

    Parameters
    ----------
    learned : SliceSet
    network : torch.nn.Module
        On its device; left with the weights that are used.
    size : tuple of int
        Rows and columns of the patches.
    config : UNetConfig
    context : MethodContext
    """

    def __init__(
        self,
        learned: SliceSet,
        network: torch.nn.Module,
        size: tuple[int, int],
        config: UNetConfig,
        context: MethodContext,
    ) -> None:
        import torch

        self._learned, self._network, self._config = learned, network, config
        self._device = next(network.parameters()).device
        self._sampler = PatchSampler(size, config.augmentation)
        self._train, self._kept = learned.held_out(config.held_out)
        self._seed = context.seed
        self._file = context.work / "unet.pt"
        self._optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._losses: list[float] = []
        self._watched: list[float] = []
        self._best: dict[str, torch.Tensor] | None = None
        self._seconds = 0.0
        self._held = self._held_out_patches()

    def run(self, progress: Progress = no_progress) -> TrainingState:
        """Train until the rule says so; progress counts steps and may raise ``Cancelled``."""
        config = self._config
        key = self._key()
        resumed = self._restore(key)
        rule = Convergence.after(
            self._watched,
            patience=config.patience,
            most=config.epochs,
            min_gain=config.min_gain,
            smoothing=config.smoothing,
        )
        while not rule.finished:
            began = time.monotonic()
            rate = config.learning_rate * _RATE_FACTOR ** self._falls()
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            loss = self._pass(progress)
            watched = self._held_out_loss() if self._kept else loss
            self._losses.append(loss)
            self._watched.append(watched)
            if rule.put(watched) and self._kept:
                self._best = {n: t.clone() for n, t in self._network.state_dict().items()}
            self._seconds += time.monotonic() - began
            self._save(key)
        if self._best is not None:
            self._network.load_state_dict(self._best)
        return TrainingState(
            tuple(self._losses), tuple(self._watched), rule.reason, self._seconds, resumed
        )

    def _falls(self) -> int:
        """How often the learning rate has fallen: at each half of the patience without gain."""
        config = self._config
        rule = Convergence(config.patience, config.epochs, config.min_gain, config.smoothing)
        half, falls = max(1, config.patience // 2), 0
        for loss in self._watched:
            rule.put(loss)
            falls += rule.waited > 0 and rule.waited % half == 0
        return falls

    def _pass(self, progress: Progress) -> float:
        """Steps of one pass; their patches depend on the seed and the number of the pass."""
        import torch

        config, number = self._config, len(self._losses)
        rng = np.random.default_rng([self._seed, number])
        self._network.train()
        total = 0.0
        for step in range(config.steps):
            drawn = [self._train[k] for k in self._choice(rng)]
            images, classes, looked_for = self._batch(drawn, rng)
            loss = partial_loss(self._network(images), classes, looked_for)
            self._optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), 12.0)
            self._optimizer.step()
            total += float(loss.detach())
            done = number * config.steps + step + 1
            progress(done, config.epochs * config.steps, "training steps (at most)")
        return total / config.steps

    def _choice(self, rng: np.random.Generator) -> list[int]:
        """Slices of a batch, each once where there are enough."""
        count, batch = len(self._train), self._config.batch
        return [int(k) for k in rng.choice(count, size=batch, replace=count < batch)]

    def _batch(
        self, numbers: list[int], rng: np.random.Generator, sampler: PatchSampler | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        import torch

        drawn = [
            (sampler or self._sampler).draw(self._learned.image(k), self._learned.classes(k), rng)
            for k in numbers
        ]
        looked_for = torch.from_numpy(np.stack([self._learned.looked_for(k) for k in numbers]))
        images = torch.stack([image for image, _ in drawn]).to(self._device)
        classes = torch.stack([plane for _, plane in drawn]).to(self._device)
        return images, classes, looked_for.to(self._device)

    def _held_out_patches(self) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Fixed patches of the held-out slices, evenly spaced, as they are."""
        rng = np.random.default_rng([self._seed, 2**32])
        sampler = PatchSampler(self._sampler.size, NOTHING)
        count = min(len(self._kept), _HELD_OUT_PATCHES)
        spaced = np.linspace(0, len(self._kept) - 1, count).round().astype(int)
        chosen = [self._kept[k] for k in spaced]
        size = self._config.batch
        return [
            self._batch(chosen[at : at + size], rng, sampler) for at in range(0, len(chosen), size)
        ]

    def _held_out_loss(self) -> float:
        import torch

        self._network.eval()
        with torch.inference_mode():
            found = [
                float(partial_loss(self._network(images), classes, looked_for)) * len(images)
                for images, classes, looked_for in self._held
            ]
        return sum(found) / sum(len(images) for images, _, _ in self._held)

    def _key(self) -> str:
        """Digest of everything that the training depends on."""
        digest = hashlib.sha256(self._config.model_dump_json().encode())
        digest.update(f"{self._seed} {self._learned.values} {self._sampler.size}".encode())
        training = self._learned.training
        for number, (stack, index) in enumerate(training.sources):
            digest.update(training.stacks[stack].digest(index).encode())
            digest.update(self._learned.classes(number).tobytes())
            digest.update(self._learned.looked_for(number).tobytes())
        return digest.hexdigest()

    def _save(self, key: str) -> None:
        import torch

        content = {
            "key": key,
            "network": self._network.state_dict(),
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "losses": self._losses,
            "watched": self._watched,
            "seconds": self._seconds,
        }
        with replacing(self._file) as path:
            torch.save(content, path)

    def _restore(self, key: str) -> bool:
        """Take up an interrupted training of the same slices and settings, if there is one."""
        content = _read(self._file)
        if content is None or content.get("key") != key:
            return False
        self._network.load_state_dict(content["network"])
        self._optimizer.load_state_dict(content["optimizer"])
        self._losses, self._watched = list(content["losses"]), list(content["watched"])
        self._best, self._seconds = content["best"], float(content["seconds"])
        return True


def _read(file: Path) -> dict[str, Any] | None:
    """Content of a checkpoint; None where there is none that can be read."""
    import torch

    if not file.is_file():
        return None
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, ValueError, KeyError):
        return None
    return content if isinstance(content, dict) else None
