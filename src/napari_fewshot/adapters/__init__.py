"""Adapters: from templates and feature maps to label probabilities."""

from __future__ import annotations

from pathlib import Path

from ..config import SegmenterConfig
from .base import ADAPTERS, Adapter, AdapterEntry, AdapterState, PixelClassifier
from .pixelwise import PixelAdapter

__all__ = [
    "ADAPTERS",
    "Adapter",
    "AdapterEntry",
    "AdapterState",
    "PixelAdapter",
    "PixelClassifier",
    "build_adapter",
    "check_adapter",
]


def build_adapter(
    config: SegmenterConfig, device: str = "cpu", weights: Path | None = None
) -> Adapter:
    """Build the adapter that a configuration names, not yet fitted.

    ``weights`` is a local checkpoint of the backbone, for adapters that start from a part of it.
    :class:`UnknownNameError` if there is no adapter of that name, :class:`InputError` if it does
    not work with the backbone.
    """
    check_adapter(config)
    return ADAPTERS.get(config.adapter).build(config, device, weights)


def check_adapter(config: SegmenterConfig) -> None:
    """Raise what :func:`build_adapter` would raise, without loading anything."""
    ADAPTERS.get(config.adapter).check(config)
