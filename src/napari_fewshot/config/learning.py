"""Settings from the image to a fitted adapter: grey values, grid, features, pixels, adapters."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from .base import StageConfig

__all__ = [
    "ClassificationConfig",
    "ContrastiveConfig",
    "CosineConfig",
    "ExtractionConfig",
    "IntensityConfig",
    "PositionConfig",
    "ResamplingConfig",
    "SamDecoderConfig",
    "SamplingConfig",
    "TrainingConfig",
]


class IntensityConfig(StageConfig):
    """What is read of an image: its channels, and grey values to 0..1, once per volume.

    The three channels of RGB share their percentiles; other channels each have their own, and so
    do three that are no colours.
    """

    mode: Literal["percentile", "window"] = Field(default="percentile", title="Range")
    """percentile: of the finite voxels of each volume. window: fixed grey values, as for CT (soft
    tissue: -160 to 240 HU)."""
    low: float = Field(default=0.5, title="Black")
    """Percentile, or grey value, that becomes black."""
    high: float = Field(default=99.5, title="White")
    """Percentile, or grey value, that becomes white."""
    channels: tuple[int, ...] | None = Field(default=None, min_length=1, examples=[[0, 2]])
    """Channels of the last axis, in this order; of one, images are grey. None: all."""
    colour: bool = Field(default=True, title="Three channels are colours")
    """Colours share their percentiles. Off: stains or sequences, and each has its own."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError("have low < high")
        if self.mode == "percentile" and not (0 <= self.low and self.high <= 100):
            raise ValueError("have percentiles within 0..100")
        if self.channels is not None and min(self.channels) < 0:
            raise ValueError("have channels from 0")
        return self


class ResamplingConfig(StageConfig):
    """Grid that features are taken from; results always return to the original grid."""

    mode: Literal["off", "inplane", "isotropic"] = "off"
    """inplane: rows and columns at the spacing. isotropic: the slices too."""
    spacing: float = Field(default=1.0, gt=0, json_schema_extra={"unit": "mm"})
    """Distance of neighbouring pixels."""


class ExtractionConfig(StageConfig):
    """Slices to feature maps."""

    blocks: int = Field(default=1, ge=1, le=24)
    """Last blocks of a transformer whose outputs are joined."""
    min_tokens: int = Field(default=32, ge=4, le=256)
    """A slice is enlarged until its shorter side has this many tokens (token grids only)."""
    max_side: int = Field(default=784, ge=64, json_schema_extra={"unit": "pixels"})
    """Largest side of an encoded tile of the input; larger slices are cut into tiles."""
    overlap: float = Field(default=0.25, ge=0.0, lt=0.9)
    """Fraction of a tile that overlaps with its neighbour; blended linearly."""
    batch: int = Field(default=4, ge=1, json_schema_extra={"unit": "slices"})
    """Slices encoded at once on a GPU; halved on out-of-memory. A processor encodes one slice, or
    tile, in each of its threads."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto: bfloat16 for transformers on CPUs that have it, float16 on CUDA, else float32."""


class SamplingConfig(StageConfig):
    """Pixels taken out of templates."""

    pixels_per_label: int = Field(default=16_000, ge=0)
    """Most pixels of one label, over all template slices, 10 at least; 0 (published): all of them.
    Both as far as the memory below goes."""
    max_memory: float = Field(default=0.5, gt=0, json_schema_extra={"unit": "GB"})
    """Most memory for the features of all pixels; of what does not fit, the most frequent labels
    give fewer pixels, which a warning says where their number has no limit."""
    min_background: int = Field(default=4000, ge=1, json_schema_extra={"unit": "pixels"})
    """Background pixels at least, since few pixels of a landmark or a small structure need more of
    what it is not."""
    background_factor: float = Field(default=2.0, gt=0)
    """Background pixels for each foreground pixel; 1 is the published balance for one label."""
    remembered: int = Field(default=10_000, ge=0, le=10**6, json_schema_extra={"unit": "pixels"})
    """Most pixels of which the model keeps features and labels, half of them background, so that it
    can learn on without these images; 0: none."""
    point_radius: float = Field(default=3.0, gt=0, json_schema_extra={"unit": "pixels"})
    """Radius of the disk that stands for a landmark."""

    @field_validator("pixels_per_label")
    @classmethod
    def _check(cls, value: int) -> int:
        if 0 < value < 10:
            raise ValueError("be 0 (all) or at least 10")
        return value


