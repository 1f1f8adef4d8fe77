"""What is in a label map: labels and objects measured, and touching objects separated."""

from .measure import measure_labels
from .separate import separate_objects

__all__ = ["measure_labels", "separate_objects"]
