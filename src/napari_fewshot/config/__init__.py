"""Settings of every stage: frozen, validated, saved with the model.

Each default lives here and nowhere else. Unknown keys are refused, and every configuration
round-trips through JSON (``model_dump`` and ``model_validate`` of pydantic).
"""

from .base import StageConfig
from .images import ExtractionConfig, IntensityConfig, ResamplingConfig
from .learning import (
    ClassificationConfig,
    ContrastiveConfig,
    CosineConfig,
    PositionConfig,
    SamplingConfig,
    TrainingConfig,
)
from .prompted import BOX_SAM, DEFAULT_SAM, AutomaticConfig, PerSamConfig, RegionConfig
from .propagation import CleanupConfig, LandmarkConfig, PropagationConfig
from .refinement import PromptConfig, RefinementConfig, WalkerConfig
from .sam_decoder import SamDecoderConfig
from .segmenter import DEFAULT_ADAPTER, DEFAULT_BACKBONE, SegmenterConfig

__all__ = [
    "BOX_SAM",
    "CACHE_LIMIT_MB",
    "DEFAULT_ADAPTER",
    "DEFAULT_BACKBONE",
    "DEFAULT_SAM",
    "STORE_LIMIT_GB",
    "AutomaticConfig",
    "ClassificationConfig",
    "CleanupConfig",
    "ContrastiveConfig",
    "CosineConfig",
    "ExtractionConfig",
    "IntensityConfig",
    "LandmarkConfig",
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
    "TrainingConfig",
    "WalkerConfig",
]

CACHE_LIMIT_MB = 2000.0
STORE_LIMIT_GB = 20.0
