"""The segmenter and what it gives."""

from ..predict.landmark_finder import LandmarkFinder
from ..predict.sink import FUSED, Prediction
from .held_out import HeldOutScore
from .position import fit_with_best_position
from .segmenter import FewShotSegmenter

__all__ = [
    "FUSED",
    "FewShotSegmenter",
    "HeldOutScore",
    "LandmarkFinder",
    "Prediction",
    "fit_with_best_position",
]
