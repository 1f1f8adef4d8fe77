"""Settings of fine-tuning: a backbone learns from images without labels."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator

from .base import StageConfig
from .learning import IntensityConfig, ResamplingConfig

__all__ = ["ContrastConfig", "DistillationConfig", "FinetuneConfig"]

_STEPS = 400


class ContrastConfig(StageConfig):
    """How the embedded network learns: as it sees images as they are, however they are shown.

    A slice is shown twice, turned, scaled and shaded in different ways, and so is a slice near it.
    """

    episodes: int = Field(default=4, ge=1, le=64)
    """Slices in each step, each with its views."""
    side: int = Field(
        default=96, ge=32, le=512, multiple_of=32, json_schema_extra={"unit": "pixels"}
    )
    """Largest side of a view; slices that are smaller give smaller views."""
    pixels: int = Field(default=256, ge=16, le=4096)
    """Pixels of each view that are compared."""
    temperature: float = Field(default=0.07, gt=0, le=1, json_schema_extra={"step": 0.01})
    """Divides the cosine similarity of two pixels."""
    rotation: float = Field(default=15.0, ge=0, le=180, json_schema_extra={"unit": "degrees"})
    """Standard deviation of the angle by which views are turned."""
    scale: float = Field(default=0.15, ge=0, le=1, json_schema_extra={"step": 0.05})
    """Standard deviation of the logarithm of the size of views."""
    shading: float = Field(default=1.0, ge=0, le=4, json_schema_extra={"step": 0.1})
    """How much the grey values of views differ; 0: not at all."""
    neighbour: int = Field(default=2, ge=0, le=16, json_schema_extra={"unit": "slices"})
    """How far a neighbouring slice is at most; 0: it is another view of the same slice."""
    relations: float = Field(default=1.0, ge=0, json_schema_extra={"step": 0.1})
    """Weight of the loss of relations: however a pixel is shown, it is to be like those pixels of
    other slices and images that the starting network finds it to be like."""
    sharpness: float = Field(default=1.5, ge=1, le=10, json_schema_extra={"step": 0.1})
    """How much more clearly."""
    keep: float = Field(default=1.0, ge=0, json_schema_extra={"step": 0.1})
    """Weight of a term that holds features near those that the starting network gives to the same
    pixels as they are, so that it does not forget, whatever is done to them."""
    synthetic: float = Field(default=1.0, ge=0, json_schema_extra={"step": 0.1})
    """Weight of synthetic episodes, which the network in the package learned from: in each step
    pixels of some are matched, and keep their features."""


class DistillationConfig(StageConfig):
    """How transformers learn: a student finds what its own running mean, the teacher, sees.

    As DINOv2 (Oquab et al. 2023, arXiv:2304.07193): of a slice there are large crops, of which the
    student sees some patches masked, and small ones; class tokens of all crops, and masked patches,
    have to give what the teacher gives.
    """

    train: Literal["last", "lora", "all"] = "last"
    """What learns: the last blocks, low-rank changes of the attention and perceptron of every block
    (Hu et al. 2021, arXiv:2106.09685), or the whole network."""
    blocks: int = Field(default=4, ge=1, le=64)
    """Blocks that learn with train=last."""
    rank: int = Field(default=8, ge=1, le=256)
    """Rank of the changes with train=lora."""
    batch: int = Field(default=8, ge=2, le=4096)
    """Slices in each step."""
    accumulate: int = Field(default=1, ge=1, le=256)
    """Parts that a step is taken in, one after the other, where memory is short."""
    tokens: int = Field(default=16, ge=2, le=64)
    """Patches along each side of a large crop."""
    local_tokens: int = Field(default=7, ge=1, le=64)
    """Patches along each side of a small crop."""
    local_crops: int = Field(default=4, ge=0, le=16)
    """Small crops of each slice, beside two large ones."""
    global_scale: tuple[float, float] = Field(default=(0.15, 0.7), examples=[[0.15, 0.7]])
    """Area of large crops, as a share of the slice. Slices are used with 32 tokens along a side at
    least: at this size crops show things as large as they are seen then (16 tokens: 0.25)."""
    local_scale: tuple[float, float] = Field(default=(0.03, 0.15), examples=[[0.03, 0.15]])
    """Area of small crops."""
    rotation: float = Field(default=10.0, ge=0, le=180, json_schema_extra={"unit": "degrees"})
    """Standard deviation of the angle by which crops are turned."""
    shading: float = Field(default=1.0, ge=0, le=4, json_schema_extra={"step": 0.1})
    """How much the grey values of crops differ; 0: not at all."""
    masked_images: float = Field(default=0.5, ge=0, le=1)
    """Share of the large crops that have masked patches."""
    masked_patches: tuple[float, float] = Field(default=(0.1, 0.5), examples=[[0.1, 0.5]])
    """Share of their patches that are masked, at least and at most."""
    seen_patches: float = Field(default=0.0, ge=0, le=1)
    """Share of the patches that are seen of which the student has to say what the teacher says too;
    0: of masked ones alone, as DINOv2 does."""
    prototypes: int = Field(default=4096, ge=8, le=262144)
    """Outputs of the heads."""
    hidden: int = Field(default=1024, ge=8, le=8192)
    """Width of the layers of the heads."""
    bottleneck: int = Field(default=256, ge=4, le=2048)
    """Width before their last layer."""
    head_steps: int = Field(default=50, ge=0)
    """Steps in which the heads alone learn: they begin with random weights."""
    image_loss: float = Field(default=1.0, ge=0)
    """Weight of the loss of class tokens."""
    patch_loss: float = Field(default=1.0, ge=0)
    """Weight of the loss of patches."""
    koleo_loss: float = Field(default=0.1, ge=0)
    """Weight of the term that spreads class tokens (Sablayrolles et al. 2018, arXiv:1806.03198)."""
    teacher_temperature: float = Field(default=0.07, gt=0, le=1)
    """Temperature of the teacher; that of the student is 0.1."""
    layer_decay: float = Field(default=0.9, gt=0, le=1)
    """Learning rate of a block, as a share of that of the block behind it."""
    weight_decay: float = Field(default=0.04, ge=0)
    """Weight decay of AdamW."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto: bfloat16 on GPUs that have it, else float32."""

    @field_validator("global_scale", "local_scale", "masked_patches")
    @classmethod
    def _check(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 1:
            raise ValueError("be two rising numbers within 0..1")
        return value


class FinetuneConfig(StageConfig):
    """A backbone that learns from images without labels."""

    steps: int | None = Field(default=None, ge=1, json_schema_extra={"step": 100})
    """Most steps. None: 400, or with minutes as many as there is time for."""
    minutes: float | None = Field(default=None, gt=0, json_schema_extra={"unit": "min"})
    """Most time for training. None: as long as the steps take."""
    devices: int = Field(default=1, ge=1, le=64)
    """GPUs that train together, each with images of its own in every step; of the command alone."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of all that is drawn at random."""
    axis: str = "auto"
    """Axis of the slices: a number in file order, axial, coronal or sagittal, auto (axial, or the
    first one), or all: each of them at random."""
    learning_rate: float | None = Field(default=None, gt=0, json_schema_extra={"step": 1e-5})
    """Highest learning rate of AdamW. None: 1e-4 for the embedded network, 2e-5 for others."""
    warm_up: int = Field(default=20, ge=0)
    """Steps over which the learning rate rises."""
    averaged: float = Field(default=0.98, ge=0, lt=1, json_schema_extra={"step": 0.01})
    """What counts is the running mean of the weights; this is the share that stays in a step."""
    probe_every: int = Field(default=100, ge=1, json_schema_extra={"unit": "steps"})
    """How often the weights are judged; the best ones are kept."""
    probe_slices: int = Field(default=24, ge=2)
    """Most labelled slices that they are judged by, spread over the images of the probe."""
    probe_steps: int = Field(default=300, ge=1, json_schema_extra={"step": 100})
    """Steps in which an adapter learns from them."""
    shares: tuple[float, ...] = Field(default=(1.0, 0.5), min_length=1, examples=[[1.0, 0.5]])
    """Shares of what was learned, in a mean with the weights of the start, that the probe chooses
    from; less forgets less."""
    min_gain: float = Field(default=0.002, ge=0, json_schema_extra={"step": 0.001})
    """Smallest gain over the start that counts as one; below it the old weights are kept."""
    min_rank: float = Field(default=0.5, ge=0, le=1, json_schema_extra={"step": 0.05})
    """Training ends where the rank of the features falls below this share of what it was at the
    start: they collapse."""
    checkpoint_minutes: float = Field(default=2.0, ge=0, json_schema_extra={"unit": "min"})
    """How often a checkpoint is written."""
    open_images: int = Field(default=4, ge=1, le=256)
    """Images that are open at once; all steps of a while draw from them."""
    stay: int = Field(default=8, ge=1)
    """Steps after which the oldest open volume is closed, and another opened."""
    intensity: IntensityConfig = IntensityConfig()
    resampling: ResamplingConfig = ResamplingConfig()
    contrast: ContrastConfig = ContrastConfig()
    distillation: DistillationConfig = DistillationConfig()

    @field_validator("shares")
    @classmethod
    def _check(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < share <= 1 for share in value):
            raise ValueError("be numbers above 0, at most 1")
        return value

    @property
    def most_steps(self) -> float:
        """Most steps; infinity where time alone ends the training."""
        if self.steps is not None:
            return self.steps
        return _STEPS if self.minutes is None else math.inf