class PositionConfig(StageConfig):
    """Normalised position as additional features."""

    use: bool = True
    """Whether position counts, where labels have their places in the painted slices; it can hurt
    where pose varies."""
    weight: float = Field(default=1.0, gt=0)
    """Spread of a position column beside that of an image feature, which is 1."""


class CosineConfig(StageConfig):
    """Cosine similarity to the mean template feature of a label."""

    threshold: float = Field(default=0.5, gt=-1, lt=1, json_schema_extra={"step": 0.05})
    """A pixel whose similarity to every label is below this is background."""
    standardise: bool = True
    """Compare features of equal mean and spread, not as the backbone gives them."""


class TrainingConfig(StageConfig):
    """What the trained adapters share."""

    balance: float = Field(default=0.4, ge=0, le=1, json_schema_extra={"step": 0.1})
    """0: classes count as frequently as they are painted; 1: all equally. Higher finds more of
    small structures, and more that is none."""
    decoys: float = Field(default=0.2, ge=0, le=10, json_schema_extra={"step": 0.1})
    """Made-up background pixels for each sampled one, so that what is like nothing in the templates
    stays background."""
    dropout: float = Field(default=0.0, ge=0, lt=1, json_schema_extra={"step": 0.05})
    """Fraction of features left out at random in training."""
    learning_rate: float = Field(default=1e-2, gt=0, json_schema_extra={"step": 0.001})
    """Highest learning rate of the one-cycle schedule."""
    weight_decay: float = Field(default=0.1, ge=0, json_schema_extra={"step": 0.01})
    """Pull of all weights to zero."""
    update_steps: int = Field(default=120, ge=1, json_schema_extra={"step": 20})
    """Steps of training after a correction, which go on from what was learned before: more learn it
    better, and take longer."""
    update_learning_rate: float = Field(
        default=3e-3, gt=0, title="Update rate", json_schema_extra={"step": 0.001}
    )
    """Highest learning rate of the training after a correction."""


class ClassificationConfig(TrainingConfig):
    """Three-layer feed-forward network, cross-entropy."""

    hidden: int = Field(
        default=128, ge=4, le=8192, title="Hidden width", json_schema_extra={"step": 16}
    )
    """Width of the two hidden layers."""
    steps: int = Field(default=1500, ge=1, json_schema_extra={"step": 100})
    """Steps of training: more take longer, and help while there is much paint."""
    batch: int = Field(default=1024, ge=2, title="Pixels per step", json_schema_extra={"step": 128})
    """Pixels in each step of training."""


class ContrastiveConfig(TrainingConfig):
    """Siamese network over pairs of pixels with shared weights."""

    head: Literal["concat", "bilinear"] = Field(default="bilinear", title="Comparison")
    """concat (published): a linear layer on the two joined outputs. bilinear: with the product of
    the two outputs through a learned matrix, which compares them; more exact."""
    hidden: int = Field(
        default=128, ge=4, le=8192, title="Hidden width", json_schema_extra={"step": 16}
    )
    """Width of the hidden layers."""
    n_layers: int = Field(default=2, ge=1, le=64, title="Layers")
    """Layers of the shared network."""
    width: int = Field(
        default=64, ge=2, le=8192, title="Output width", json_schema_extra={"step": 16}
    )
    """Width of the output of the shared network, by which pixels are compared."""
    steps: int = Field(default=1000, ge=1, json_schema_extra={"step": 100})
    """Steps of training: more take longer, and help while there is much paint."""
    targets: int = Field(
        default=512, ge=2, title="Pixels per step", json_schema_extra={"step": 128}
    )
    """Target pixels in each step of training."""
    pairs: int = Field(default=8, ge=1)
    """References of each label that every target is paired with in a step."""
    references: int = Field(default=32, ge=1, json_schema_extra={"step": 8})
    """Reference pixels of each label that a prediction compares every pixel with: more are steadier
    and slower."""
    loss: Literal["pair", "similarity", "both"] = "pair"
    """What the shared network learns from. pair: the class of each pair. similarity: outputs of one
    label become similar, those of others dissimilar (MedCLIP, semantic matching); the comparison is
    learned from outputs so made. both (published): the sum."""
    pair_loss: float = Field(default=0.5, gt=0)
    """Weight of the cross-entropy on the class of each pair."""
    pixel_loss: float = Field(default=1.0, ge=0)
    """Weight of the cross-entropy of the averaged pairs of a pixel, beside that of the pairs."""
    negative_distance: float = Field(
        default=0.0, ge=0, title="Negative distance", json_schema_extra={"unit": "pixels"}
    )
    """The second pixel of a negative pair lies at least this far from what is painted of the label
    in its slice; 0 is anywhere outside the label (published, as is 10)."""
    background_pull: float = Field(default=0.01, ge=0, le=1)
    """Weight with which a pixel that may be background, or a label nobody looked for, is taken for
    background."""
    similarity_loss: float = Field(default=1.0, ge=0)
    """Weight of the similarity in the loss; given without a loss, it means both."""
    temperature: float = Field(default=0.07, ge=0.01, le=1, json_schema_extra={"step": 0.01})
    """What the similarities are divided by at the start of training; it is learned."""

    @model_validator(mode="before")
    @classmethod
    def _read_former_weight(cls, given: Any) -> Any:
        # The weight, 0 by default, used to be the only switch.
        if isinstance(given, dict) and "loss" not in given and given.get("similarity_loss"):
            return {**given, "loss": "both"}
        return given

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.loss == "similarity" and not self.similarity_loss:
            raise ValueError("have similarity_loss above 0 with loss similarity")
        return self

    @property
    def compares_outputs(self) -> bool:
        """Whether similarities are a part of the loss."""
        return self.loss != "pair" and self.similarity_loss > 0


