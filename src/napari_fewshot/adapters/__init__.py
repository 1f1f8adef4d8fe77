"""Adapters: from templates and feature maps to label probabilities."""

from __future__ import annotations

from collections.abc import Callable

from ..config import SegmenterConfig
from ..registry import Registry
from .base import Adapter, AdapterState, Example, PixelClassifier, Place
from .pixelwise import PixelAdapter

__all__ = [
    "ADAPTERS",
    "Adapter",
    "AdapterState",
    "Example",
    "PixelAdapter",
    "PixelClassifier",
    "Place",
    "build_adapter",
]

AdapterFactory = Callable[[SegmenterConfig, str], Adapter]

ADAPTERS: Registry[AdapterFactory] = Registry("adapter")


def build_adapter(config: SegmenterConfig, device: str = "cpu") -> Adapter:
    """Build the adapter that a configuration names, not yet fitted.

    Raises
    ------
    UnknownNameError
        If there is no adapter of that name.
    """
    return ADAPTERS.get(config.adapter)(config, device)


def _pixel_adapter(
    config: SegmenterConfig, classifier: PixelClassifier, *, standardise: bool = True
) -> Adapter:
    return PixelAdapter(
        classifier,
        config.sampling,
        config.position,
        on_tokens=config.propagation.resolution == "tokens",
        standardise=standardise,
        seed=config.seed,
    )


def _cosine(config: SegmenterConfig, device: str) -> Adapter:
    from .cosine import CosineClassifier

    classifier = CosineClassifier(config.cosine)
    return _pixel_adapter(config, classifier, standardise=config.cosine.standardise)


def _classification(config: SegmenterConfig, device: str) -> Adapter:
    from .classification import ClassificationClassifier

    return _pixel_adapter(config, ClassificationClassifier(config.classification, device))


def _contrastive(config: SegmenterConfig, device: str) -> Adapter:
    from .contrastive import ContrastiveClassifier

    return _pixel_adapter(config, ContrastiveClassifier(config.contrastive, device))


ADAPTERS.add("cosine", _cosine)
ADAPTERS.add("classification", _classification)
ADAPTERS.add("contrastive", _contrastive)
