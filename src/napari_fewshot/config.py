"""Settings of every stage: frozen, validated, saved with the model.

Each default lives here and nowhere else. Unknown keys are refused, and every configuration
round-trips through JSON (``model_dump`` and ``model_validate`` of pydantic).
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import InputError, UnknownNameError

__all__ = [
    "ClassificationConfig",
    "CleanupConfig",
    "ContrastiveConfig",
    "CosineConfig",
    "ExtractionConfig",
    "IntensityConfig",
    "LandmarkConfig",
    "PositionConfig",
    "PropagationConfig",
    "SamplingConfig",
    "StageConfig",
]


class StageConfig(BaseModel):
    """Base of all settings: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def of(cls, value: Self | dict[str, Any] | None, parameter: str) -> Self:
        """Take a configuration as it is, or build one from a dict (None: the defaults).

        Raises
        ------
        UnknownNameError
            If the dict has a key that is no setting.
        InputError
            If a value breaks its limit.
        """
        if isinstance(value, cls):
            return value
        if value is not None and not isinstance(value, dict):
            raise InputError(parameter, f"be a {cls.__name__} or a dict", value)
        try:
            return cls.model_validate(value or {})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or cls.__name__
            if first["type"] == "extra_forbidden":
                raise UnknownNameError(parameter, name, cls.model_fields) from None
            message = str(first["msg"])
            constraint = message.removeprefix("Value error, ").removeprefix("Input should ")
            raise InputError(f"{parameter}.{name}", constraint, first["input"]) from None


class IntensityConfig(StageConfig):
    """Grey values to 0..1, once per volume.

    ``percentile``: the given percentiles of the finite voxels. ``window``: fixed grey values
    ``low`` and ``high`` (CT: -160 to 240 HU). 8-bit RGB is divided by 255 in either mode.
    """

    mode: Literal["percentile", "window"] = "percentile"
    low: float = 0.5
    high: float = 99.5

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError("have low < high")
        if self.mode == "percentile" and not (0 <= self.low and self.high <= 100):
            raise ValueError("have percentiles within 0..100")
        return self


class ExtractionConfig(StageConfig):
    """Slices to feature maps.

    Parameters
    ----------
    blocks : int
        Last blocks of a transformer whose outputs are joined.
    min_tokens : int
        A slice is enlarged until its shorter side has this many tokens (token grids only).
    max_side : int
        Largest side of an encoded tile in input pixels; larger slices are cut into tiles.
    overlap : float
        Share of a tile that overlaps with its neighbour; blended linearly.
    batch : int
        Slices encoded at once; halved on out-of-memory.
    precision : {"auto", "float32", "bfloat16", "float16"}
        ``auto``: bfloat16 for transformers on CPUs that have it, float16 on CUDA, else float32.
    """

    blocks: int = Field(default=1, ge=1, le=24)
    min_tokens: int = Field(default=32, ge=4, le=256)
    max_side: int = Field(default=784, ge=64)
    overlap: float = Field(default=0.25, ge=0.0, lt=0.9)
    batch: int = Field(default=4, ge=1)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


class SamplingConfig(StageConfig):
    """Pixels taken out of templates.

    Parameters
    ----------
    pixels_per_label : int
        Most pixels of one label, over all template slices.
    background_factor : float
        Background pixels for each foreground pixel; 1 is the published balance for one label.
    point_radius : float
        Radius in pixels of the disk that stands for a landmark.
    """

    pixels_per_label: int = Field(default=4000, ge=10)
    background_factor: float = Field(default=1.0, gt=0)
    point_radius: float = Field(default=3.0, gt=0)


class PositionConfig(StageConfig):
    """Normalised position as additional features; it can hurt where pose varies."""

    use: bool = True
    weight: float = Field(default=1.0, gt=0)


class CosineConfig(StageConfig):
    """Cosine similarity to the mean template feature of a label."""

    threshold: float = Field(default=0.5, gt=-1, lt=1)


class ClassificationConfig(StageConfig):
    """Three-layer feed-forward network, cross-entropy."""

    hidden: int = Field(default=128, ge=4)
    steps: int = Field(default=600, ge=1)


class ContrastiveConfig(StageConfig):
    """Siamese network over pairs of pixels with shared weights."""

    head: Literal["concat", "bilinear"] = "bilinear"
    hidden: int = Field(default=128, ge=4)
    depth: int = Field(default=2, ge=1)
    steps: int = Field(default=800, ge=1)
    references: int = Field(default=64, ge=1)


class CleanupConfig(StageConfig):
    """Connected components of each predicted label.

    Parameters
    ----------
    dimensions : {2, 3}
        Components within a slice (2) or in the volume (3).
    min_size : int
        Smallest component kept, in pixels or voxels; 0 keeps all.
    largest_only : bool
        Keep one component for each label (and slice, with 2 dimensions).
    connectivity : int
        Voxels touch across faces (1), edges too (2) or corners too (3, volumes only).
    """

    dimensions: Literal[2, 3] = 3
    min_size: int = Field(default=0, ge=0)
    largest_only: bool = False
    connectivity: int = Field(default=1, ge=1, le=3)


class LandmarkConfig(StageConfig):
    """Points per label.

    Parameters
    ----------
    per_label : int
        Most points for one label.
    min_score : float
        Lowest probability of a point.
    min_distance : float
        Smallest distance of two points of one label in mm.
    """

    per_label: int = Field(default=1, ge=1)
    min_score: float = Field(default=0.3, ge=0, le=1)
    min_distance: float = Field(default=5.0, gt=0)


class PropagationConfig(StageConfig):
    """Probabilities over the slices of a volume, then clean labels."""

    cleanup: CleanupConfig = CleanupConfig()
    landmarks: LandmarkConfig = LandmarkConfig()
