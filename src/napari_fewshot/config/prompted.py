"""Settings of what SAM does by itself: automatic mode, given boxes and points, PerSAM."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from .base import StageConfig

__all__ = ["BOX_SAM", "DEFAULT_SAM", "AutomaticConfig", "PerSamConfig", "RegionConfig"]

DEFAULT_SAM = "sam-vit-b"
BOX_SAM = "medsam"
"""The one that was trained with boxes alone."""


class AutomaticConfig(StageConfig):
    """Masks of everything in a slice (Kirillov et al. 2023), without the background.

    Parameters
    ----------
    points_per_side : int
        A grid of that many points along each side is prompted, point by point.
    batch : int
        Points that are prompted together.
    iou : float
        Masks of a lower predicted IoU are dropped.
    stability : float
        So are masks whose IoU between a higher and a lower cut-off is lower than this.
    stability_offset : float
        The two cut-offs, as a distance of the logits from 0.
    overlap : float
        Of two masks whose boxes have a higher IoU, the one of lower predicted IoU is dropped.
    min_area, max_area : float
        Smaller and larger masks are dropped; from 1 in pixels, below 1 a share of the slice.
        None for ``max_area``: no limit.
    clean_area : int
        Islands and enclosed holes of fewer pixels are removed from masks.
    on_top : {"smaller", "better"}
        Which of two overlapping masks has the pixels that they share: the smaller one, or the one
        of higher predicted IoU.
    crop_layers : int
        0: the slice as a whole. Layer n adds 2ⁿ × 2ⁿ crops of it, each enlarged to SAM's input.
    crop_overlap : float
        How far crops of the first layer overlap, as a share of the shorter side.
    crop_points : int
        Points along each side of crops are divided by this from layer to layer.
    """

    points_per_side: int = Field(default=32, ge=1, le=256)
    batch: int = Field(default=64, ge=1)
    iou: float = Field(default=0.88, ge=0, le=1)
    stability: float = Field(default=0.95, ge=0, le=1)
    stability_offset: float = Field(default=1.0, gt=0)
    overlap: float = Field(default=0.7, gt=0, le=1)
    min_area: float = Field(default=10, ge=0)
    max_area: float | None = Field(default=0.5, gt=0)
    clean_area: int = Field(default=0, ge=0)
    on_top: Literal["smaller", "better"] = "smaller"
    crop_layers: int = Field(default=0, ge=0, le=4)
    crop_overlap: float = Field(default=512 / 1500, ge=0, lt=1)
    crop_points: int = Field(default=1, ge=1)

    def areas(self, pixels: int) -> tuple[float, float]:
        """Smallest and largest area in pixels of masks in a slice of that many."""
        most = float("inf") if self.max_area is None else _pixels(self.max_area, pixels)
        return _pixels(self.min_area, pixels), most

    @model_validator(mode="after")
    def _check(self) -> Self:
        least, most = self.min_area, self.max_area
        if most is None or (least < 1) != (most < 1) or least <= most:
            return self  # a share and pixels can be compared only where a slice is known
        name, limit, given = "max_area", f"be at least min_area ({least:g})", most
        if name not in self.model_fields_set:  # what was given is at fault, not the default
            name, limit, given = "min_area", f"be at most max_area ({most:g})", least
        fault = PydanticCustomError("area", limit)
        raise ValidationError.from_exception_data(
            type(self).__name__, [{"type": fault, "loc": (name,), "input": f"{given:g}"}]
        )


def _pixels(area: float, pixels: int) -> float:
    return area * pixels if area < 1 else area


class RegionConfig(StageConfig):
    """Prompts out of given regions: the truth (an oracle), or where something was localised.

    Parameters
    ----------
    each : {"component", "label"}
        ``component``: each connected part of a label gets a box, or a point where it is deepest,
        and is prompted alone; ``label``: one box round the label, or its points together.
    several : bool, optional
        Take the best of SAM's three masks, by predicted IoU. None: for points, which are
        ambiguous, and not for boxes.
    margin : float
        What boxes are widened by on each side, as a share of their sides.
    min_area : int
        Components of fewer pixels get no prompt.
    """

    each: Literal["component", "label"] = "component"
    several: bool | None = None
    margin: float = Field(default=0.0, ge=0, le=1)
    min_area: int = Field(default=1, ge=1)


class PerSamConfig(StageConfig):
    """PerSAM and PerSAM-F (Zhang et al. 2023, arXiv:2305.03048).

    Parameters
    ----------
    attention : bool
        Target-guided attention: tokens look where the slice is like the target.
    semantic : bool
        Target-semantic prompting: the target is added to the tokens.
    negative : bool
        The least similar pixel is a negative point, beside the most similar one.
    refinements : int
        Passes after the first: with the mask as prompt, then with its box too.
    fine_tune : bool
        PerSAM-F: two weights that mix SAM's three masks are learned on the template; the first
        pass then takes the positive point alone, without guidance.
    steps : int
        Of learning.
    learning_rate : float
    min_similarity : float, optional
        Slices without a pixel that is this similar to the target get no mask. None, as
        published: the structure is taken to be in every slice.
    """

    attention: bool = True
    semantic: bool = True
    negative: bool = True
    refinements: int = Field(default=2, ge=0, le=10)
    fine_tune: bool = False
    steps: int = Field(default=1000, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    min_similarity: float | None = Field(default=None, ge=-1, le=1)
