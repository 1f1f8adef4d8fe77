"""Rough costs of methods that were not run yet: minutes or days, no more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..backbones import BackboneSpec, backbone_entry
from ..config import DEFAULT_SAM, ExtractionConfig, SegmenterConfig
from ..errors import FewShotError
from .config import MethodConfig
from .methods import METHODS
from .sizes import REFERENCE, CaseSize

__all__ = ["Encoder", "Rate", "encoders_of", "rate_of", "work_mb"]

_RATES = {
    "forest": (15.0, 15.0),
    "fewshot": (30.0, 15.0),
    "unet": (600.0, 10.0),
    "nnunet": (7200.0, 20.0),
    "universeg": (1.0, 60.0),
}
"""Seconds of a fit, and of predicting a volume of the reference size, on a few processor cores;
without the encoding of slices by a transformer."""
_OTHERS = (10.0, 30.0)
_ON_DEVICE = 20.0
_SECONDS_PER_MB_TOKEN = 1e-5
"""Of a transformer: megabytes of weights, times tokens of a slice."""
_ENTRY_MB = 0.025
_NNUNET_MB, _NNUNET_BYTES = 1000.0, 6
"""Checkpoints, and bytes of each template voxel, raw and preprocessed."""
_UNET_MB = 0.03
"""Times the square of the width: weights, the best ones, and two moments."""


@dataclass(frozen=True)
class Encoder:
    """A transformer that encodes slices, whose features may be kept.

    Parameters
    ----------
    name : str
    seconds : float
        For a slice.
    megabytes : float
        Of the features of a slice.
    """

    name: str
    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Rate:
    """Seconds of a fit and of a prediction, without the encoding of slices."""

    fit: float
    predict: float


def rate_of(method: MethodConfig, size: CaseSize, device: str) -> Rate:
    """Rough times of a method for cases of a size."""
    fit, predict = _RATES.get(method.method, _OTHERS)
    # UniverSeg brings slices to one size; what others do goes with the pixels.
    if method.method == "universeg":
        predict *= size.slices / REFERENCE.slices
    else:
        predict *= size.voxels / REFERENCE.voxels
    faster = 1.0 if method.method == "forest" or device == "cpu" else _ON_DEVICE
    return Rate(fit / faster, predict / faster)


def encoders_of(method: MethodConfig, size: CaseSize, device: str) -> list[Encoder]:
    """Transformers that a method encodes slices with; none for features that cost little."""
    found = {}
    for name, extraction in _backbones(method):
        try:
            spec = backbone_entry(name).spec
        except FewShotError:
            continue
        if spec.store:
            tokens = _tokens(spec, size, extraction)
            seconds = _SECONDS_PER_MB_TOKEN * (spec.size_mb or 400.0) * tokens
            seconds /= 1.0 if device == "cpu" else _ON_DEVICE
            channels = (spec.channels or 768) * extraction.blocks
            found[name] = Encoder(name, seconds, _ENTRY_MB + tokens * channels * 2e-6)
    return list(found.values())


def work_mb(method: MethodConfig, template_voxels: float) -> float:
    """Files of a training, which are removed when all of its cases are predicted."""
    if method.method == "unet":
        return _UNET_MB * float(method.settings.get("width", 24)) ** 2
    if method.method == "nnunet":
        return _NNUNET_MB + template_voxels * _NNUNET_BYTES / 1e6
    return 0.0


def _backbones(method: MethodConfig) -> Iterator[tuple[str, ExtractionConfig]]:
    settings = method.settings
    if METHODS.get(method.method).oracle or method.method == "persam":
        yield str(settings.get("sam", DEFAULT_SAM)), ExtractionConfig()
    if method.method == "fewshot":
        config = _segmenter(settings)
        yield config.backbone, config.extraction
        refinement = config.propagation.refinement.method
        if refinement is not None:
            yield refinement, ExtractionConfig()


def _segmenter(settings: dict[str, Any]) -> SegmenterConfig:
    known = SegmenterConfig.model_fields
    return SegmenterConfig.of({k: v for k, v in settings.items() if k in known}, "settings")


def _tokens(spec: BackboneSpec, size: CaseSize, extraction: ExtractionConfig) -> float:
    """Tokens of a slice, taken as a square."""
    side = math.sqrt(size.pixels) / spec.stride
    wanted = spec.preprocessing
    if wanted.resize in ("longest", "square") and wanted.size is not None:
        side = wanted.size / spec.stride
    elif wanted.resize == "grid":
        side = max(side, float(extraction.min_tokens))
    return side * side
