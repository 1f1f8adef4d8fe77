"""All settings of a segmenter, and the presets."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from .base import StageConfig, merged_settings, present_keys
from .learning import (
    ClassificationConfig,
    ContrastiveConfig,
    CosineConfig,
    ExtractionConfig,
    IntensityConfig,
    PositionConfig,
    ResamplingConfig,
    SamDecoderConfig,
    SamplingConfig,
)
from .propagation import PropagationConfig

__all__ = ["DEFAULT_ADAPTER", "DEFAULT_BACKBONE", "SegmenterConfig"]

DEFAULT_BACKBONE = "embedded"
DEFAULT_ADAPTER = "contrastive"


class SegmenterConfig(StageConfig):
    """All settings of a segmenter: what the model file keeps."""

    backbone: str = DEFAULT_BACKBONE
    """Where features come from."""
    adapter: str = DEFAULT_ADAPTER
    """What learns from them: cosine, classification, contrastive or sam-decoder."""
    preset: Literal["published"] | None = None
    """Start from the settings of the papers instead of our defaults; settings that are given as
    well still count."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of all that is drawn at random: the same seed gives the same result on the same machine."""
    intensity: IntensityConfig = IntensityConfig()
    resampling: ResamplingConfig = ResamplingConfig()
    extraction: ExtractionConfig = ExtractionConfig()
    sampling: SamplingConfig = SamplingConfig()
    position: PositionConfig = PositionConfig()
    cosine: CosineConfig = CosineConfig()
    classification: ClassificationConfig = ClassificationConfig()
    contrastive: ContrastiveConfig = ContrastiveConfig()
    sam_decoder: SamDecoderConfig = SamDecoderConfig()
    propagation: PropagationConfig = PropagationConfig()

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("preset") == "published":
            base = _published(given.get("adapter", DEFAULT_ADAPTER))
            return merged_settings(base, present_keys(cls, given), exclude_unset=True)
        return given

    @property
    def adapter_config(self) -> StageConfig:
        """Settings of the chosen adapter; none where it has no section here."""
        found = getattr(self, self.adapter.replace("-", "_"), None)
        return found if isinstance(found, StageConfig) else StageConfig()

    @classmethod
    def stored(cls, given: dict[str, Any], parameter: str) -> Self:
        """Settings out of a file: what is newer than the file is our default, with a preset too.

        So a model goes on predicting as it did. Errors are those of :meth:`of`.
        """
        preset = cls.of({"preset": given.get("preset")}, parameter).preset
        return cls.of({**given, "preset": None}, parameter).model_copy(update={"preset": preset})

    def changed(self, changes: dict[str, Any]) -> Self:
        """Return these settings with others laid over them.

        A dict changes what it names; a configuration takes the place of its section.
        """
        changes = present_keys(type(self), changes)
        return type(self).of(merged_settings(self.model_dump(), changes), "settings")


_PUBLISHED: dict[str, Any] = {
    "sampling": {"background_factor": 1.0, "min_background": 1},
    "position": {"use": False},
    "cosine": {"threshold": 0.5, "standardise": False},
    "classification": {"balance": 1.0, "decoys": 0.0},
    "contrastive": {
        "head": "concat",
        "balance": 1.0,
        "decoys": 0.0,
        "pair_loss": 1.0,
        "pixel_loss": 0.0,
    },
    "sam_decoder": {
        "start": "he",
        "epochs": 0,
        "best_epoch": True,
        "refit": False,
        "patience": 0,
        "augmentations": 20,
        "flips": True,
        "learning_rate": 1e-4,
        "dice_loss": 0.0,
    },
    "propagation": {
        "smoothing": 0.0,
        "cleanup": {"dimensions": 2, "min_fraction": 0.1},
        "landmarks": {"source": "labels", "per_label": 1, "arrangement": False},
        "refinement": {
            "prompts": {
                "strategy": "random",
                "points": 10,
                "choice": "predicted-iou",
                "agreement": 0.0,
            }
        },
    },
}


def _published(adapter: str) -> dict[str, Any]:
    """Settings of the paper that an adapter is of; nothing follows the masks of the SAM decoder."""
    after = {} if adapter != "sam-decoder" else {"propagation": {"smoothing": 0.0}}
    return {**_PUBLISHED, **after}
