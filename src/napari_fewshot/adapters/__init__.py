"""Adapters: from templates and feature maps to label probabilities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..config import SegmenterConfig
from ..registry import Registry
from .base import Adapter, AdapterState, Example, Needs, PixelClassifier, Place
from .pixelwise import PixelAdapter

__all__ = [
    "ADAPTERS",
    "Adapter",
    "AdapterState",
    "Example",
    "Needs",
    "PixelAdapter",
    "PixelClassifier",
    "Place",
    "build_adapter",
    "check_adapter",
]

AdapterFactory = Callable[[SegmenterConfig, str, Path | None], Adapter]

_SAM_DECODER = "sam-decoder"

ADAPTERS: Registry[AdapterFactory] = Registry("adapter")


def build_adapter(
    config: SegmenterConfig, device: str = "cpu", weights: Path | None = None
) -> Adapter:
    """Build the adapter that a configuration names, not yet fitted.

    Parameters
    ----------
    config : SegmenterConfig
        Settings of all stages.
    device : str
        Torch device.
    weights : Path, optional
        Local checkpoint of the backbone, for adapters that start from a part of it.

    Raises
    ------
    UnknownNameError
        If there is no adapter of that name.
    InputError
        If the adapter does not work with the backbone.
    """
    return ADAPTERS.get(config.adapter)(config, device, weights)


def check_adapter(config: SegmenterConfig) -> None:
    """Raise what :func:`build_adapter` would raise, without loading anything."""
    ADAPTERS.get(config.adapter)
    if config.adapter == _SAM_DECODER:
        from .sam_decoder import check_sam

        check_sam(config)


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


def _cosine(config: SegmenterConfig, device: str, weights: Path | None) -> Adapter:
    from .cosine import CosineClassifier

    classifier = CosineClassifier(config.cosine)
    return _pixel_adapter(config, classifier, standardise=config.cosine.standardise)


def _classification(config: SegmenterConfig, device: str, weights: Path | None) -> Adapter:
    from .classification import ClassificationClassifier

    return _pixel_adapter(config, ClassificationClassifier(config.classification, device))


def _contrastive(config: SegmenterConfig, device: str, weights: Path | None) -> Adapter:
    from .contrastive import ContrastiveClassifier

    return _pixel_adapter(config, ContrastiveClassifier(config.contrastive, device))


def _sam_decoder(config: SegmenterConfig, device: str, weights: Path | None) -> Adapter:
    from .sam_decoder import SamDecoderAdapter

    return SamDecoderAdapter(config, device, weights)


ADAPTERS.add("cosine", _cosine)
ADAPTERS.add("classification", _classification)
ADAPTERS.add("contrastive", _contrastive)
ADAPTERS.add(_SAM_DECODER, _sam_decoder)