_TEMPLATES, _EPOCHS = (5, 20, 50), (50, 80, 100)


class SamDecoderConfig(StageConfig):
    """SAM's mask decoder, prompted by the embeddings of the templates."""

    start: Literal["sam", "he", "scratch"] = "sam"
    """sam: the weights of SAM, the two output tokens as a mask of SAM and the opposite of another.
    he (published): the two tokens, which SAM does not have, at random, which learns much more
    slowly. scratch: the whole decoder at random."""
    target_masks: Literal["coverage", "nearest"] = "coverage"
    """Which cells of an embedding are averaged for a label. coverage: all that it touches, each by
    the fraction that it covers. nearest (published): those with the label at their centre; of a
    label that lies at no centre the cell that it covers most."""
    prompts: Literal["drawn", "all"] = "drawn"
    """What prompts for a label in training. drawn: target embeddings of any number of the other
    slices, or of their copies. all (published): those of all template slices, that of the slice
    itself among them, as in use."""
    mask_scale: int = Field(default=4, ge=4, le=16)
    """Masks are learned and made on a grid so many times as fine as the embedding. 4: that of the
    decoder, 256 × 256. 16 (published): that of the input of SAM, 1024 × 1024."""
    epochs: int = Field(default=0, ge=0, json_schema_extra={"step": 10})
    """Most iterations; 0 (published): 50 for five template slices or fewer, 80 for 20, 100 for 50
    or more, and between these in proportion."""
    iteration: Literal["copies", "slices", "step"] = "copies"
    """What counts as one of the epochs. copies: every template slice and every copy of it. slices
    (published): every template slice once, as it is or as one of its copies, drawn anew. step: one
    slice."""
    best_epoch: bool = False
    """With three template slices or more, hold one out (a volume, with three volumes or more), and
    keep the epoch that predicts it best. Else learn from all of them and keep the last epoch
    (published): one slice says little of when to stop."""
    refit: bool = True
    """With a slice held out: learn anew from all of them, for as many epochs as were best. One of a
    few slices is much to leave unused."""
    patience: int = Field(default=15, ge=0, json_schema_extra={"unit": "epochs"})
    """With a slice held out: epochs without a better one after which training ends; 0: never
    early."""
    augmentations: int = Field(default=4, ge=0)
    """Augmented copies of each template slice. Each is encoded once, which takes as long as
    encoding a slice."""
    flips: bool = Field(default=False, title="Mirrored copies")
    """Whether copies may be mirrored (published): good where sides are alike."""
    learning_rate: float = Field(default=1e-4, gt=0, json_schema_extra={"step": 0.0001})
    """Learning rate of Adam."""
    dice_loss: float = Field(default=1.0, ge=0, json_schema_extra={"step": 0.1})
    """Weight of a Dice term beside the cross-entropy (published: 0). Without it small labels are
    learned late: background is most of what the cross-entropy sees."""
    update_epochs: int = Field(default=10, ge=1, json_schema_extra={"step": 5})
    """Epochs after a correction, which go on from what was learned before."""

    def epochs_for(self, templates: int) -> int:
        """Most epochs for so many template slices."""
        return self.epochs or round(float(np.interp(templates, _TEMPLATES, _EPOCHS)))

    def steps_per_epoch(self, templates: int, samples: int) -> int:
        """Slices in an epoch, of so many template slices, which are ``samples`` with copies."""
        return {"copies": samples, "slices": templates, "step": 1}[self.iteration]
