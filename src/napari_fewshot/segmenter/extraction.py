"""Features ahead of their use: of template slices, and of a volume that is to be labelled."""

from __future__ import annotations

from collections.abc import Sequence

from ..slices.axis import working_axis
from ..slices.stack import SliceStack
from ..templates.template import Template
from ..templates.training_set import TrainingSet
from ..types import Progress, SliceFeatures, Volume, joint_progress, no_progress
from .segmenter import FewShotSegmenter

__all__ = ["extract_features"]


def extract_features(
    model: FewShotSegmenter,
    templates: Sequence[Template],
    volume: Volume | None = None,
    axis: int | str | None = None,
    progress: Progress = no_progress,
) -> int:
    """Encode slices into the cache and the store of a segmenter, which need not be fitted.

    The known slices of the templates come first; then all slices of ``volume``, along ``axis``
    (None: that of the first template), unless nothing could keep them: features that are not stored
    and are larger than what is free in the cache. ``progress`` may raise ``Cancelled``: what is
    encoded is kept.

    Returns the number of slices whose features of the backbone are there now; hand-made ones come
    behind these. :class:`InputError` if the templates do not go together, :class:`WeightsError` if
    the weights cannot be had.
    """
    training = TrainingSet.of(templates, model.config)
    stack, rest = training.stacks[0], range(0)
    if volume is not None:
        config = model.config
        along = working_axis(volume, axis, training.axes[0])
        stack = SliceStack(volume, along, config.intensity, config.resampling)
        rest = range(len(stack))
    known, extractors = len(training.examples), model.extractors(training)
    counters = iter(joint_progress([known, len(rest)] * len(extractors), progress))
    counts = []
    for extractor in extractors:
        first, then = next(counters), next(counters)
        done = sum(_encoded(features) > 0 for features in training.maps(extractor, progress=first))
        for index, features in extractor.maps(stack, rest):
            size = _encoded(features)
            then(index + 1, len(rest), "features")
            done += 1
            if extractor.store is None and not _fits(model, len(rest) * 2 * size):
                break
        counts.append(done)
    return counts[0]


def _encoded(features: SliceFeatures) -> int:
    """Number of values of features, all of which are there now."""
    return sum(part.data.size for part in features.parts())


def _fits(model: FewShotSegmenter, needed: int) -> bool:
    return model.cache is not None and needed <= model.cache.limit
