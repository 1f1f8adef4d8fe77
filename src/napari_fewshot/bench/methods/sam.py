"""SAM as a method: by itself, prompted by the truth, and PerSAM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import Field

from ...config import DEFAULT_SAM, AutomaticConfig, IntensityConfig, PerSamConfig, RegionConfig
from ...config.base import StageConfig
from ...errors import InputError, NotFittedError
from ...templates.template import Template
from ...types import Progress, Volume, no_progress
from . import MethodContext, MethodEntry, Predicted, split_settings

if TYPE_CHECKING:
    from ...sam import PersonalSam, SamModel

__all__ = ["OracleSam", "PerSamMethod", "SamEverything"]

Mode = Literal["boxes", "points", "automatic"]


class SamConfig(StageConfig):
    """Which SAM, beside the settings of its mode."""

    sam: str = DEFAULT_SAM
    """``sam-vit-b``, ``sam-vit-l``, ``sam-vit-h`` or ``medsam``."""
    weights: str | None = None
    """Local checkpoint."""
    intensity: IntensityConfig = IntensityConfig()


class EverythingConfig(SamConfig):
    """How instances are compared that nobody has matched with the truth."""

    score: Literal["union", "each"] = "union"
    """union: all of them as one region with all structures as one. each: one by one with all
    structures of the slice as one; scores are means over instances."""


class PerSamSettings(SamConfig):
    """PerSAM learns from masks: what is shown as a point is shown to it as a disk."""

    point_radius: float = Field(default=3.0, gt=0)
    """Radius in pixels, as the segmenter's ``sampling.point_radius``."""


Own = TypeVar("Own", bound=SamConfig)


class _SamMethod(Generic[Own]):
    """A SAM, with settings of its own and those of one of its modes."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        context: MethodContext,
        own: type[Own],
        mode: type[StageConfig],
    ) -> None:
        first, rest = split_settings(settings, own, mode)
        self.sam = own.of(context.with_intensity(first), "settings")
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

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Load the SAM; nothing is learned."""
        self._load()

    def _found(self, run: Callable[..., Any], *given: Volume, **options: Any) -> Any:
        """Labels that one of SAM's modes gives."""
        intensity = self.sam.intensity
        return run(
            *given, sam=self._load(), config=self.config, intensity=intensity, **options
        ).labels


class SamEverything(_SamMethod[EverythingConfig]):
    """SAM's automatic mode as it is: it is shown neither templates nor the truth."""

    def __init__(self, settings: Mapping[str, Any], context: MethodContext) -> None:
        super().__init__(settings, context, EverythingConfig, AutomaticConfig)

    def predict(
        self, volume: Volume, axis: int | str | None, progress: Progress = no_progress
    ) -> Predicted:
        """Find everything in a volume."""
        from ...sam import sam_automatic

        found = self._found(sam_automatic, volume, axis=axis, progress=progress)
        return Predicted(found, scored=self.sam.score)


class OracleSam(_SamMethod[SamConfig]):
    """SAM for somebody who knows where everything is: boxes or points of the truth.

    In automatic mode each instance gets the true label in which more than half of it lies.
    """

    def __init__(self, settings: Mapping[str, Any], context: MethodContext, mode: Mode) -> None:
        config = AutomaticConfig if mode == "automatic" else RegionConfig
        super().__init__(settings, context, SamConfig, config)
        self.mode = mode
        self._truth: Volume | None = None

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
        if self.mode == "automatic":
            found = self._found(sam_automatic, volume, axis=axis, progress=progress)
            return Predicted(match_instances(found, truth.data))
        run = sam_boxes if self.mode == "boxes" else sam_points
        return Predicted(self._found(run, volume, truth, axis=axis, progress=progress))


class PerSamMethod(_SamMethod[PerSamSettings]):
    """PerSAM and PerSAM-F (``fine_tune``)."""

    def __init__(self, settings: Mapping[str, Any], context: MethodContext) -> None:
        super().__init__(settings, context, PerSamSettings, PerSamConfig)
        self._learned: PersonalSam | None = None

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Take the targets from the templates."""
        from ...sam import PersonalSam

        self._learned = PersonalSam.learn(
            list(templates),
            sam=self._load(),
            config=self.config,
            intensity=self.sam.intensity,
            point_radius=self.sam.point_radius,
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
        learns=False,
    ),
    "sam-points": MethodEntry(
        "sam-points",
        "SAM, prompted with a point inside each part of the truth",
        partial(OracleSam, mode="points"),
        oracle=True,
        learns=False,
    ),
    "sam-automatic": MethodEntry(
        "sam-automatic",
        "SAM, segment everything; instances are matched with the truth",
        partial(OracleSam, mode="automatic"),
        oracle=True,
        learns=False,
    ),
    "sam-everything": MethodEntry(
        "sam-everything",
        "SAM, segment everything; instances are compared as they are, without the truth",
        SamEverything,
        learns=False,
    ),
    "persam": MethodEntry("persam", "PerSAM, or PerSAM-F with fine_tune", PerSamMethod),
}
