"""Refinement by prompts: the localised region asks SAM, and SAM's mask becomes the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import PromptConfig
from ..predict.refiners import RefinerEntry, RefinerSettings, Region, SliceRefiner
from ..slices.stack import SliceStack
from ..types import Array
from . import SamPredictor, SliceEmbeddings, load_sam
from .encoder import SAMS, Sam
from .regions import region_prompts

__all__ = ["SamRefiner"]

_SURE = 0.9
"""Confidence of background from which negative points are drawn."""

_LEAST = 1e-6


class SamRefiner:
    """Prompts SAM label by label, slice by slice.

    The published method ("Data Adaptive Few-shot Multi Label Segmentation with Foundation
    Model") draws ten random pixels of the region; :class:`~napari_fewshot.config.PromptConfig`
    has the others. Of SAM's three masks the one is taken whose agreement with the region (IoU)
    times predicted IoU is highest; a pixel that several labels claim goes to the one whose mask
    has the higher such score times probability there. A label whose best mask agrees less than
    the setting ``agreement`` with its region keeps the region, with its confidence as the
    strength of its claim. MedSAM predicts no IoU: there the agreement alone counts.

    Parameters
    ----------
    predictor : SamPredictor
    embeddings : SliceEmbeddings
        Of the stack.
    config : PromptConfig
    seed : int
        Random prompts depend on it, on the slice and on the label alone.
    """

    def __init__(
        self, predictor: SamPredictor, embeddings: SliceEmbeddings, config: PromptConfig, seed: int
    ) -> None:
        self._predictor = predictor
        self._embeddings = embeddings
        self._config = config
        self._seed = seed

    def refine(self, index: int, region: Region) -> Region:
        """Refine slice ``index``; of labels that it has not, none is made."""
        values = [int(v) for v in np.unique(region.labels) if v]
        if not values:
            return region
        embedding = self._embeddings[index]
        background = (region.labels == 0) & (region.confidence >= _SURE)
        claims = []
        for value in values:
            inside = region.labels == value
            outside = background | ((region.labels != 0) & ~inside)
            rng = np.random.default_rng([self._seed, index, value % 2**32])
            claims.append(self._claim(embedding, inside, outside, region.confidence, rng))
        return _settled(region, values, claims)

    def _claim(
        self,
        embedding: Any,
        inside: Array,
        outside: Array,
        confidence: Array,
        rng: np.random.Generator,
    ) -> _Claim:
        """What one label has of the slice."""
        claim = _Claim.nothing(inside.shape)
        for part, prompt in region_prompts(inside, outside, self._config, self._predictor, rng):
            if prompt is None:
                claim.keep(part, confidence)
                continue
            found = self._predictor.predict(embedding, inside.shape, prompt)
            predicted = self._predictor.trusted(found.iou[0])
            score, agreement, best = _best(part, found.logits[0], predicted)
            if agreement < self._config.agreement:
                claim.keep(part, confidence)
            else:
                claim.take(found.logits[0, best], score)
        return claim


@dataclass(frozen=True, eq=False)
class _Claim:
    """What one label has of a slice.

    Parameters
    ----------
    probability : float array, shape (H, W)
    strength : float array, shape (H, W)
        Of the claim to a pixel; 0 where there is none.
    """

    probability: Array
    strength: Array

    @classmethod
    def nothing(cls, shape: tuple[int, ...]) -> _Claim:
        return cls(np.zeros(shape), np.zeros(shape))

    def take(self, logits: Array, score: float) -> None:
        """Have the mask of SAM."""
        probability = 1 / (1 + np.exp(-np.clip(logits, -30, 30).astype(np.float64)))
        strength = np.where(probability > 0.5, probability * max(score, _LEAST), 0)
        self._add(probability, strength)

    def keep(self, part: Array, confidence: Array) -> None:
        """Have a part of the region as it is, however unsure: it agrees with itself."""
        sure = np.where(part, np.maximum(confidence, _LEAST), 0)
        self._add(sure, sure)

    def _add(self, probability: Array, strength: Array) -> None:
        np.maximum(self.probability, probability, out=self.probability)
        np.maximum(self.strength, strength, out=self.strength)


def _best(region: Array, logits: Array, predicted: Array) -> tuple[float, float, int]:
    """Score, agreement and number of the mask to take, of M masks of shape (M, H, W)."""
    masks = logits > 0
    both = (masks & region).sum(axis=(1, 2))
    either = (masks | region).sum(axis=(1, 2))
    agreement = both / np.maximum(either, 1)
    score = agreement * np.clip(predicted, 0, 1)
    # A head that predicts no IoU above 0 leaves the agreement to decide.
    best = int((score if score.any() else agreement).argmax())
    return float(score[best]), float(agreement[best]), best


def _settled(region: Region, values: list[int], claims: list[_Claim]) -> Region:
    """Give each pixel to one label, or to none."""
    probability = np.stack([claim.probability for claim in claims])
    strength = np.stack([claim.strength for claim in claims])
    best = strength.argmax(axis=0)
    taken = strength.max(axis=0) > 0
    labels = np.where(taken, np.array(values, dtype=region.labels.dtype)[best], 0)
    chosen = np.take_along_axis(probability, best[None], axis=0)[0]
    confidence = np.where(taken, chosen, 1 - probability.max(axis=0))
    return Region(labels.astype(region.labels.dtype), confidence.astype(np.float32))


def _entry(name: str, sam: Sam) -> RefinerEntry:
    def make(settings: RefinerSettings) -> Any:
        model = load_sam(
            name,
            weights=settings.weights,
            device=settings.device,
            store=settings.store,
            cache=settings.cache,
        )
        predictor, extractor = model.predictor, model.extractor  # loaded now, not at a slice

        def on(stack: SliceStack) -> SliceRefiner:
            embeddings = SliceEmbeddings(extractor, stack)
            return SamRefiner(predictor, embeddings, settings.config.prompts, settings.seed)

        return on

    return RefinerEntry(name, sam.spec.summary, sam.available, make)


ENTRIES = {name: _entry(name, sam) for name, sam in SAMS.items()}
