"""Slices of colour images in grey: what stays where stains and scanners vary."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ..types import Array
from .stack import SliceSource, Window

__all__ = ["BRIGHTNESS", "COLOURS", "GreySlices"]

COLOURS = 3
"""Channels of a colour image: red, green, blue."""
BRIGHTNESS = 0.2126, 0.7152, 0.0722
"""Share of each in the relative luminance of sRGB (ITU-R BT.709)."""


@dataclass(frozen=True, eq=False)
class GreySlices:
    """The brightness of slices of three colours, as a source of slices of one channel."""

    source: SliceSource

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of every slice in pixels."""
        return self.source.shape

    @property
    def channels(self) -> int:
        """One."""
        return 1

    def __len__(self) -> int:
        return len(self.source)

    def slice(self, index: int, /) -> Array:
        """Return a slice: float32, shape (1, H, W), in 0..1."""
        return _grey(self.source.slice(index))

    def window(self, index: int, window: Window, /) -> Array:
        """Return a part of a slice."""
        return _grey(self.source.window(index, window))

    def digest(self, index: int, /) -> str:
        """Hexadecimal digest, another than that of the slice in colour."""
        return hashlib.sha256(f"grey {self.source.digest(index)}".encode()).hexdigest()


def _grey(plane: Array) -> Array:
    found: Array = np.tensordot(np.array(BRIGHTNESS, np.float32), plane, axes=1)[None]
    return found
