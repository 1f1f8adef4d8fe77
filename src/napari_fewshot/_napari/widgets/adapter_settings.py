"""Which settings of the adapters are shown, and how they are called for people."""

from __future__ import annotations

from ...config import (
    ClassificationConfig,
    ContrastiveConfig,
    CosineConfig,
    SamDecoderConfig,
)
from ...config.base import StageConfig
from .parts.settings_form import Setting

__all__ = ["ABOUT", "IMPORTANT", "MODELS", "OTHERS"]

MODELS: dict[str, type[StageConfig]] = {
    "contrastive": ContrastiveConfig,
    "classification": ClassificationConfig,
    "cosine": CosineConfig,
    "sam-decoder": SamDecoderConfig,
}
ABOUT = {
    "contrastive": "Compares every pixel with painted ones. Best with few slices.",
    "classification": "Small network that names each pixel. Fast with many painted slices.",
    "cosine": "Likeness to the mean painted pixel. Instant, simple, least exact.",
    "sam-decoder": "SAM's mask decoder, trained on the slices. Needs a SAM as backbone.",
}
_STEPS = "Steps of training: more take longer, and help while there is much paint."
_TRAINING = (
    Setting(
        "decoys",
        "Decoys",
        "Made-up background, so that what is like nothing in the templates stays background.",
        0.1,
    ),
    Setting(
        "balance",
        "Balance",
        "0: classes count as frequently as they are painted; 1: all equally.\n"
        "Higher finds more of small structures, and more that is none.",
        0.1,
    ),
    Setting("dropout", "Dropout", "Share of features left out at random in training.", 0.05),
    Setting("learning_rate", "Learning rate", "Highest rate of the training.", 0.001),
    Setting("weight_decay", "Weight decay", "Pull of all weights to zero.", 0.01),
    Setting(
        "update_steps",
        "Update steps",
        "Steps of training after a correction: more learn it better, and take longer.",
        20,
    ),
    Setting(
        "update_learning_rate",
        "Update rate",
        "Highest rate of the training after a correction.",
        0.001,
    ),
)
IMPORTANT = {
    "contrastive": (
        Setting("steps", "Steps", _STEPS, 100),
        Setting(
            "references",
            "References",
            "Painted pixels of each label that every pixel is compared with:\n"
            "more are steadier and slower.",
            8,
        ),
    ),
    "classification": (Setting("steps", "Steps", _STEPS, 100),),
    "cosine": (
        Setting(
            "threshold",
            "Threshold",
            "Least likeness, -1 to 1; what is below it everywhere is background.",
            0.05,
        ),
    ),
    "sam-decoder": (
        Setting(
            "epochs",
            "Passes",
            "Passes over the painted slices at most; 0: 50 for five slices, 80 for 20,\n"
            "100 for 50. More take longer, and help while there is much paint.",
            10,
        ),
        Setting(
            "augmentations",
            "Variants",
            "Augmented copies of each painted slice. Each is encoded once, which takes as long\n"
            "as encoding a slice.",
        ),
    ),
}
OTHERS = {
    "contrastive": (
        Setting(
            "head",
            "Comparison",
            "concat: as published; bilinear: compares the two pixels, more exact.",
        ),
        Setting("hidden", "Hidden width", "Width of the hidden layers.", 16),
        Setting("n_layers", "Layers", "Layers of the shared network."),
        Setting("width", "Output width", "Width of what pixels are compared by.", 16),
        Setting("targets", "Pixels per step", "Pixels in each step of training.", 128),
        Setting("pairs", "Pairs", "References of each label in each step of training."),
        Setting(
            "negative_distance",
            "Pair distance",
            "Pixels of two labels are compared in training only when this far apart.",
        ),
        *_TRAINING,
    ),
    "classification": (
        Setting("hidden", "Hidden width", "Width of the hidden layers.", 16),
        Setting("batch", "Pixels per step", "Pixels in each step of training.", 128),
        *_TRAINING,
    ),
    "cosine": (
        Setting("standardise", "Standardise", "Compare features of equal mean and spread."),
    ),
    "sam-decoder": (
        Setting(
            "start",
            "Start",
            "sam: outputs start as masks of SAM; he: at random, as published, much slower.",
        ),
        Setting(
            "flips", "Mirrored variants", "Variants may be mirrored: good where sides are alike."
        ),
        Setting(
            "best_epoch",
            "Best pass",
            "With three slices or more, hold one out and keep the pass that predicts it best.",
        ),
        Setting("refit", "Refit", "Learn from all slices for as many passes as were best."),
        Setting("patience", "Patience", "End after so many passes without a better one; 0: never."),
        Setting("learning_rate", "Learning rate", "Rate of the training.", 0.0001),
        Setting(
            "dice_loss", "Dice loss", "Weight of a Dice term: finds more of small labels.", 0.1
        ),
        Setting("update_epochs", "Update passes", "Passes of training after a correction.", 5),
    ),
}
