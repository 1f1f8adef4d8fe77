"""A 2D U-Net trained from scratch on the templates.

With templates that are labelled on all slices it is the upper reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ...adapters.base import fitted
from ...adapters.dense_loss import partial_loss
from ...backbones.checkpoint import TorchFileError, read_torch
from ...config.augmentation import AugmentationConfig
from ...device import avoid_llvm_clash, choose_device, seeded
from ...io.outputs import replacing
from ...templates.known import labels_looked_for
from ...templates.patches import NOTHING, PatchSampler
from ...templates.template import Template
from ...templates.training_set import TrainingSet
from ...types import Array, Progress, no_progress
from . import MethodContext, MethodEntry
from .baseline import (
    Baseline,
    BaselineConfig,
    collect_slices,
    held_out_volumes,
    require,
    training_digest,
)
from .from_scratch import Convergence

if TYPE_CHECKING:
    import torch

__all__ = ["TrainingState", "UNet", "UNetConfig", "UNetTraining"]

_HELD_OUT_PATCHES = 64
_RATE_FACTOR = 1 / 3
_MAX_GRADIENT = 12.0

_Batch = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]
"""Images (B, C, H, W), classes (B, H, W), and which labels were looked for (B, L)."""


class UNetConfig(BaselineConfig):
    """Settings of the U-Net."""

    loss: Literal["dice", "binary"] = "dice"
    """dice: cross-entropy and soft Dice. binary: cross-entropy of foreground against background
    alone, as equation 2 of the report on the ENS × Radium challenge; with ``merge``."""
    width: int = Field(default=24, ge=4, le=256)
    """Channels of the first level; each of the four halvings doubles those below the first."""
    patch: int = Field(default=192, ge=32, le=2048)
    """Largest side of the patches that it learns from and labels."""
    batch: int = Field(default=4, ge=1)
    """Patches in a step."""
    steps: int = Field(default=25, ge=1)
    """Steps in an epoch."""
    epochs: int = Field(default=120, ge=1)
    """At most; the rule that ends a training is :class:`~.from_scratch.Convergence`."""
    patience: int = Field(default=12, ge=1)
    """Epochs without gain; at each half of it the learning rate falls to a third."""
    min_gain: float = Field(default=0.01, ge=0)
    smoothing: float = Field(default=0.7, ge=0, lt=1)
    held_out: float = Field(default=0.1, ge=0, lt=1)
    """Fraction of the volumes whose loss the rule looks at, and whose best network is kept.
    With less than one whole volume the rule looks at the loss on the augmented patches that the
    network learns from."""
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    augmentation: AugmentationConfig = AugmentationConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.loss == "binary" and not self.merge:
            raise ValueError('have merge = true with loss "binary", which knows one foreground')
        return self


class UNet(Baseline[UNetConfig]):
    """The U-Net as a method of the benchmark.

    ``unet.pt`` in the folder for work is that with which an interrupted training goes on;
    ``state`` says how training went.
    """

    name = "unet"

    def __init__(self, settings: Mapping[str, Any], context: MethodContext) -> None:
        super().__init__(UNetConfig.of(context.with_intensity(settings), "settings"), context)
        self.state: TrainingState | None = None
        self._network: torch.nn.Module | None = None
        self._size = (0, 0)

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Train, or go on where an interrupted training of the same templates stopped."""
        require("monai", "baselines", "unet")
        avoid_llvm_clash()
        config = self.config
        training = collect_slices(templates, config)
        shapes = np.array([known.labels.shape for known in training.examples])
        self._size = PatchSampler.fitting(shapes.max(axis=0), config.patch)
        network = _network(training, config.width, self.context.seed)
        network = network.to(choose_device(self.context.device))
        run = UNetTraining(training, network, self._size, config, self.context)
        self.state = run.run(progress)
        self.training, self._network = training, network.eval()

    def classify(self, image: Array) -> Array:
        """Class probabilities of a slice, in overlapping windows where it is large."""
        import torch
        from monai.inferers import sliding_window_inference

        network = fitted(self._network, self.name)
        device = next(network.parameters()).device
        # Patches saw zeros round slices that are smaller than they; so do windows.
        with torch.inference_mode():
            logits = sliding_window_inference(
                torch.from_numpy(np.ascontiguousarray(image))[None].to(device),
                roi_size=self._size,
                sw_batch_size=self.config.batch,
                predictor=network,
                overlap=0.5,
                mode="gaussian",
            )
        probabilities: Array = logits.softmax(dim=1)[0].float().cpu().numpy()
        return probabilities


def _network(training: TrainingSet, width: int, seed: int) -> torch.nn.Module:
    from monai.networks.nets import BasicUNet

    with seeded(seed):
        network: torch.nn.Module = BasicUNet(
            spatial_dims=2,
            in_channels=training.channels,
            out_channels=len(training.label_values) + 1,
            features=(width, width, 2 * width, 4 * width, 8 * width, width),
        )
    return network


@dataclass
class TrainingState:
    """How a training goes: of each epoch the loss of its patches, and that of the rule."""

    losses: list[float] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    resumed: bool = False


