"""The embedded network of a model, trained on the templates too: one more expert."""

from __future__ import annotations

from ..adapters.polishing.expert import Head, PolishedExpert
from ..adapters.polishing.trainer import Polishing, Schedule
from ..backbones.embedded import EmbeddedBackbone
from ..config import SegmenterConfig
from ..errors import Cancelled, InputError
from ..features.extract import FeatureExtractor
from ..templates.training_set import TrainingSet
from ..types import Progress

__all__ = ["MORE_STEPS", "STEPS", "check_polishing", "polished"]

STEPS = 200
MORE_STEPS = 60
"""Where a network is there that was polished before."""


def check_polishing(config: SegmenterConfig, training: TrainingSet | None = None) -> None:
    """Raise :class:`InputError` where nothing can be polished, by these settings and templates."""
    if config.backbone != EmbeddedBackbone.spec.name:
        raise InputError(
            "backbone",
            f"be {EmbeddedBackbone.spec.name} to be polished",
            config.backbone,
            "The others are too large for it.",
        )
    if not config.fuses:
        raise InputError(
            "adapter", "be contrastive or classification to be polished beside", config.adapter
        )
    if training is not None and training.point_labels.issuperset(training.label_values):
        raise InputError("templates", "have painted labels to be polished with", "landmarks alone")


def polished(
    config: SegmenterConfig,
    extractor: FeatureExtractor,
    before: PolishedExpert | None,
    training: TrainingSet,
    minutes: float | None,
    progress: Progress,
) -> PolishedExpert | None:
    """Train the network on templates, from where it was ``before``.

    ``extractor`` is that of the backbone as it comes. ``minutes`` are the most that it takes; None:
    those of the settings. When ``progress`` raises :class:`Cancelled`, what is there so far is the
    result; None where that is nothing.

    Raises
    ------
    InputError
        If nothing can be polished, or the minutes are not above 0.
    """
    check_polishing(config, training)
    minutes = config.experts.polish_minutes if minutes is None else minutes
    if not minutes > 0:
        raise InputError("minutes", "be above 0", minutes)
    head = Head.new(config, extractor.device)
    backbone = extractor.backbone
    if before is not None:
        backbone = before.backbone
        head.restore(before.head.state())
    else:
        try:
            maps = training.maps(extractor, progress=progress)
            head.fit(training.examples, maps, training.label_values, progress)
        except Cancelled:
            return None
    if not isinstance(backbone, EmbeddedBackbone):
        raise TypeError("the embedded backbone is another class")
    steps = 0 if before is None else before.steps
    polishing = Polishing(backbone, head, training, config.seed, steps)
    schedule = Schedule(STEPS if before is None else MORE_STEPS, 60 * minutes)
    polishing.run(schedule, progress)
    return before if polishing.steps == steps else polishing.finish()
