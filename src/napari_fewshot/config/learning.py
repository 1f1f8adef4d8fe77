"""Settings of what is learned: pixels out of templates, position, adapters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import StageConfig

__all__ = [
    "ClassificationConfig",
    "ContrastiveConfig",
    "CosineConfig",
    "PositionConfig",
    "SamplingConfig",
    "TrainingConfig",
]


class SamplingConfig(StageConfig):
    """Pixels taken out of templates.

    Parameters
    ----------
    pixels_per_label : int
        Most pixels of one label, over all template slices.
    background_factor : float
        Background pixels for each foreground pixel; 1 is the published balance for one label.
    background_least : int
        Background pixels at least, since few pixels of a landmark or a small structure need
        more of what it is not.
    point_radius : float
        Radius in pixels of the disk that stands for a landmark.
    """

    pixels_per_label: int = Field(default=4000, ge=10)
    background_least: int = Field(default=4000, ge=1)
    background_factor: float = Field(default=2.0, gt=0)
    point_radius: float = Field(default=3.0, gt=0)


class PositionConfig(StageConfig):
    """Normalised position as additional features; it can hurt where pose varies.

    Parameters
    ----------
    use : bool
    weight : float
        Spread of a position column beside that of an image feature, which is 1.
    """

    use: bool = True
    weight: float = Field(default=1.0, gt=0)


class CosineConfig(StageConfig):
    """Cosine similarity to the mean template feature of a label.

    Parameters
    ----------
    threshold : float
        A pixel whose similarity to every label is below this is background.
    standardise : bool
        Compare standardised features; False compares features as the backbone gives them.
    """

    threshold: float = Field(default=0.5, gt=-1, lt=1)
    standardise: bool = True


class TrainingConfig(StageConfig):
    """What the trained adapters share.

    Parameters
    ----------
    balance : float
        0 draws classes as frequently as they are in the templates, 1 all equally often.
    decoys : float
        Made-up background pixels for each sampled one, so that what is like nothing in the
        templates stays background.
    dropout : float
    learning_rate : float
        Highest rate of the one-cycle schedule.
    weight_decay : float
    update_steps : int
        Steps of training after a correction, which go on from what was learned before.
    update_rate : float
        Highest rate of these.
    """

    balance: float = Field(default=0.4, ge=0, le=1)
    decoys: float = Field(default=0.2, ge=0, le=10)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    learning_rate: float = Field(default=1e-2, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    update_steps: int = Field(default=120, ge=1)
    update_rate: float = Field(default=3e-3, gt=0)


class ClassificationConfig(TrainingConfig):
    """Three-layer feed-forward network, cross-entropy.

    Parameters
    ----------
    hidden : int
        Width of the two hidden layers.
    steps, batch : int
        Steps of training, and pixels in each.
    """

    hidden: int = Field(default=128, ge=4, le=8192)
    steps: int = Field(default=1500, ge=1)
    batch: int = Field(default=1024, ge=2)


class ContrastiveConfig(TrainingConfig):
    """Siamese network over pairs of pixels with shared weights.

    Parameters
    ----------
    head : {"concat", "bilinear"}
        ``concat`` (published): a linear layer on the two joined outputs. ``bilinear``: with
        the product of the two outputs through a learned matrix, which compares them.
    hidden, depth, width : int
        Width and number of the layers of the shared network, and width of its output.
    steps, targets, pairs : int
        Steps of training; target pixels in each; references of each label that every target
        is paired with.
    references : int
        Reference pixels of each label that a prediction compares with.
    pair_loss : float
        Weight of the cross-entropy on the class of each pair.
    pixel_loss : float
        Weight of the cross-entropy of the averaged pairs of a pixel, beside that of the pairs.
    negative_distance : float
        Pairs of two labels count only if their pixels are at least so many pixels apart in
        their slice (published: 0, anywhere, or 10).
    background_pull : float
        Weight with which a pixel that may be background, or a label nobody looked for, is
        taken for background.
    similarity_loss : float
        Weight of a term that pulls the outputs of positive pairs together and pushes those of
        negative pairs apart.
    """

    head: Literal["concat", "bilinear"] = "bilinear"
    hidden: int = Field(default=128, ge=4, le=8192)
    depth: int = Field(default=2, ge=1, le=64)
    width: int = Field(default=64, ge=2, le=8192)
    steps: int = Field(default=1000, ge=1)
    targets: int = Field(default=512, ge=2)
    pairs: int = Field(default=8, ge=1)
    references: int = Field(default=32, ge=1)
    pair_loss: float = Field(default=0.5, gt=0)
    pixel_loss: float = Field(default=1.0, ge=0)
    negative_distance: float = Field(default=0.0, ge=0)
    background_pull: float = Field(default=0.01, ge=0, le=1)
    similarity_loss: float = Field(default=0.0, ge=0)
