"""Voxel sizes in TIFF files: ImageJ, OME, and plain resolution tags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

if TYPE_CHECKING:
    from tifffile import TiffFile

__all__ = ["Calibration", "imagej_arguments", "mm_per_unit", "ome_metadata", "read_calibration"]

_MM = {
    name: size
    for size, names in (
        (1e-9, "pm picometer"),
        (1e-7, "å angstrom"),
        (1e-6, "nm nanometer nanometre"),
        (1e-3, "um micron microns micrometer micrometre"),
        (1.0, "mm millimeter millimetre"),
        (10.0, "cm centimeter centimetre"),
        (100.0, "dm decimeter"),
        (1000.0, "m meter metre"),
        (25.4, "in inch inches"),
    )
    for name in names.split()
}
_OME_UNITS = {"um": "µm", "micron": "µm", "microns": "µm", "inch": "in", "inches": "in"}
_INCH = 2
_TAG_UNITS = {_INCH: "inch", 3: "cm"}

Rational = tuple[int, int]


@dataclass(frozen=True)
class Calibration:
    """Voxel size as a file states it.

    ``sizes`` are (Z, Y, X) or (Y, X), each in its unit; an empty or unknown unit is taken as mm.
    ``resolution`` is XResolution and YResolution as stored (numerator, denominator), to be
    written back without rounding.
    """

    sizes: tuple[float, ...]
    units: tuple[str, ...]
    resolution: tuple[Rational, Rational] | None = None

    @property
    def spacing(self) -> tuple[float, ...]:
        """Spacing in mm, in array order."""
        factors = (mm_per_unit(unit) for unit in self.units)
        return tuple(size * factor for size, factor in zip(self.sizes, factors, strict=True))


def read_calibration(tif: TiffFile, ndim: int) -> Calibration:
    """Find the voxel size of an open file, along ``ndim`` axes.

    OME sizes come first, then ImageJ's unit and spacing, then the resolution tags. A missing
    slice distance is one unit in ImageJ files, as ImageJ has it, and else that of the pixels.
    Zero, infinite or missing sizes are 1.
    """
    if tif.is_ome and tif.ome_metadata:
        found = _from_ome(tif.ome_metadata, ndim)
        if found is not None:
            return found
    resolution, unit = _tags(tif)
    sizes = [d / n if n > 0 and d > 0 else 1.0 for n, d in resolution or ((1, 1), (1, 1))]
    through_plane = sizes[0]
    if tif.is_imagej and tif.imagej_metadata:
        metadata = tif.imagej_metadata
        unit = str(metadata.get("unit", "") or unit)
        through_plane = _size(metadata.get("spacing"), 1.0)
    zyx = (through_plane, sizes[1], sizes[0])
    return Calibration(zyx[3 - ndim :], (unit,) * ndim, resolution)


def imagej_arguments(calibration: Calibration) -> dict[str, Any]:
    """Arguments for ``tifffile.imwrite(imagej=True)`` that state this voxel size."""
    unit = calibration.units[-1]
    name = "um" if _plain(unit) == "um" else unit
    known = name.isascii()
    metadata: dict[str, Any] = {}
    if name:
        metadata["unit"] = name if known else "mm"
    factor = mm_per_unit(unit) if known else 1.0
    sizes = [spacing / factor for spacing in calibration.spacing]
    if len(set(calibration.units)) == 1 and known:
        sizes = list(calibration.sizes)
    if len(sizes) == 3:
        metadata["spacing"] = sizes[0]
    tag = {mm_per_unit(text): number for number, text in _TAG_UNITS.items()}.get(factor)
    return {
        "resolution": calibration.resolution or (1 / sizes[-1], 1 / sizes[-2]),
        "resolutionunit": tag if known and tag is not None else "NONE",
        "metadata": metadata,
    }


def ome_metadata(calibration: Calibration) -> dict[str, Any]:
    """OME metadata for ``tifffile.imwrite(ome=True)`` that states this voxel size."""
    metadata: dict[str, Any] = {}
    for axis, size, unit in zip("XYZ", calibration.sizes[::-1], calibration.units[::-1]):  # noqa: B905
        known = unit if _plain(unit) in _MM else "mm"
        metadata[f"PhysicalSize{axis}"] = size
        metadata[f"PhysicalSize{axis}Unit"] = _OME_UNITS.get(_plain(known), known)
    return metadata


def _from_ome(xml: str, ndim: int) -> Calibration | None:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    pixels = root.find(".//{*}Pixels")
    if pixels is None or pixels.get("PhysicalSizeX") is None:
        return None
    across = _size(pixels.get("PhysicalSizeX"), 1.0)
    sizes, units = [], []
    for axis in "ZYX"[3 - ndim :]:
        given = pixels.get(f"PhysicalSize{axis}")
        source = axis if given is not None else "X"
        sizes.append(_size(given, across))
        units.append(pixels.get(f"PhysicalSize{source}Unit", "µm"))
    return Calibration(tuple(sizes), tuple(units))


def _tags(tif: TiffFile) -> tuple[tuple[Rational, Rational] | None, str]:
    """Resolution tags as stored (None where absent or unusable), and their unit."""
    tags = tif.pages.first.tags
    values = [tags.valueof(code) for code in (282, 283)]
    unit = int(tags.valueof(296, default=_INCH))
    if any(not isinstance(v, tuple) or len(v) != 2 or 0 in v for v in values):
        return None, ""
    x, y = ((int(v[0]), int(v[1])) for v in values)
    return (x, y), _TAG_UNITS.get(unit, "")


def _size(value: Any, missing: float) -> float:
    try:
        size = abs(float(value))
    except (TypeError, ValueError):
        return missing
    return size if np.isfinite(size) and size > 0 else missing


def _plain(unit: str) -> str:
    """One spelling of a unit: ImageJ escapes the micro sign, Unicode has two of them."""
    return re.sub(r"\\u00b5|\u00b5|\u03bc", "u", unit.strip().lower())


def mm_per_unit(unit: str) -> float:
    """Length of a unit in mm; 1 for an empty or unknown one."""
    return _MM.get(_plain(unit), 1.0)
