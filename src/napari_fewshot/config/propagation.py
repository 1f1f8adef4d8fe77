"""Settings from a fitted adapter to labels: smoothing, components, landmarks, refinement."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from .base import StageConfig

__all__ = [
    "NO_REFINEMENT",
    "CleanupConfig",
    "LandmarkConfig",
    "PromptConfig",
    "PropagationConfig",
    "RefinementConfig",
    "Tolerance",
    "WalkerConfig",
]


NO_REFINEMENT = "none"
"""How text says that nothing is refined: in a file of settings, on the command line."""


class CleanupConfig(StageConfig):
    """Connected components of each predicted label."""

    dimensions: Literal[2, 3] = Field(default=3, title="Parts in")
    """3: components of the volume; 2: components of each slice."""
    min_size: int = Field(default=0, ge=0, title="Smallest", json_schema_extra={"step": 10})
    """Connected parts with fewer pixels or voxels are removed; 0 keeps all."""
    min_fraction: float = Field(
        default=0.0, ge=0, le=1, title="Smallest fraction", json_schema_extra={"step": 0.05}
    )
    """Connected parts of at most this fraction of the largest one of their label (in each slice,
    with 2 dimensions) are removed: 0 keeps all, 1 the largest alone."""
    connectivity: int = Field(default=1, ge=1, le=3)
    """Voxels touch across faces (1), edges too (2) or corners too (3, volumes only)."""

    @property
    def changes_labels(self) -> bool:
        """Whether there is a rule that may remove a component."""
        return self.min_size > 1 or self.min_fraction > 0


@dataclass(frozen=True)
class Tolerance:
    """A distance: in mm, in pixels, or in hundredths of the longest side of the image."""

    value: float
    unit: str

    UNITS: ClassVar = ("mm", "%", "px")

    @classmethod
    def of(cls, text: str) -> Tolerance:
        """Read one; ValueError where it is none."""
        for unit in cls.UNITS:
            if text.endswith(unit):
                with suppress(ValueError):
                    value = float(text.removesuffix(unit))
                    if 0 < value < math.inf:
                        return cls(value, unit)
        raise ValueError("be a distance above 0 in mm, % or px, e.g. 2mm, 5%, 10px")


class LandmarkConfig(StageConfig):
    """Points per label."""

    source: Literal["probabilities", "labels"] = "probabilities"
    """probabilities: places where a label is most probable. labels (published): centres of the
    connected parts of the cleaned labels, the largest first, whatever their score, distance and
    arrangement."""
    per_label: int = Field(default=1, ge=1)
    """Most points for one label."""
    min_score: float = Field(default=0.3, ge=0, le=1)
    """Lowest probability of a point."""
    tolerance: str = "5%"
    """The score of a landmark that is placed by appearance and arrangement is the probability that
    it lies within this distance: in mm, in px, or in % of the longest side of the image."""
    min_distance: float = Field(default=5.0, gt=0, json_schema_extra={"unit": "mm"})
    """Smallest distance of two points of one label."""
    arrangement: bool = True
    """Landmarks that were learned as points, one of each, are placed together, by what they look
    like and how they lie to each other in the templates."""

    @field_validator("tolerance")
    @classmethod
    def _check_tolerance(cls, text: str) -> str:
        Tolerance.of(text)
        return text


class WalkerConfig(StageConfig):
    """Random walker with prior models (Grady 2005, 2006), which also compares appearance."""

    confidence: float = Field(default=0.9, ge=0, le=1)
    """Pixels of at least this confidence keep their label."""
    appearance: float = Field(default=0.07, ge=0, le=10)
    """How much it counts, beside the prediction, what pixels nearby look like; 0: not."""
    sigma: float = Field(default=3.0, gt=0, le=20, json_schema_extra={"unit": "pixels"})
    """How far away appearance is compared: standard deviation of a Gaussian."""
    contrast: float = Field(default=0.03, gt=0)
    """Grey values (0..1) that differ by this much look different; where there is noise, by as much
    more."""
    beta: float = Field(default=10.0, gt=0)
    """How much a step across an edge of the image costs."""
    prior_weight: float = Field(default=3.0, gt=0)
    """How much pixels hold to their own label, against the pull of their neighbours."""


class PromptConfig(StageConfig):
    """Prompts that SAM gets for a region."""

    strategy: Literal["random", "components", "box", "boxes", "box-points", "mask"] = Field(
        default="random", title="Prompts"
    )
    """random: pixels of the region, drawn at random (published: ten of them). components: of each
    component the pixel that lies deepest. box: a box round the region. boxes: one round each
    component, each prompted alone. box-points: a box round the region and random pixels of it.
    mask: the region itself, as SAM's low-resolution mask, with its deepest pixel. MedSAM, which was
    trained with boxes alone, gets a box for any of them but boxes."""
    points: int = Field(default=10, ge=1, le=1000)
    """Pixels of the region that random and box-points draw."""
    negatives: int = Field(default=0, ge=0, le=1000)
    """Negative points, drawn from other labels and from confident background."""
    margin: float = Field(default=0.05, ge=0, le=1)
    """What boxes are widened by on each side, as a fraction of their sides."""
    min_area: int = Field(default=4, ge=1, json_schema_extra={"unit": "pixels"})
    """Smaller components get no prompt of their own; with boxes they stay as they are."""
    choice: Literal["agreement", "predicted-iou"] = Field(default="agreement", title="Mask")
    """Which of SAM's three masks is taken. agreement: that of the highest IoU with the region times
    predicted IoU. predicted-iou (published): that of the highest IoU that SAM predicts."""
    agreement: float = Field(default=0.5, ge=0, le=1, json_schema_extra={"step": 0.05})
    """A region keeps its shape where the chosen mask has a smaller IoU with it: SAM then meant
    another structure. 0 (published): the region takes the mask whatever it is."""


class RefinementConfig(StageConfig):
    """What follows localisation: prompts to SAM, or a method that needs no download."""

    method: str | None = None
    """random-walker, a SAM (sam-vit-b, sam-vit-l, sam-vit-h, medsam), or auto: SAM where its
    weights are on this machine, else the random walker. None, also written none: no refinement."""
    landmarks: bool = True
    """Labels that were learned as landmarks are refined like the others (published: no)."""
    prompts: PromptConfig = PromptConfig()
    """Prompts that SAM gets."""
    walker: WalkerConfig = WalkerConfig()
    """Of the random walker."""

    @field_validator("method", mode="before")
    @classmethod
    def _read_none(cls, value: Any) -> Any:
        return None if value == NO_REFINEMENT else value


class PropagationConfig(StageConfig):
    """Probabilities over the slices of a volume, then clean labels."""

    smoothing: float = Field(default=1.0, ge=0, le=20, json_schema_extra={"unit": "pixels"})
    """Standard deviation of a Gaussian over the probabilities; 0: none. Across slices it is as wide
    in mm, but one slice at most, and none where slices lie nearer to each other than a quarter of a
    pixel."""
    resolution: Literal["pixels", "tokens"] = "pixels"
    """Where the adapter works: on features interpolated to pixels, or on the token grid, whose
    probabilities are then interpolated."""
    cleanup: CleanupConfig = CleanupConfig()
    """Connected components of each label."""
    landmarks: LandmarkConfig = LandmarkConfig()
    """Points of each label."""
    refinement: RefinementConfig = RefinementConfig()
    """Of the labels, after their components are cleaned."""
