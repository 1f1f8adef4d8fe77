"""Settings of a training run, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_fewshot.backbones.embedded_network import NetworkConfig

__all__ = ["TrainConfig"]


@dataclass(frozen=True)
class TrainConfig:
    """What a run does; the seed and the step decide every batch.

    Parameters
    ----------
    seed : int
    steps : int
        Length of the whole run.
    cooldown : int
        Last steps, over which the learning rate falls linearly to 0.
    begin : int
        First step: that of the weights that the run begins from.
    warmup : int
        First steps, over which the rate rises linearly.
    learning_rate, weight_decay, clip : float
        AdamW, and the largest norm of the gradient.
    temperature : float
        Of the softmax attention.
    agreement : float
        Weight of the distance between the features of pixels that two parts of an image show.
    sizes : tuple of (int, int)
        Side of the images and episodes in a batch; one pair is drawn for each step, one that is
        there twice twice as often.
    images, pixels : int
        Images of an episode, and pixels of an image that take part in the loss.
    ema : float
        Decay of the averaged weights, which are the ones exported.
    checks : int
        Pairs of synthetic episodes, never trained on, that each checkpoint is scored with.
    bfloat16 : bool
        Whether the network runs in bfloat16 where that is safe and quick; weights stay float32.
    network : NetworkConfig
    """

    seed: int = 1
    steps: int = 20000
    cooldown: int = 3000
    begin: int = 0
    warmup: int = 150
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    clip: float = 1.0
    temperature: float = 0.07
    agreement: float = 1.0
    sizes: tuple[tuple[int, int], ...] = ((80, 6), (96, 4), (128, 2), (160, 2))
    images: int = 2
    pixels: int = 320
    ema: float = 0.998
    checks: int = 12
    bfloat16: bool = True
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        rise = min(1.0, (step - self.begin + 1) / max(self.warmup, 1))
        fall = min(1.0, (self.steps - step) / max(self.cooldown, 1))
        return self.learning_rate * max(min(rise, fall), 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Build the settings from a dict; unknown names raise ``TypeError``."""
        values = dict(values)
        if "network" in values:
            values["network"] = NetworkConfig.from_dict(values["network"])
        if "sizes" in values:
            values["sizes"] = tuple((int(a), int(b)) for a, b in values["sizes"])
        return cls(**values)

    @classmethod
    def read(cls, path: Path | None) -> TrainConfig:
        """Read a TOML file; None gives the defaults."""
        return cls.from_dict(tomllib.loads(path.read_text()) if path else {})
