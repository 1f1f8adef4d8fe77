"""Settings chosen by the score on held-out templates."""

from __future__ import annotations

from collections.abc import Sequence

from ..templates.template import Template
from ..types import Progress, no_progress
from .score import HeldOutScore
from .segmenter import FewShotSegmenter

__all__ = ["fit_with_best_position"]


def fit_with_best_position(
    model: FewShotSegmenter,
    templates: Template | Sequence[Template],
    progress: Progress = no_progress,
) -> tuple[FewShotSegmenter, dict[bool, HeldOutScore | None]]:
    """Fit with and without position, and keep what predicts held-out templates better.

    Position helps where patients lie alike and hurts where pose varies; templates of several
    volumes tell which it is. With fewer than two template slices nothing can be held out, and the
    setting stays as it is. ``model`` gives settings and device; it is not fitted itself.

    Returns the segmenter that is fitted to all templates, and the scores with (True) and without
    (False) position; None where nothing can be held out.
    """
    fits: dict[bool, FewShotSegmenter] = {}
    scores: dict[bool, HeldOutScore | None] = {}
    for use in (model.config.position.use, not model.config.position.use):
        fits[use] = model.with_settings(position={"use": use}).fit(templates, progress)
        scores[use] = fits[use].held_out_score(progress)
    best = max(fits, key=lambda use: _mean(scores[use]))  # the first where they are equal
    return fits[best], scores


def _mean(score: HeldOutScore | None) -> float:
    mean = float("nan") if score is None else score.for_comparison
    return mean if mean == mean else -1.0
