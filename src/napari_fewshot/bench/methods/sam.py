"""SAM as a method: by itself, prompted by the truth, and PerSAM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ...config import DEFAULT_SAM, AutomaticConfig, IntensityConfig, PerSamConfig, RegionConfig
from ...config.base import StageConfig
from ...errors import InputError, NotFittedError
from ...templates.template import Template
from ...types import Progress, Volume, no_progress
from . import MethodContext, MethodEntry, Predicted, split_settings

if TYPE_CHECKING:
    from ...sam import PersonalSam, SamModel

__all__ = ["OracleSam", "PerSamMethod"]

Mode = Literal["boxes", "points", "automatic"]


class SamConfig(StageConfig):
    """Which SAM, beside the settings of its mode."""

    sam: str = DEFAULT_SAM
    """``sam-vit-b``, ``sam-vit-l``, ``sam-vit-h`` or ``medsam``."""
    weights: str | None = None
    """Local checkpoint."""
    intensity: IntensityConfig = IntensityConfig()


class _SamMethod:
    """A SAM, with the settings of one of its modes."""

    def __init__(
        self, settings: Mapping[str, Any], context: MethodContext, mode: type[StageConfig]
    ) -> None:
        own, rest = split_settings(settings, SamConfig, mode)
        self.sam = SamConfig.of(context.with_intensity(own), "settings")
        self.config: Any = mode.of(rest, "settings")
        self.context = context
        self._loaded: SamModel | None = None

    def _load(self) -> SamModel:
        from ...sam import load_sam

        if self._loaded is None:
            context = self.context
            self._loaded = load_sam(
                self.sam.sam,
                weights=self.sam.weights,
                device=context.device,
                store=context.store,
                cache=context.cache,
            )
        return self._loaded


class OracleSam(_SamMethod):
    """SAM for somebody who knows where everything is: boxes or points of the truth.

    In automatic mode each instance gets the true label in which more than half of it lies.
    """

    def __init__(self, settings: Mapping[str, Any], context: MethodContext, mode: Mode) -> None:
        super().__init__(
            settings, context, AutomaticConfig if mode == "automatic" else RegionConfig
        )
        self.mode = mode
        self._truth: Volume | None = None

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Load the SAM; nothing is learned."""
        self._load()

    def show(self, truth: Volume | None) -> None:
        """Take the truth of the case that is predicted next."""
        self._truth = truth

    def predict(
        self, volume: Volume, axis: int | str | None, progress: Progress = no_progress
    ) -> Predicted:
        """Label a volume, having seen its truth."""
        from ...metrics.contingency import match_instances
        from ...sam import sam_automatic, sam_boxes, sam_points

        truth = self._truth
        if truth is None:
            raise InputError("method", "be shown label maps", "no labels", "Compare it on labels.")
        options: dict[str, Any] = {
            "sam": self._load(),
            "config": self.config,
            "axis": axis,
            "intensity": self.sam.intensity,
            "progress": progress,
        }
        if self.mode == "automatic":
            found = sam_automatic(volume, **options)
            return Predicted(match_instances(found.labels, truth.data))
        run = sam_boxes if self.mode == "boxes" else sam_points
        return Predicted(run(volume, truth, **options).labels)


class PerSamMethod(_SamMethod):
    """PerSAM and PerSAM-F (``fine_tune``)."""

    def __init__(self, settings: Mapping[str, Any], context: MethodContext) -> None:
        super().__init__(settings, context, PerSamConfig)
        self._learned: PersonalSam | None = None

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Take the targets from the templates."""
        from ...sam import PersonalSam

        self._learned = PersonalSam.learn(
            list(templates),
            sam=self._load(),
            config=self.config,
            intensity=self.sam.intensity,
            progress=progress,
        )

    def predict(
        self, volume: Volume, axis: int | str | None, progress: Progress = no_progress
    ) -> Predicted:
        """Label a volume."""
        if self._learned is None:
            raise NotFittedError("PerSAM has seen no template yet.")
        return Predicted(self._learned.segment(volume, axis=axis, progress=progress).labels)


ENTRIES = {
    "sam-boxes": MethodEntry(
        "sam-boxes",
        "SAM, prompted with boxes round the truth",
        partial(OracleSam, mode="boxes"),
        oracle=True,
    ),
    "sam-points": MethodEntry(
        "sam-points",
        "SAM, prompted with a point inside each part of the truth",
        partial(OracleSam, mode="points"),
        oracle=True,
    ),
    "sam-automatic": MethodEntry(
        "sam-automatic",
        "SAM, segment everything; instances are matched with the truth",
        partial(OracleSam, mode="automatic"),
        oracle=True,
    ),
    "persam": MethodEntry("persam", "PerSAM, or PerSAM-F with fine_tune", PerSamMethod),
}
