"""Settings of a run, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Measures", "SmallSamConfig"]


@dataclass(frozen=True)
class Measures:
    """Measures of the network; all but the heads of the decoder (8) show in its tensors.

    Parameters
    ----------
    image_size, patch : int
        Side of the square input and of a patch in pixels; the loss takes masks at half the
        resolution, which is what patches of 8 give.
    width, depth, heads, window : int
        Image encoder; ``window`` is the side in tokens of windowed attention.
    global_blocks : tuple of int
        Blocks whose attention sees the whole image.
    dim, mlp_dim, decoder_depth : int
        Prompt encoder and mask decoder; an eighth of ``dim`` is left for the mask's dot product.
    mask_channels, iou_hidden : int
        Inner channels of the mask prompt and of the IoU head.
    """

    image_size: int = 128
    patch: int = 8
    width: int = 128
    depth: int = 5
    heads: int = 4
    window: int = 8
    global_blocks: tuple[int, ...] = (1, 3, 4)
    dim: int = 64
    mlp_dim: int = 256
    decoder_depth: int = 2
    mask_channels: int = 16
    iou_hidden: int = 64


@dataclass(frozen=True)
class SmallSamConfig:
    """What a run does; the seed and the step decide every batch and every prompt.

    Parameters
    ----------
    seed : int
    pool, pool_regions : int
        Images that are drawn before the first step, and regions of each.
    encoder_steps : int
        First part: the image encoder and the last layers of the decoder learn to tell regions
        apart. Without it the decoder learns where prompts are long before the encoder is of
        use, and looks no further.
    decoder_steps : int
        Second part: prompt encoder and decoder learn, the image encoder stays as it is.
    joint_steps : int
        Third part: all learn together.
    warmup : int
        Steps over which the learning rate rises at the beginning of each part.
    fall : float
        Share of the last part over which it falls to zero.
    learning_rate, encoder_rate, weight_decay, clip : float
        AdamW, the rate of the image encoder as a share of that of what follows it, and the
        largest norm of the gradient.
    encoder_images, images, regions : int
        Images of a step in the first and in later parts, and regions of each.
    ema : float
        Decay of the averaged weights, which are the ones exported.
    checks : int
        Held-out images that the averaged weights are scored on.
    bfloat16 : bool
        Whether the network runs in bfloat16 where that is quick; weights stay float32.
    network : Measures
    """

    seed: int = 1
    pool: int = 2400
    pool_regions: int = 16
    encoder_steps: int = 400
    decoder_steps: int = 800
    joint_steps: int = 1300
    warmup: int = 50
    fall: float = 0.5
    learning_rate: float = 2e-3
    encoder_rate: float = 0.5
    weight_decay: float = 0.03
    clip: float = 1.0
    encoder_images: int = 8
    images: int = 4
    regions: int = 8
    ema: float = 0.995
    checks: int = 24
    bfloat16: bool = True
    network: Measures = field(default_factory=Measures)

    @property
    def steps(self) -> int:
        """Length of the whole run."""
        return self.encoder_steps + self.decoder_steps + self.joint_steps

    def part(self, step: int) -> tuple[str, int]:
        """Which part a step belongs to, and its number within it."""
        if step < self.encoder_steps:
            return "encoder", step
        step -= self.encoder_steps
        if step < self.decoder_steps:
            return "decoder", step
        return "joint", step - self.decoder_steps

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SmallSamConfig:
        """Build the settings from a dict; unknown names raise ``TypeError``."""
        values = dict(values)
        if "network" in values:
            network = dict(values["network"])
            if "global_blocks" in network:
                network["global_blocks"] = tuple(int(k) for k in network["global_blocks"])
            values["network"] = Measures(**network)
        return cls(**values)

    @classmethod
    def read(cls, path: Path | None) -> SmallSamConfig:
        """Read a TOML file; None gives the defaults."""
        return cls.from_dict(tomllib.loads(path.read_text()) if path else {})
