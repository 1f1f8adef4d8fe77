"""All settings of a segmenter, and the presets."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from .base import StageConfig, merged_settings, present_keys
from .experts import HAND_MADE, ExpertsConfig
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

__all__ = ["DEFAULT_ADAPTER", "DEFAULT_BACKBONE", "SegmenterConfig", "preset_settings"]

DEFAULT_BACKBONE = "embedded"
DEFAULT_ADAPTER = "contrastive"


class SegmenterConfig(StageConfig):
    """All settings of a segmenter: what the model file keeps."""

    backbone: str = DEFAULT_BACKBONE
    """Where features come from."""
    adapter: str = DEFAULT_ADAPTER
    """What learns from them: cosine, classification, contrastive or sam-decoder."""
    preset: Literal["published"] | None = None
    """Start from the settings of the papers instead of our defaults, backbone and refinement by SAM
    included; settings that are given as well still count."""
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
    experts: ExpertsConfig = ExpertsConfig()
    propagation: PropagationConfig = PropagationConfig()

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("preset") == "published":
            base = preset_settings("published", given.get("adapter", DEFAULT_ADAPTER))
            return merged_settings(base, present_keys(cls, given), exclude_unset=True)
        return given

    @property
    def adapter_config(self) -> StageConfig:
        """Settings of the chosen adapter; none where it has no section here."""
        found = getattr(self, self.adapter.replace("-", "_"), None)
        return found if isinstance(found, StageConfig) else StageConfig()

    @property
    def uses_hand_made(self) -> bool:
        """Whether an adapter on hand-made features is trained beside the one that is chosen."""
        return self.experts.hand_made and self.fuses and self.backbone not in HAND_MADE.values()

    @property
    def uses_grey(self) -> bool:
        """Whether an adapter on the features of the brightness of colour images is trained too.

        Not of transformers, which would take twice as long.
        """
        is_wanted = self.experts.grey and self.intensity.colour
        return is_wanted and self.fuses and self.backbone == DEFAULT_BACKBONE

    @property
    def uses_carried(self) -> bool:
        """Whether labels are carried through the painted image."""
        return self.experts.carried and self.fuses

    @property
    def uses_registered(self) -> bool:
        """Whether labels of whole volumes are brought to others by registration."""
        return self.experts.registered and self.fuses

    @property
    def trains_itself(self) -> bool:
        """Whether templates are learned once more, with what was sure of the rest of them."""
        return self.experts.self_training and self.fuses

    @property
    def fuses(self) -> bool:
        """Whether the adapter gives probabilities that others can be averaged with."""
        return self.adapter in ("contrastive", "classification")

    @classmethod
    def stored(cls, given: dict[str, Any], parameter: str) -> Self:
        """Settings out of a file: what is newer than the file is our default, with a preset too.

        So a model goes on predicting as it did. Errors are those of :meth:`of`.
        """
        preset = cls.of({"preset": given.get("preset")}, parameter).preset
        return cls.of({**given, "preset": None}, parameter).model_copy(update={"preset": preset})

    def changed(self, changes: dict[str, Any]) -> Self:
        """Return these settings with others laid over them.

        A dict changes what it names; a configuration takes the place of its section. With another
        preset, or another adapter of one, what presets say of the two in different ways begins
        anew.
        """
        changes = present_keys(type(self), changes)
        before = preset_settings(self.preset, self.adapter)
        after = preset_settings(
            changes.get("preset", self.preset), changes.get("adapter", self.adapter)
        )
        kept = _where_alike(self.model_dump(), before, after)
        return type(self).of(merged_settings(kept, changes), "settings")


def preset_settings(preset: Any, adapter: Any) -> dict[str, Any]:
    """What a preset says of an adapter and of all that goes before and after it."""
    if preset != "published":
        return {}
    return _PUBLISHED | (_OF_THE_DECODER if adapter == "sam-decoder" else {})


def _where_alike(
    settings: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> dict[str, Any]:
    """Settings without those of which two presets say different things."""
    kept = {}
    for key, value in settings.items():
        one, other = before.get(key), after.get(key)
        if isinstance(value, dict):
            kept[key] = _where_alike(value, one or {}, other or {})
        elif one == other and (key in before) is (key in after):
            kept[key] = value
    return kept


_PUBLISHED: dict[str, Any] = {
    "backbone": "dinov2-b",
    "sampling": {
        "pixels_per_label": 0,
        "max_memory": 2.0,
        "background_factor": 1.0,
        "min_background": 1,
    },
    "position": {"use": False},
    "experts": {
        "hand_made": False,
        "grey": False,
        "carried": False,
        "registered": False,
        "self_training": False,
        "choose": False,
    },
    "cosine": {"threshold": 0.5, "standardise": False},
    "classification": {"balance": 1.0, "decoys": 0.0},
    "contrastive": {
        "head": "concat",
        "balance": 1.0,
        "decoys": 0.0,
        "n_layers": 2,
        "loss": "both",
        "pair_loss": 1.0,
        "pixel_loss": 0.0,
        "similarity_loss": 1.0,
        "temperature": 0.07,
        "negative_distance": 0.0,
    },
    "sam_decoder": {
        "start": "he",
        "target_masks": "nearest",
        "prompts": "all",
        "mask_scale": 16,
        "epochs": 0,
        "iteration": "slices",
        "best_epoch": False,
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
            "method": "sam-vit-h",
            "landmarks": False,
            "prompts": {
                "strategy": "random",
                "points": 10,
                "choice": "predicted-iou",
                "agreement": 0.0,
            },
        },
    },
}
"""Features, localisation, SAM (arXiv:2410.09759, section 2, figure 5), and what the decoder trains
with. No paper says which size of DINOv2 or SAM it took."""

_OF_THE_DECODER: dict[str, Any] = {
    "backbone": "sam-vit-b",
    "propagation": {"smoothing": 0.0},
}
"""In place of these sections: its masks are the result (arXiv:2407.04651, section 3.2.1)."""
