"""Where slices come from, as the extractor sees it."""

from __future__ import annotations

from typing import Protocol

from ..types import Array

__all__ = ["SliceSource"]


class SliceSource(Protocol):
    """A stack of normalised slices of one shape, in canonical in-plane orientation."""

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of every slice in pixels."""
        ...

    @property
    def channels(self) -> int:
        """Channels C of every slice: 1 for grey."""
        ...

    def __len__(self) -> int:
        """Return the number of slices."""
        ...

    def slice(self, index: int, /) -> Array:
        """Return a slice: float32, shape (C, H, W), finite, in 0..1."""
        ...

    def digest(self, index: int, /) -> str:
        """Hexadecimal digest of the content, shape and dtype of ``slice(index)``."""
        ...
