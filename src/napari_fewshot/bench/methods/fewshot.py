"""Our segmenter as a method: its settings are those of every stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import NO_REFINEMENT, SegmenterConfig
from ...config.base import StageConfig, merged_settings
from ...templates.template import Template
from ...types import Progress, Volume, no_progress
from . import MethodContext, MethodEntry, Predicted, split_settings

if TYPE_CHECKING:
    from ...predict.refiners import Refiner
    from ...segmenter import FewShotSegmenter, Prediction

__all__ = ["FewShotMethod", "settings_for_task"]


class _Extras(StageConfig):
    """Settings beside those of the segmenter."""

    weights: str | None = None
    """Checkpoint of the backbone."""
    sam_weights: str | None = None
    """Checkpoint of the SAM that refines."""
    binary: bool = False
    """One model for each label against the rest; the most confident one has a pixel."""
    fused: bool = False
    """Predict along the axes that templates are painted along, two at least, and average."""


def settings_for_task(stages: dict[str, Any], *, landmarks: bool) -> dict[str, Any]:
    """Settings of the segmenter; where landmarks are scored, no preset refines where they lie."""
    none = {"propagation": {"refinement": {"method": NO_REFINEMENT}}}
    return merged_settings(none, stages) if landmarks and "preset" in stages else stages


class FewShotMethod:
    """The few-shot segmenter.

    ``settings`` are sections of :class:`~napari_fewshot.config.SegmenterConfig`, and
    ``weights``, ``sam_weights``, ``binary``, ``fused``.
    """

    def __init__(self, settings: Mapping[str, Any], context: MethodContext) -> None:
        extras, stages = split_settings(settings, _Extras, SegmenterConfig)
        self.extras = _Extras.of(extras, "settings")
        self.context = context
        stages = settings_for_task(stages, landmarks=context.landmarks)
        self._given = {"seed": context.seed, **context.with_intensity(stages)}
        if context.per_label > 1:
            wanted = {"propagation": {"landmarks": {"per_label": context.per_label}}}
            self._given = merged_settings(wanted, self._given)
        self._models: dict[int | None, FewShotSegmenter] = {None: self._unfitted()}
        self._refiner: Refiner | None = None

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Learn all labels together, or each against the rest."""
        model = self._models[None]
        self._refiner = model.load_refiner(None, self.extras.sam_weights)
        if not self.extras.binary:
            model.fit(list(templates), progress)
            return
        self._models = {}
        for value in sorted({v for t in templates for v in t.painted_values()}):
            parts = [_one_label(template, value) for template in templates]
            here = [part for part in parts if part is not None]
            self._models[value] = model.with_settings().fit(here, progress)

    def predict(
        self, volume: Volume, axis: int | str | None, progress: Progress = no_progress
    ) -> Predicted:
        """Label a volume."""
        found = [self._predict(model, volume, axis, progress) for model in self._models.values()]
        if len(found) == 1:
            return Predicted(found[0].labels, found[0].landmarks)
        labels, best = np.zeros(volume.shape, np.int32), np.zeros(volume.shape, np.float32)
        for one in found:
            wins = (one.labels > 0) & (one.confidence > best)
            labels[wins], best[wins] = one.labels[wins], one.confidence[wins]
        return Predicted(labels, tuple(mark for one in found for mark in one.landmarks))

    def _predict(
        self, model: FewShotSegmenter, volume: Volume, axis: int | str | None, progress: Progress
    ) -> Prediction:
        return model.predict(
            volume,
            axis="fused" if self.extras.fused and volume.ndim == 3 else axis,
            landmarks=self.context.landmarks,
            refine=self._refiner,
            progress=progress,
        )

    def _unfitted(self) -> FewShotSegmenter:
        from ...segmenter import FewShotSegmenter

        return FewShotSegmenter(
            weights=self.extras.weights,
            device=self.context.device,
            store=self.context.store,
            cache=self.context.cache,
            **self._given,
        )


def _one_label(template: Template, value: int) -> Template | None:
    """One label of a template against the rest; None where nothing is known of it."""
    if value in template.painted_values():
        return template.only(value)
    labels = template.label_volume
    if labels is None:
        return None
    slices = template.painted_slices() if template.slices in (None, "painted") else template.slices
    return replace(
        template,
        labels=labels.with_data(np.zeros_like(labels.data), names={}),
        slices=slices,
        known_labels=(value,),
        axis=None if template.volume.ndim == 2 else template.file_axis(),
        points=(),
        names={},
    )


ENTRIES = {
    "fewshot": MethodEntry(
        "fewshot", "our segmenter, with settings of any of its stages", FewShotMethod
    )
}
