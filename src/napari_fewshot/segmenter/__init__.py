"""The segmenter and what it gives."""

from .held_out import HeldOutScore
from .prediction import Prediction
from .segmenter import FUSED, FewShotSegmenter

__all__ = ["FUSED", "FewShotSegmenter", "HeldOutScore", "Prediction"]
