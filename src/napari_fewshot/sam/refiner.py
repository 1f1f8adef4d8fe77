"""Refinement by prompts: the localised region asks SAM, and SAM's mask becomes the label."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import PromptConfig
from ..predict.refiners import RefinerEntry, RefinerSettings, Region, SliceRefiner
from ..slices.stack import SliceStack
from ..types import Array
from .checkpoint import SAMS, Sam
from .model import SliceEmbeddings, load_sam
from .predictor import SamPredictor
from .prompts import region_prompts
from .regions import LabelCanvas

__all__ = ["SamRefiner"]

_CONFIDENT = 0.9
"""Confidence of background from which negative points are drawn."""


class SamRefiner:
    """Prompts SAM label by label, slice by slice.

    The published method ("Data Adaptive Few-shot Multi Label Segmentation with Foundation
    Model", section 2) draws ten random pixels of the region of a label in a slice, fewer where it
    is smaller; :class:`~napari_fewshot.config.PromptConfig` has the others. Of SAM's three masks
    the one of the highest score is taken: the IoU that SAM predicts, times its agreement (IoU) with
    the region unless the setting ``choice`` says otherwise. A pixel that several labels claim goes
    to the one whose mask has the higher score times probability there. A label whose mask
    agrees less than the setting ``agreement`` with its region keeps the region, with its confidence
    as the strength of its claim. MedSAM makes one mask and predicts no IoU, which counts as 1.

    Random prompts depend on ``seed``, on the slice and on the label alone. ``embeddings`` are
    those of the stack.
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
        embedding, config = self._embeddings[index], self._config
        background = (region.labels == 0) & (region.confidence >= _CONFIDENT)
        canvas = LabelCanvas(region.labels.shape, region.labels.dtype)
        for value in values:
            inside = region.labels == value
            outside = background | ((region.labels != 0) & ~inside)
            rng = np.random.default_rng([self._seed, index, value % 2**32])
            shape = (inside.shape[0], inside.shape[1])
            for part, prompt in region_prompts(inside, outside, config, self._predictor, rng):
                agreement = -1.0
                if prompt is not None:
                    found = self._predictor.predict(embedding, shape, prompt)
                    predicted = self._predictor.trusted(found.iou[0])
                    score, agreement, best = _best(part, found.logits[0], predicted, config.choice)
                if prompt is None or agreement < config.agreement:
                    canvas.keep(value, part, region.confidence)
                else:
                    canvas.put(value, found.logits[0, best], score)
        return Region(canvas.labels, canvas.confidence)


def _best(region: Array, logits: Array, predicted: Array, choice: str) -> tuple[float, float, int]:
    """Score, agreement and number of the mask to take, of M masks of shape (M, H, W)."""
    masks = logits > 0
    both = (masks & region).sum(axis=(1, 2))
    either = (masks | region).sum(axis=(1, 2))
    agreement = both / np.maximum(either, 1)
    score = predicted if choice == "predicted-iou" else agreement * np.clip(predicted, 0, 1)
    # A head that predicts no IoU above 0 leaves the agreement to decide.
    best = int((score if score.any() else agreement).argmax())
    return float(score[best]), float(agreement[best]), best


def _entry(name: str, sam: Sam) -> RefinerEntry:
    def make(settings: RefinerSettings) -> Any:
        model = load_sam(
            name,
            weights=settings.weights,
            device=settings.device,
            store=settings.store,
            cache=settings.cache,
            instead="refine with random-walker, which needs no download",
        )
        predictor, extractor = model.predictor, model.extractor  # loaded now, not at a slice

        def on(stack: SliceStack) -> SliceRefiner:
            embeddings = SliceEmbeddings(extractor, stack)
            return SamRefiner(predictor, embeddings, settings.config.prompts, settings.seed)

        return on

    return RefinerEntry(name, sam.spec.summary, sam.available, make)


ENTRIES = {name: _entry(name, sam) for name, sam in SAMS.items()}
