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
        Prompt encoder and mask decoder.
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
    steps : int
        Length of the whole run, over which the learning rate falls as a cosine.
    warmup : int
        First steps, over which it rises linearly.
    learning_rate, weight_decay, clip : float
        AdamW, and the largest norm of the gradient.
    images, regions : int
        Images of a step, and regions of an image that are prompted.
    corrections : tuple of float
        Odds of one, two, ... rounds of correction after the first prompt of an image.
    guide : float
        Weight of the loss that asks the embedding for the colours of its patch. Without it the
        decoder learns where prompts are long before the encoder is of use, and the encoder
        learns to say nothing.
    ema : float
        Decay of the averaged weights, which are the ones exported.
    checks : int
        Held-out synthetic images that the averaged weights are scored on.
    bfloat16 : bool
        Whether the encoder runs in bfloat16; weights stay float32.
    network : Measures
    """

    seed: int = 1
    steps: int = 5000
    warmup: int = 100
    learning_rate: float = 1e-3
    weight_decay: float = 0.03
    clip: float = 1.0
    images: int = 4
    regions: int = 8
    corrections: tuple[float, ...] = (0.7, 0.2, 0.1)
    guide: float = 2.0
    ema: float = 0.997
    checks: int = 24
    bfloat16: bool = True
    network: Measures = field(default_factory=Measures)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SmallSamConfig:
        """Build the settings from a dict; unknown names raise ``TypeError``."""
        values = dict(values)
        if "corrections" in values:
            values["corrections"] = tuple(float(p) for p in values["corrections"])
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
