"""Settings of the separation of objects."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import StageConfig

__all__ = ["ObjectsConfig"]


class ObjectsConfig(StageConfig):
    """Touching objects of a label are cut where they are narrow."""

    by: Literal["volume", "slices"] = "volume"
    """volume: in all three dimensions at once. slices: slice by slice, and objects that overlap in
    neighbouring slices are one."""
    neck: float = Field(default=0.9, gt=0, le=1, json_schema_extra={"step": 0.05})
    """Two parts are separate where what joins them is narrower than this share of the narrower
    one. Lower: fewer cuts; 1: at every waist."""
    sigma: float = Field(default=2.0, ge=0, title="Smoothing", json_schema_extra={"step": 0.5})
    """Width of the smoothing of the distance to the border before peaks are sought, in pixels of
    the finest spacing; at most a quarter of the largest distance of a part."""
    borders: Literal["dark", "bright"] = "dark"
    """How borders between objects look in an image that is given: darker or brighter than the
    objects."""
    overlap: float = Field(default=0.5, gt=0, le=1, json_schema_extra={"step": 0.05})
    """Least share of the smaller of two outlines in neighbouring slices that lies in the other one,
    for both to be one object (slices only)."""
    min_size: float | str = Field(default=0, title="Smallest")
    """Smaller objects are left out, and become a part of one that they touch: voxels (pixels in
    2D), or with a unit, such as 50um3, 0.2mm3, 9um2."""
    max_size: float | str | None = Field(default=None, title="Largest")
    """Larger objects are left out, in the same units. None: no limit."""
    connectivity: int = Field(default=1, ge=1, le=3)
    """Voxels touch across faces (1), edges too (2) or corners too (3, volumes only)."""
