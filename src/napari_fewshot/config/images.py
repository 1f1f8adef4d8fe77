"""Settings of what is done to images: grey values, grid, feature extraction."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from .base import StageConfig

__all__ = ["ExtractionConfig", "IntensityConfig", "ResamplingConfig"]


class IntensityConfig(StageConfig):
    """Grey values to 0..1, once per volume.

    ``percentile``: the given percentiles of the finite voxels. ``window``: fixed grey values
    ``low`` and ``high`` (CT: -160 to 240 HU).
    The three channels of RGB share their percentiles; other channels each have their own.
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


class ResamplingConfig(StageConfig):
    """Grid that features are taken from; results always return to the original grid.

    ``inplane``: rows and columns at ``spacing`` mm; ``isotropic``: the slices too.
    """

    mode: Literal["off", "inplane", "isotropic"] = "off"
    spacing: float = Field(default=1.0, gt=0)


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
