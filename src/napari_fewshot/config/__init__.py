"""Settings of every stage: frozen, validated, saved with the model.

Each default lives here and nowhere else. Unknown keys are refused, and every configuration
round-trips through JSON (``model_dump`` and ``model_validate`` of pydantic).
"""

from .base import FieldInfo, StageConfig, field_info
from .experts import HAND_MADE, Companion, ExpertsConfig, hand_made_of
from .finetuning import ContrastConfig, DistillationConfig, FinetuneConfig
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
    TrainingConfig,
)
from .objects import ObjectsConfig
from .propagation import (
    NO_REFINEMENT,
    CleanupConfig,
    LandmarkConfig,
    PromptConfig,
    PropagationConfig,
    RefinementConfig,
    Tolerance,
    WalkerConfig,
)
from .sam import BOX_SAM, DEFAULT_SAM, AutomaticConfig, PerSamConfig, RegionConfig, TuneConfig
from .segmenter import DEFAULT_ADAPTER, DEFAULT_BACKBONE, SegmenterConfig, preset_settings

__all__ = [
    "BOX_SAM",
    "CACHE_LIMIT_MB",
    "DEFAULT_ADAPTER",
    "DEFAULT_BACKBONE",
    "DEFAULT_SAM",
    "HAND_MADE",
    "NO_REFINEMENT",
    "STORE_LIMIT_GB",
    "AutomaticConfig",
    "ClassificationConfig",
    "CleanupConfig",
    "Companion",
    "ContrastConfig",
    "ContrastiveConfig",
    "CosineConfig",
    "DistillationConfig",
    "ExpertsConfig",
    "ExtractionConfig",
    "FieldInfo",
    "FinetuneConfig",
    "IntensityConfig",
    "LandmarkConfig",
    "ObjectsConfig",
    "PerSamConfig",
    "PositionConfig",
    "PromptConfig",
    "PropagationConfig",
    "RefinementConfig",
    "RegionConfig",
    "ResamplingConfig",
    "SamDecoderConfig",
    "SamplingConfig",
    "SegmenterConfig",
    "StageConfig",
    "Tolerance",
    "TrainingConfig",
    "TuneConfig",
    "WalkerConfig",
    "field_info",
    "hand_made_of",
    "preset_settings",
]

CACHE_LIMIT_MB = 2000.0
STORE_LIMIT_GB = 20.0
