"""Voxel sizes in TIFF files: ImageJ, OME, and plain resolution tags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

if TYPE_CHECKING:
    from tifffile import TiffFile

__all__ = [
    "Calibration",
    "imagej_arguments",
    "is_known",
    "mm_per_unit",
    "ome_calibration",
    "ome_metadata",
    "read_calibration",
]

_MM = {
    name: size
    for size, names in (
        (1e-9, "pm picometer picometre"),
        (1e-7, "å angstrom"),
        (1e-6, "nm nanometer nanometre"),
        (1e-3, "um micron micrometer micrometre"),
        (1.0, "mm millimeter millimetre"),
        (10.0, "cm centimeter centimetre"),
        (100.0, "dm decimeter decimetre"),
        (1000.0, "m meter metre"),
        (1e6, "km kilometer kilometre"),
        (25.4, 'in inch inche " pouce'),
    )
    for name in names.split()
}
# Symbols of OME for units that are spelled out, and for those that are written otherwise.
_OME_UNITS = {1e-9: "pm", 1e-7: "Å", 1e-6: "nm", 1e-3: "µm", 1.0: "mm", 10.0: "cm", 100.0: "dm"}
_OME_UNITS |= {1000.0: "m", 1e6: "km", 25.4: "in"}
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


def read_calibration(tif: TiffFile, ndim: int, page: Any = None, series: int = 0) -> Calibration:
    """Find the voxel size of an open file, along ``ndim`` axes.

    OME sizes come first, then ImageJ's units and spacing, then the resolution tags of ``page``, by
    default the first. A missing slice distance is one unit in ImageJ files, as ImageJ has it, and
    else that of the pixels. ``series`` is the number of the image in OME files. Zero, infinite or
    missing sizes are 1.
    """
    if tif.is_ome and tif.ome_metadata:
        found = ome_calibration(tif.ome_metadata, ndim, series)
        if found is not None:
            return found
    resolution, unit = _tags(tif.pages.first if page is None else page)
    sizes = [d / n if n > 0 and d > 0 else 1.0 for n, d in resolution or ((1, 1), (1, 1))]
    through_plane, units = sizes[0], [unit, unit]
    if tif.is_imagej and tif.imagej_metadata:
        metadata = tif.imagej_metadata
        unit = str(metadata.get("unit", "") or unit)
        through_plane = _size(metadata.get("spacing"), 1.0)
        # Along y and z, ImageJ may count in units of their own.
        units = [str(metadata.get(f"{axis}unit", "") or unit) for axis in "zy"]
    zyx = (through_plane, sizes[1], sizes[0])
    return Calibration(zyx[3 - ndim :], (*units, unit)[3 - ndim :], resolution)


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
    # What is stored along y is of use in the unit of x alone.
    resolution = calibration.resolution if len(set(calibration.units[-2:])) == 1 else None
    tag = {mm_per_unit(text): number for number, text in _TAG_UNITS.items()}.get(factor)
    return {
        "resolution": resolution or (1 / sizes[-1], 1 / sizes[-2]),
        "resolutionunit": tag if known and tag is not None else "NONE",
        "metadata": metadata,
    }


def ome_metadata(calibration: Calibration) -> dict[str, Any]:
    """OME metadata for ``tifffile.imwrite(ome=True)`` that states this voxel size."""
    metadata: dict[str, Any] = {}
    for axis, size, unit in zip("XYZ", calibration.sizes[::-1], calibration.units[::-1]):  # noqa: B905
        metadata[f"PhysicalSize{axis}"] = size
        metadata[f"PhysicalSize{axis}Unit"] = _OME_UNITS[mm_per_unit(unit)]
    return metadata


def ome_calibration(xml: str, ndim: int, series: int) -> Calibration | None:
    """Voxel size of an image of OME-XML, along ``ndim`` axes; None where it tells none."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    images = root.findall(".//{*}Pixels")
    pixels = images[series] if series < len(images) else None
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


def _tags(page: Any) -> tuple[tuple[Rational, Rational] | None, str]:
    """Resolution tags as stored (None where absent or unusable), and their unit."""
    tags = page.tags
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
    plain = re.sub(r"\\u00b5|\\u03bc|\u00b5|\u03bc", "u", unit.strip().lower().rstrip("."))
    plain = plain.replace("\u212b", "\u00e5").replace("\\u00c5", "\u00e5")
    several = len(plain) > 3 and plain.endswith("s")  # micrometers, inches
    return plain[:-1] if several else plain


def is_known(unit: str) -> bool:
    """Whether a unit is a length, or says that there is none."""
    return _plain(unit) in {*_MM, "", "none", "null", "pixel", "px", "voxel"}


def mm_per_unit(unit: str) -> float:
    """Length of a unit in mm; 1 for an empty or unknown one."""
    return _MM.get(_plain(unit), 1.0)
