"""Colours of confidence over an image: red is a guess, what is sure is clear."""

from __future__ import annotations

from typing import Any

__all__ = ["doubt_colours"]

_COLOURS = (
    (0.0, (0.0, 0.0, 0.0, 0.0)),  # not predicted
    (0.001, (0.9, 0.1, 0.1, 1.0)),
    (0.5, (0.9, 0.1, 0.1, 1.0)),
    (0.75, (1.0, 0.75, 0.1, 0.6)),
    (0.95, (1.0, 0.9, 0.3, 0.0)),
    (1.0, (1.0, 0.9, 0.3, 0.0)),
)
"""Confidence, and red, green, blue, opacity."""


def doubt_colours() -> Any:
    """Colour map of napari for confidence in 0..1."""
    from napari.utils.colormaps import Colormap

    controls, colours = zip(*_COLOURS, strict=True)
    return Colormap(colours, name="doubt", controls=controls)