class UNetTraining:
    """One training, which can be interrupted and goes on after the last whole epoch.

    ``network`` is on its device, and left with the weights that are used; patches have the
    ``size`` (rows, columns).
    """

    def __init__(
        self,
        training: TrainingSet,
        network: torch.nn.Module,
        size: tuple[int, int],
        config: UNetConfig,
        context: MethodContext,
    ) -> None:
        import torch

        self.state = TrainingState()
        self._training, self._network, self._config = training, network, config
        self._device = next(network.parameters()).device
        self._sampler = PatchSampler(size, config.augmentation)
        self._learned, self._held_out = held_out_volumes(training, config.held_out)
        self._seed = context.seed
        self._file = context.work / "unet.pt"
        self._optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._best: dict[str, torch.Tensor] | None = None
        self._validation = self._validation_batches()

    def run(self, progress: Progress = no_progress) -> TrainingState:
        """Train until the rule says so; progress counts steps and may raise ``Cancelled``."""
        config = self._config
        key = training_digest(
            self._training, f"{config.model_dump_json()} {self._seed} {self._sampler.size}"
        )
        self._restore(key)
        state = self.state
        rule = Convergence(config.patience, config.epochs, config.min_gain, config.smoothing)
        for loss in state.watched:
            rule.put(loss)
        while not rule.finished:
            for group in self._optimizer.param_groups:
                group["lr"] = config.learning_rate * _RATE_FACTOR**rule.plateaus
            loss = self._epoch(progress)
            watched = self._validation_loss() if self._held_out else loss
            state.losses.append(loss)
            state.watched.append(watched)
            if rule.put(watched) and self._held_out:
                self._best = {n: t.clone() for n, t in self._network.state_dict().items()}
            self._save(key)
        if self._best is not None:
            self._network.load_state_dict(self._best)
        return state

    def _epoch(self, progress: Progress) -> float:
        """Steps of one epoch; their patches depend on the seed and the number of the epoch."""
        import torch

        config, number = self._config, len(self.state.losses)
        rng = np.random.default_rng([self._seed, number])
        self._network.train()
        total, count = 0.0, len(self._learned)
        for step in range(config.steps):
            # Each slice once, where there are enough.
            drawn = rng.choice(count, size=config.batch, replace=count < config.batch)
            batch = self._batch([self._learned[k] for k in drawn], self._sampler, rng)
            loss = self._loss(batch)
            self._optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), _MAX_GRADIENT)
            self._optimizer.step()
            total += float(loss.detach())
            done = number * config.steps + step + 1
            progress(done, config.epochs * config.steps, "training steps (at most)")
        return total / config.steps

    def _loss(self, batch: _Batch) -> torch.Tensor:
        images, classes, looked_for = batch
        dice = self._config.loss == "dice"
        return partial_loss(self._network(images), classes, looked_for, dice=dice)

    def _batch(
        self, numbers: Sequence[int], sampler: PatchSampler, rng: np.random.Generator
    ) -> _Batch:
        """A patch of each of these slices, on the device."""
        import torch

        values = self._training.label_values
        known = [self._training.examples[k] for k in numbers]
        drawn = [sampler.draw(self._training, k, rng) for k in numbers]
        looked_for = torch.from_numpy(np.stack([labels_looked_for(one, values) for one in known]))
        images = torch.stack([patch.image for patch in drawn])
        classes = torch.stack([patch.classes for patch in drawn])
        return images.to(self._device), classes.to(self._device), looked_for.to(self._device)

    def _validation_batches(self) -> list[_Batch]:
        """Fixed patches of the held-out slices, evenly spaced, as they are."""
        rng = np.random.default_rng([self._seed, 2**32])
        sampler = PatchSampler(self._sampler.size, NOTHING)
        count = min(len(self._held_out), _HELD_OUT_PATCHES)
        spaced = np.linspace(0, len(self._held_out) - 1, count).round().astype(int)
        chosen = [self._held_out[k] for k in spaced]
        size = self._config.batch
        return [
            self._batch(chosen[at : at + size], sampler, rng) for at in range(0, len(chosen), size)
        ]

    def _validation_loss(self) -> float:
        import torch

        self._network.eval()
        sizes = [len(batch[0]) for batch in self._validation]
        with torch.inference_mode():
            losses = [float(self._loss(batch)) for batch in self._validation]
        return float(np.average(losses, weights=sizes))

    def _save(self, key: str) -> None:
        import torch

        content = {
            "key": key,
            "network": self._network.state_dict(),
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "losses": self.state.losses,
            "watched": self.state.watched,
        }
        with replacing(self._file) as path, path.open("wb") as stream:
            torch.save(content, stream)

    def _restore(self, key: str) -> None:
        """Take up an interrupted training of the same slices and settings, if there is one."""
        content = _read(self._file)
        if content.get("key") != key:
            return
        self._network.load_state_dict(content["network"])
        self._optimizer.load_state_dict(content["optimizer"])
        self._best = content["best"]
        self.state = TrainingState(list(content["losses"]), list(content["watched"]), resumed=True)


def _read(file: Path) -> dict[str, Any]:
    """Content of a checkpoint; nothing where there is none that can be read."""
    try:
        content = read_torch(file)
    except (OSError, TorchFileError):
        return {}
    return content if isinstance(content, dict) else {}


ENTRIES = {
    "unet": MethodEntry(
        name="unet",
        summary="2D U-Net from scratch (MONAI), trained on the templates",
        make=UNet,
        needs=("monai",),
        about={
            "paper": "Ronneberger et al. 2015, U-Net: Convolutional Networks for Biomedical "
            "Image Segmentation",
            "licence": "Apache-2.0 (MONAI)",
        },
    )
}
