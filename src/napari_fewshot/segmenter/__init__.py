"""The segmenter and what it gives."""

from .held_out import HeldOutScore
from .prediction import Prediction
from .segmenter import FUSED, FewShotSegmenter
from .selection import fit_with_best_position

__all__ = ["FUSED", "FewShotSegmenter", "HeldOutScore", "Prediction", "fit_with_best_position"]
