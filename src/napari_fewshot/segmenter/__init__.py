"""The segmenter and what it gives."""

from .held_out import HeldOutScore
from .prediction import FUSED, Prediction
from .refining import load_refiner
from .segmenter import FewShotSegmenter
from .selection import fit_with_best_position

__all__ = [
    "FUSED",
    "FewShotSegmenter",
    "HeldOutScore",
    "Prediction",
    "fit_with_best_position",
    "load_refiner",
]
