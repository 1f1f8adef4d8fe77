"""Sizes in units of length: which one a grid speaks of, and how it is written in a column."""

from __future__ import annotations

import math
import re
from typing import Literal, get_args

from ..errors import InputError
from ..types import Volume

__all__ = ["LengthUnit", "Unit", "length_unit", "parse_size", "resolve_unit", "size_name"]

LengthUnit = Literal["mm", "um"]
Unit = Literal["auto", "mm", "um", "pixels"]
"""``pixels``: no lengths at all; ``auto``: as :func:`length_unit` finds."""

PER_MM: dict[LengthUnit, float] = {"mm": 1.0, "um": 1000.0}
_FINE = 0.02
"""mm. Grids with smaller pixels are microscopy, whose lengths are in µm."""


def length_unit(grid: Volume) -> LengthUnit | None:
    """Unit of length that suits a grid; None where it has none.

    Spacing of one along each axis without an orientation is that of images which say nothing
    (PNG, arrays, TIFF without tags).
    """
    if grid.affine is None and all(size == 1.0 for size in grid.spacing):
        return None
    return "um" if min(grid.spacing) < _FINE else "mm"


def resolve_unit(unit: str, grid: Volume) -> LengthUnit | None:
    """Unit of length that is meant; None: pixels.

    Raises
    ------
    InputError
        If it is none of :data:`Unit`, or a length is wanted of a grid without.
    """
    if unit not in get_args(Unit):
        raise InputError("unit", f"be one of {', '.join(get_args(Unit))}", unit)
    found = length_unit(grid)
    if unit == "pixels":
        return None
    if unit == "auto":
        return found
    if found is None:
        of = "an image" if grid.source is None else str(grid.source)
        remedy = "Give its spacing, or measure in pixels."
        raise InputError(
            "unit", "be pixels for an image without spacing", f"{unit} for {of}", remedy
        )
    return "um" if unit == "um" else "mm"


def parse_size(parameter: str, given: float | str | None, grid: Volume) -> float | None:
    """Read a size as voxels (pixels in 2D): a number of them, or ``50um3``, ``0.2mm3``, ``9mm2``.

    Raises
    ------
    InputError
        If it is none, of another dimension, or has a unit where the grid has no spacing.
    """
    if given is None:
        return None
    what = f"be a number of {'voxels' if grid.ndim == 3 else 'pixels'}, or such as 50um{grid.ndim}"
    text = str(given).strip().lower().replace("µ", "u").replace("μ", "u")
    found = re.fullmatch(r"([0-9.e+-]+?)\s*(?:(mm|um)(?:([23])|\^([23])|([²³])))?", text)
    try:
        value = float(found[1]) if found else -1.0
    except ValueError:
        value = -1.0
    if found is None or not 0 <= value < math.inf:
        raise InputError(parameter, what, given)
    if found[2] is None:
        return value
    dimension = found[3] or found[4] or {"²": "2", "³": "3"}[found[5]]
    if int(dimension) != grid.ndim:
        raise InputError(parameter, what, given)
    if length_unit(grid) is None:
        raise InputError(parameter, "be a number of pixels for an image without spacing", given)
    factor = PER_MM["mm" if found[2] == "mm" else "um"]
    return value / math.prod(size * factor for size in grid.spacing)


def size_name(unit: LengthUnit, ndim: int) -> str:
    """Name of the column of sizes: ``volume_mm3``, ``area_um2``."""
    return f"{'volume' if ndim == 3 else 'area'}_{unit}{ndim}"
