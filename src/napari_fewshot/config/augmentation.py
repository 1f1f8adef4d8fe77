"""Settings of augmented patches."""

from __future__ import annotations

from pydantic import Field

from .base import StageConfig

__all__ = ["AugmentationConfig"]


class AugmentationConfig(StageConfig):
    """How much patches vary."""

    flips: bool = False
    """Mirror rows and columns, each with probability one half. Off by default: slices come in
    one orientation of the patient, and left and right may be two labels."""
    rotation: float = Field(default=15.0, ge=0, le=180)
    """Largest angle in degrees."""
    scale: float = Field(default=0.2, ge=0, le=2)
    """Largest change of size: factors from ``1 / (1 + scale)`` to ``1 + scale``."""
    shift: float = Field(default=0.1, ge=0, le=1)
    """Largest shift of a slice that fits into a patch, as a fraction of its sides."""
    brightness: float = Field(default=0.1, ge=0, le=1)
    """Largest shift of grey values (of 0..1)."""
    contrast: float = Field(default=0.2, ge=0, le=2)
    """Largest relative change of contrast, as ``gamma`` is of the exponent."""
    gamma: float = Field(default=0.3, ge=0, le=2)
    noise: float = Field(default=0.03, ge=0, le=1)
    """Largest standard deviation of Gaussian noise."""
