"""The one dock: labels, learning, corrections, other images, files."""

from .dock import FewShotSegmentation

__all__ = ["FewShotSegmentation"]
