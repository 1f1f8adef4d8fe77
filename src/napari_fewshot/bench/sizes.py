"""How large cases are, by the headers of their files: no pixel is read for an estimate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from ..io import sniff_format
from ..io.tiff import check_named_files
from .config import BenchmarkConfig
from .datasets import Case

__all__ = ["REFERENCE", "CaseSize", "header_of", "size_of"]

_LOOKED_AT = 20
"""Cases of each part that stand for the others."""
_TEXT_BYTES = 16384


@dataclass(frozen=True)
class CaseSize:
    """Means over cases, on the grid that methods see.

    Parameters
    ----------
    slices, pixels : float
        Slices, and pixels of each.
    known : bool
        Whether headers say so; else it is a volume of the size that rates are for.
    """

    slices: float
    pixels: float
    known: bool = True

    @property
    def voxels(self) -> float:
        """Of a case."""
        return self.slices * self.pixels


REFERENCE = CaseSize(100, 200 * 200, known=False)


def size_of(cases: Sequence[Case], config: BenchmarkConfig) -> CaseSize:
    """Mean size of cases, of which some are looked at; the reference where no header tells it."""
    places = np.linspace(0, len(cases) - 1, min(len(cases), _LOOKED_AT)).round().astype(int)
    headers = [header_of(cases[k].files[0]) for k in places if cases[k].files]
    found = [_size(*header, config) for header in headers if header is not None]
    if not found:
        return REFERENCE
    return CaseSize(fmean(n for n, _ in found), fmean(pixels for _, pixels in found))


def header_of(path: Path) -> tuple[tuple[int, ...], tuple[float, ...] | None] | None:
    """Shape of an image in file order, and its spacing in mm where that is easily had.

    None where the header does not tell it without reading more, as that of a DICOM series.
    """
    try:
        kind = sniff_format(path).title
        if kind == "NIfTI":
            return _nifti(path)
        if kind == "TIFF":
            return _tiff(path)
        if kind in ("PNG", "JPEG"):
            return _picture(path)
        if kind in ("NRRD", "MetaImage"):
            return _text(path)
    except Exception:  # a file that is damaged is said when it is read
        return None
    return None


def _size(
    shape: tuple[int, ...], spacing: tuple[float, ...] | None, config: BenchmarkConfig
) -> tuple[float, float]:
    """Slices, and pixels of each, after resampling."""
    sides, axis = [float(n) for n in shape], -1
    if len(shape) != 2:
        # As most files lie: slices are axial, and rows go from front to back.
        named = {"auto": 0, "axial": 0, "coronal": 1, "sagittal": 2}
        wanted = config.dataset.axis
        axis = wanted if isinstance(wanted, int) else named[wanted]
    if config.image.spacing is not None and spacing is not None:
        for number, size in enumerate(spacing):
            if number != axis or config.image.resample == "isotropic":
                sides[number] = max(1.0, sides[number] * size / config.image.spacing)
    slices = sides.pop(axis) if len(shape) == 3 else 1.0
    return slices, prod(sides)


def _nifti(path: Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
    import nibabel

    image: Any = nibabel.load(path)  # pixels are read when they are asked for
    header = image.header
    shape = tuple(int(n) for n in header.get_data_shape()[:3])
    return shape[::-1], tuple(float(size) for size in header.get_zooms()[: len(shape)])[::-1]


def _tiff(path: Path) -> tuple[tuple[int, ...], None]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        check_named_files(path, file)
        series = file.series[0]
        # Of channels there is one set of features, of time points one is read.
        sides = [n for n, axis in zip(series.shape, series.axes, strict=True) if axis not in "SCT"]
    return tuple(sides), None


def _picture(path: Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Few of them tell the size of a pixel: one that is not told counts as 1 mm."""
    from PIL import Image

    with Image.open(path) as image:
        return (image.height, image.width), (1.0, 1.0)


def _text(path: Path) -> tuple[tuple[int, ...], tuple[float, ...] | None]:
    """NRRD and MetaImage begin with lines of text."""
    with path.open("rb") as stream:
        text = stream.read(_TEXT_BYTES).decode("latin-1")
    sizes = re.search(r"^(?:sizes:|DimSize\s*=)\s*([\d ]+)", text, re.MULTILINE)
    if sizes is None:
        raise ValueError("no sizes")
    shape = tuple(int(n) for n in sizes[1].split())[::-1]
    plain = re.search(r"^(?:spacings:|ElementSpacing\s*=)\s*([\d.e+\- ]+)", text, re.MULTILINE)
    if plain is not None:
        return shape, tuple(float(size) for size in plain[1].split())[::-1]
    vectors = re.search(r"^space directions:(.*)$", text, re.MULTILINE)
    rows = [] if vectors is None else re.findall(r"\(([^)]*)\)", vectors[1])
    if len(rows) != len(shape):
        return shape, None
    lengths = [float(np.linalg.norm([float(v) for v in row.split(",")])) for row in rows]
    return shape, tuple(lengths[::-1])
