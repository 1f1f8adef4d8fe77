"""The segmenter and what it gives."""

from ..predict.landmark_finder import LandmarkFinder
from ..predict.sink import FUSED, Prediction
from .position import fit_with_best_position
from .score import HeldOutScore
from .segmenter import FewShotSegmenter

__all__ = [
    "FUSED",
    "FewShotSegmenter",
    "HeldOutScore",
    "LandmarkFinder",
    "Prediction",
    "fit_with_best_position",
]
