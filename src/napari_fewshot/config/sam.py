"""Settings of SAM without an adapter: automatic mode, boxes and points, PerSAM, tuning."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from .base import StageConfig

__all__ = [
    "BOX_SAM",
    "DEFAULT_SAM",
    "AutomaticConfig",
    "PerSamConfig",
    "RegionConfig",
    "TuneConfig",
]

DEFAULT_SAM = "sam-vit-b"
BOX_SAM = "medsam"
"""The one that was trained with boxes alone."""


class AutomaticConfig(StageConfig):
    """Masks of everything in a slice (Kirillov et al. 2023), without the background."""

    points_per_side: int = Field(default=32, ge=1, le=256, title="Points")
    """A grid of that many points along each side is prompted, point by point."""
    batch: int = Field(default=64, ge=1, json_schema_extra={"unit": "points"})
    """Points that are prompted together."""
    iou: float = Field(
        default=0.88, ge=0, le=1, title="Least IoU", json_schema_extra={"step": 0.02}
    )
    """Masks of a lower predicted IoU are dropped."""
    stability: float = Field(default=0.95, ge=0, le=1, json_schema_extra={"step": 0.01})
    """Masks with vague edges are dropped: those whose IoU between a higher and a lower cut-off is
    lower than this."""
    stability_offset: float = Field(default=1.0, gt=0)
    """The two cut-offs of the stability, as a distance of the logits from 0."""
    overlap: float = Field(default=0.7, gt=0, le=1)
    """Of two masks whose boxes have a higher IoU, the one of lower predicted IoU is dropped."""
    min_area: float = Field(default=10, ge=0, title="Smallest")
    """Smaller masks are dropped; from 1 in pixels, below 1 a fraction of the slice."""
    max_area: float | None = Field(default=0.5, gt=0, title="Largest")
    """Larger masks are dropped; from 1 in pixels, below 1 a fraction of the slice. None: no
    limit."""
    clean_area: int = Field(default=0, ge=0, json_schema_extra={"unit": "pixels"})
    """Smaller islands and enclosed holes are removed from masks."""
    on_top: Literal["smaller", "better"] = "smaller"
    """Which of two overlapping masks has the pixels that they share: the smaller one, or the one of
    higher predicted IoU."""
    crop_layers: int = Field(default=0, ge=0, le=4)
    """0: the slice as a whole. Layer n adds 2ⁿ × 2ⁿ crops of it, each enlarged to SAM's input."""
    crop_overlap: float = Field(default=512 / 1500, ge=0, lt=1)
    """How far crops of the first layer overlap, as a fraction of the shorter side."""
    crop_points: int = Field(default=1, ge=1)
    """Points along each side of crops are divided by this from layer to layer."""

    def areas(self, pixels: int) -> tuple[float, float]:
        """Smallest and largest area in pixels of masks in a slice of that many."""
        largest = float("inf") if self.max_area is None else _pixels(self.max_area, pixels)
        return _pixels(self.min_area, pixels), largest

    @model_validator(mode="after")
    def _check(self) -> Self:
        smallest, largest = self.min_area, self.max_area
        if largest is None or (smallest < 1) != (largest < 1) or smallest <= largest:
            return self  # a fraction and pixels can be compared only where a slice is known
        name, limit, given = "max_area", f"be at least min_area ({smallest:g})", largest
        if name not in self.model_fields_set:  # what was given is at fault, not the default
            name, limit, given = "min_area", f"be at most max_area ({largest:g})", smallest
        fault = PydanticCustomError("area", limit)
        raise ValidationError.from_exception_data(
            type(self).__name__, [{"type": fault, "loc": (name,), "input": f"{given:g}"}]
        )


def _pixels(area: float, pixels: int) -> float:
    return area * pixels if area < 1 else area


class RegionConfig(StageConfig):
    """Prompts out of given regions: the truth (an oracle), or where something was localised."""

    each: Literal["component", "label"] = "component"
    """component: each connected part of a label gets a box (published), or a point where it is
    deepest, and is prompted by itself. label: one box round the label, or its points together in
    one prompt (published)."""
    several: bool | None = None
    """Take the best of SAM's three masks, by predicted IoU. None: for points, which are ambiguous,
    and not for boxes."""
    margin: float = Field(default=0.0, ge=0, le=1)
    """What boxes are widened by on each side, as a fraction of their sides."""
    min_area: int = Field(default=1, ge=1, json_schema_extra={"unit": "pixels"})
    """Smaller components get no prompt."""


class PerSamConfig(StageConfig):
    """PerSAM and PerSAM-F (Zhang et al. 2023, arXiv:2305.03048)."""

    attention: bool = True
    """Target-guided attention: tokens look where the slice is like the target."""
    semantic: bool = True
    """Target-semantic prompting: the target is added to the tokens."""
    negative: bool = True
    """The least similar pixel is a negative point, beside the most similar one."""
    refinements: int = Field(default=2, ge=0, le=10)
    """Passes after the first: with the mask as prompt, then with its box too."""
    fine_tune: bool = False
    """PerSAM-F: two weights that mix SAM's three masks are learned on the template; the first pass
    then takes the positive point alone, without guidance."""
    steps: int = Field(default=1000, ge=1)
    """Steps of that learning."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Learning rate of it."""
    min_similarity: float | None = Field(default=None, ge=-1, le=1)
    """Slices without a pixel that is this similar to the target get no mask. None, as published:
    the structure is taken to be in every slice."""


class TuneConfig(StageConfig):
    """The mask decoder of a SAM, tuned on painted slices that points and boxes prompt for."""

    prompts: Literal["both", "boxes", "points"] = "both"
    """What prompts in training: boxes round connected parts of labels, random points in them, or
    one or the other in each step."""
    steps: int = Field(default=400, ge=1, json_schema_extra={"step": 100})
    """Steps of training, each on the parts of one slice."""
    learning_rate: float = Field(default=3e-4, gt=0, json_schema_extra={"step": 0.0001})
    """Learning rate of Adam."""
    points: int = Field(default=10, ge=1)
    """Most points in a part: half of the prompts of points are a single one, the others any
    number up to this."""
    jitter: float = Field(default=0.1, ge=0, le=1, json_schema_extra={"step": 0.05})
    """How far edges of boxes are off: standard deviation, as a fraction of the side."""
    focal_loss: float = Field(default=20.0, ge=0)
    """Weight of the focal loss beside that of the Dice loss, as SAM was trained."""
    min_area: int = Field(default=10, ge=1, json_schema_extra={"unit": "pixels"})
    """Smaller parts prompt for nothing."""
    hold_out: bool = True
    """With three painted slices or more, keep one out of the training (a volume, with three volumes
    or more), to tell the Dice before and after."""
    seed: int = Field(default=0, ge=0)
    """Seed of what is drawn."""
