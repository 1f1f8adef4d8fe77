"""How long work should take, and how much it keeps: said before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...backbones import BackboneSpec, backbone_entry
from ...config import HAND_MADE, SamDecoderConfig, SegmenterConfig
from ...features.extract import FeatureExtractor
from ...segmenter.polishing import MORE_STEPS, STEPS

__all__ = ["Estimate", "Rates"]

_SECONDS_PER_PIXEL = {"embedded": 2.2e-6, "multiscale": 0.9e-6, "multiscale-3d": 1.4e-6}
"""Measured on two CPU cores; replaced by what is measured here with the first batch."""
_TOKENS = 32 * 32
_FLOPS_PER_S = 6e10
_PREDICTION = 1.0e-6
_POLISHING = 0.5
"""Seconds of a step."""
_STEP = 4.5e-3
_UPDATE = 0.3
"""Of the seconds of a training."""


@dataclass(frozen=True)
class Estimate:
    """What a stage should take.

    Parameters
    ----------
    seconds : float or None
        None where it is not known before the first batch.
    megabytes : float or None
        Features that it will keep on disk; None where it keeps none.
    """

    seconds: float | None
    megabytes: float | None


class Rates:
    """Speeds of this machine: assumed at first, then as measured, also by a worker."""

    def __init__(self) -> None:
        self._extraction = dict(_SECONDS_PER_PIXEL)
        self._steps: dict[tuple[str, bool], float] = {}
        self._prediction: float | None = None
        self._updates: dict[tuple[str, str, bool], float] = {}
        self._labelling: dict[tuple[str, str, bool], float] = {}
        self._polishing = _POLISHING

    def measured_extraction(self, backbone: str, seconds: float, pixels: int) -> None:
        """Note seconds for slices of so many pixels together."""
        if pixels > 0:
            self._extraction[backbone] = seconds / pixels

    def measured_extractors(self, extractors: Sequence[FeatureExtractor], pixels: int) -> None:
        """Note how long extractors took for a slice of so many pixels."""
        for one in extractors:
            if one.seconds_per_slice is not None:
                self.measured_extraction(one.spec.name, one.seconds_per_slice, pixels)

    def measured_update(self, config: SegmenterConfig, seconds: float) -> None:
        """Note seconds of learning on from a model."""
        self._updates[_key(config)] = seconds

    def measured_training(self, config: SegmenterConfig, seconds: float, steps: int) -> None:
        """Note seconds of a training of so many steps, of all adapters that learn together."""
        self._steps[config.adapter, config.uses_hand_made] = seconds / max(steps, 1)

    def measured_polishing(self, seconds: float, steps: int) -> None:
        """Note seconds of a polishing of so many steps."""
        self._polishing = seconds / max(steps, 1)

    def measured_prediction(self, seconds: float, pixels: int) -> None:
        """Note seconds of a prediction from features that were there."""
        if pixels > 0:
            self._prediction = seconds / pixels

    def measured_labelling(self, config: SegmenterConfig, seconds: float, pixels: int) -> None:
        """Note seconds of a prediction whose features were computed on the way."""
        if pixels > 0:
            self._labelling[_key(config)] = seconds / pixels

    def extraction(self, config: SegmenterConfig, shape: tuple[int, ...], slices: int) -> Estimate:
        """Encode ``slices`` slices of (H, W) pixels, with hand-made features where they count."""
        if not slices:
            return Estimate(0.0, None)
        found = self._encoding(config, shape, slices)
        if not config.uses_hand_made or found.seconds is None:
            return found
        pixels = int(np.prod(shape)) * slices
        rate = self._extraction[HAND_MADE["hand_made" if slices == 1 else "hand_made_3d"]]
        return Estimate(found.seconds + rate * pixels, found.megabytes)

    def _encoding(self, config: SegmenterConfig, shape: tuple[int, ...], slices: int) -> Estimate:
        spec, pixels = backbone_entry(config.backbone).spec, int(np.prod(shape))
        rate = self._extraction.get(config.backbone)
        seconds = None if rate is None else rate * pixels * slices
        cells = pixels if spec.stride == 1 else max(_TOKENS, pixels // spec.stride**2)
        if seconds is None and spec.size_mb is not None:  # two operations a weight and token
            seconds = 2 * spec.size_mb / 4 * 1e6 * cells * slices / _FLOPS_PER_S
        return Estimate(seconds, _megabytes(spec, cells, slices))

    def training(self, config: SegmenterConfig, slices: int, twice: bool = False) -> float | None:
        """Seconds of a training on ``slices`` template slices; None where nothing is known.

        ``twice``: where self-training is on.
        """
        settings = config.adapter_config
        if isinstance(settings, SamDecoderConfig):
            rate = self._steps.get((config.adapter, False))
            samples = slices * (1 + settings.augmentations)
            steps = settings.epochs_for(slices) * settings.steps_per_epoch(slices, samples)
            return None if rate is None else rate * steps
        together = config.uses_hand_made
        assumed = (1 + together) * _STEP
        rate = self._steps.get((config.adapter, together), assumed)
        times = 2 if twice and config.trains_itself else 1
        return times * rate * getattr(settings, "steps", 0)

    def updating(self, config: SegmenterConfig, slices: int, twice: bool) -> float | None:
        """Seconds of learning on from a model, a part of those of a training."""
        known = self._updates.get(_key(config))
        training = self.training(config, slices, twice)
        return known if known is not None or training is None else _UPDATE * training

    def polishing(self, config: SegmenterConfig, again: bool) -> float:
        """Seconds of a polishing, at the most; ``again``: where one was before."""
        steps = MORE_STEPS if again else STEPS
        return min(60 * config.experts.polish_minutes, self._polishing * steps)

    def prediction(self, config: SegmenterConfig, shape: tuple[int, ...], slices: int) -> float:
        """Seconds of a prediction from features that are there."""
        assumed = (1 + config.uses_hand_made) * _PREDICTION
        rate = assumed if self._prediction is None else self._prediction
        return rate * int(np.prod(shape)) * slices

    def labelling(self, config: SegmenterConfig, shape: tuple[int, ...], slices: int) -> Estimate:
        """Predict slices whose features are not there yet."""
        features = self.extraction(config, shape, slices)
        rate = self._labelling.get(_key(config))
        if rate is not None:
            return Estimate(rate * int(np.prod(shape)) * slices, features.megabytes)
        if features.seconds is None:
            return features
        seconds = features.seconds + self.prediction(config, shape, slices)
        return Estimate(seconds, features.megabytes)


def _key(config: SegmenterConfig) -> tuple[str, str, bool]:
    return config.backbone, config.adapter, config.uses_hand_made


def _megabytes(spec: BackboneSpec, cells: int, slices: int) -> float | None:
    """Features that are written to disk; those of pixel grids are never held as a whole."""
    kept = spec.store and spec.channels is not None
    return 2 * (spec.channels or 0) * cells * slices / 1e6 if kept else None
