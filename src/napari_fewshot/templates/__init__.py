"""Templates, what is known of their slices, and the pixels to learn from."""

from .known import UNKNOWN, KnownSlice, known_slices, labels_of
from .pixels import Samples, plan_pixels
from .template import SCRIBBLE_BACKGROUND, Template

__all__ = [
    "SCRIBBLE_BACKGROUND",
    "UNKNOWN",
    "KnownSlice",
    "Samples",
    "Template",
    "known_slices",
    "labels_of",
    "plan_pixels",
]
