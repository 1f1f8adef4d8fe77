"""Values that pass between the stages: volumes, landmarks, feature maps, progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unicodedata import category

import numpy as np
import numpy.typing as npt

from .arrays import is_lazy, read, wrapped
from .errors import InputError
from .named_axes import NamedAxes, has_named_axes

__all__ = [
    "Array",
    "Box",
    "Candidate",
    "FeatureMap",
    "Landmark",
    "Located",
    "Progress",
    "SliceFeatures",
    "TiledFeatures",
    "Volume",
    "joint_progress",
    "no_progress",
    "plain_name",
]

_NO_TEXT = ("Cc", "Cs", "Zl", "Zp")
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""They write text backwards, so that a name looks like another."""

Array = npt.NDArray[Any]

Box = tuple[slice, ...]
"""A part of an array: first index and the one behind the last along each axis."""

Progress = Callable[[int, int, str], None]
"""``progress(done, total, what)``; it may raise :class:`~napari_fewshot.errors.Cancelled`."""


def no_progress(done: int, total: int, what: str) -> None:
    """Ignore progress: the default callback of every long stage."""


def joint_progress(totals: Sequence[int], progress: Progress) -> list[Progress]:
    """Callbacks for parts of so many steps each, which run one after the other as one stage."""

    def counter(before: int) -> Progress:
        return lambda done, total, what: progress(before + done, sum(totals), what)

    return [counter(sum(totals[:part])) for part in range(len(totals))]


@dataclass(frozen=True, eq=False)
class Volume:
    """An image or a label map with its geometry, in file order.

    Parameters
    ----------
    data : array, shape (Z, Y, X) or (Y, X), with a last axis of channels if ``has_channels``
        File order (k, j, i). Labels are of an integer dtype. It may be an array that is read as
        it is indexed (dask; arrays of zarr and data sets of HDF5 become one): blocks are then
        read when they are needed, see :mod:`napari_fewshot.arrays`.
    spacing : tuple of float
        Distance of neighbouring voxels in mm, one for each spatial axis, in array order.
    affine : array, shape (4, 4), float64, optional
        Maps the array index (z, y, x, 1) to (R, A, S, 1) in mm. None where the file has no
        orientation (PNG, most TIFF); such arrays are taken as they are stored.
    has_channels : bool
        Whether the last axis of ``data`` holds channels (RGB or other).
    names : mapping of int to str
        Names of label values, where they are known.
    source : Path, optional
        The file that it was read from.
    header : object
        What the reader needs again to write results on the same grid; opaque to others.
    """

    data: Array
    spacing: tuple[float, ...]
    affine: Array | None = None
    has_channels: bool = False
    names: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    source: Path | None = None
    header: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", wrapped(self.data))
        if self.data.dtype.kind not in "biuf":
            raise InputError(
                "data" if self.source is None else str(self.source),
                "hold real numbers",
                f"values of type {self.data.dtype}",
                "Give its magnitude, or convert it (numpy: data.astype(float)).",
            )
        if not all(name.isprintable() for name in self.names.values()):
            names = {value: plain_name(name) for value, name in self.names.items()}
            object.__setattr__(self, "names", MappingProxyType(names))
        spatial = self.data.ndim - int(self.has_channels)
        if spatial not in (2, 3):
            raise InputError(
                "data",
                "have two or three spatial axes (Z, Y, X)",
                f"shape {self.data.shape}",
                "Choose one time point or channel first.",
            )
        if 0 in self.data.shape:
            raise InputError("data", "have no empty axis", f"shape {self.data.shape}")
        if len(self.spacing) != spatial:
            raise InputError("spacing", f"have {spatial} values", self.spacing)
        if not all(np.isfinite(s) and s > 0 for s in self.spacing):
            raise InputError("spacing", "be finite and above 0 mm", self.spacing)
        if self.affine is not None and self.affine.shape != (4, 4):
            raise InputError("affine", "have shape (4, 4)", f"shape {self.affine.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the spatial axes, in array order."""
        return self.data.shape[:-1] if self.has_channels else self.data.shape

    @property
    def ndim(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.shape)

    def with_data(self, data: Array, **changes: Any) -> Volume:
        """Return a volume of the same geometry with other (single-channel) data.

        Raises
        ------
        InputError
            If ``data`` has another shape than the spatial axes of this volume.
        """
        if data.shape != self.shape:
            raise InputError("data", f"have shape {self.shape}", f"shape {data.shape}")
        return replace(self, data=data, has_channels=False, **changes)

    def loaded(self) -> Volume:
        """Return the volume with its data in memory, itself where they are."""
        return replace(self, data=read(self.data)) if is_lazy(self.data) else self

    def with_channels(self, channels: Sequence[int] | None) -> Volume:
        """Return a volume with these channels alone, in this order; of one it is grey.

        None: as it is. A volume without an axis of channels has channel 0 only.

        Raises
        ------
        InputError
            If it has no such channel.
        """
        if channels is None:
            return self
        count = self.data.shape[-1] if self.has_channels else 1
        missing = [channel for channel in channels if not 0 <= channel < count]
        if missing or not channels:
            where = "" if self.source is None else f" for {self.source}"
            given = ", ".join(map(str, channels)) or "none"
            raise InputError("channels", f"be within 0..{count - 1}{where}", given)
        if len(channels) == 1:
            data = self.data[..., channels[0]] if self.has_channels else self.data
            return replace(self, data=data, has_channels=False)
        array = self.data if self.has_channels else self.data[..., None]
        return replace(self, data=array[..., _regular(channels)], has_channels=True)

    @classmethod
    def of(cls, image: Volume | npt.ArrayLike, *, channels: bool | None = None) -> Volume:
        """Take a volume as it is, or wrap an array with unit spacing and no orientation.

        ``channels`` says whether the last axis holds channels; by default it does when
        an array has a last axis of 3 or 4 behind at least two larger ones of ``uint8``,
        or four axes. Of an array of xarray, names of dimensions (z, y, x, c) say what is
        what, in any order, and coordinates the spacing.
        """
        if isinstance(image, Volume):
            return image
        axes = NamedAxes.of(image) if has_named_axes(image) else None
        if axes is not None:
            data = wrapped(axes.arranged(image))
            return cls(data, axes.spacing(image), has_channels=axes.channels is not None)
        array = wrapped(image)
        if channels is None:
            rgb = array.ndim == 3 and array.shape[-1] in (3, 4) and array.dtype == np.uint8
            rgb = rgb and min(array.shape[:2]) > array.shape[-1]
            channels = rgb or array.ndim == 4
        return cls(array, (1.0,) * (array.ndim - int(channels)), has_channels=channels)


def _regular(numbers: Sequence[int]) -> slice | list[int]:
    """Index of some numbers: evenly spaced ones, as any two are, are read without a copy."""
    first, step = numbers[0], numbers[1] - numbers[0]
    stop = first + step * len(numbers)
    if step == 0 or any(b - a != step for a, b in pairwise(numbers)):
        return list(numbers)
    return slice(first, None if stop < 0 else stop, step)


@dataclass(frozen=True)
class Candidate:
    """A place that a landmark may have instead of the one that was chosen.

    Parameters
    ----------
    position : tuple of float
        (z, y, x) in voxels of the file order, as that of a landmark.
    score : float
        How probable it is that the landmark lies there, 0..1. With the score of the landmark, those
        of its candidates sum to 1 at most.
    """

    position: tuple[float, float, float]
    score: float


@dataclass(frozen=True)
class Landmark:
    """A named point.

    Parameters
    ----------
    name : str
    label : int
        Label value, at least 1.
    position : tuple of float
        (z, y, x) in voxels of the file order; z is 0 for a 2D image. Voxel centres are whole.
    score : float, optional
        Confidence in 0..1; None where a person placed it.
    candidates : tuple of Candidate
        Other places that it may have, the most probable first; none where a person placed it.
    """

    name: str
    label: int
    position: tuple[float, float, float]
    score: float | None = None
    candidates: tuple[Candidate, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.isprintable():
            object.__setattr__(self, "name", plain_name(self.name))


Located = Landmark | tuple[Candidate, ...]
"""A landmark, or, of one that was not found, the places that it may have all the same."""


def plain_name(name: str) -> str:
    """Name without what steers terminals and breaks lines, or is no text at all.

    Names come from files of others, and go into tables, reports and terminals.
    """
    if name.isprintable():
        return name
    kept = (" " if category(one) in _NO_TEXT or one in _TURNS else one for one in name)
    return " ".join("".join(kept).split())


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """The features of one slice, or of a part of it, on a regular grid.

    Parameters
    ----------
    data : array, shape (C, h, w), float16 or float32
    shape : tuple of int
        (H, W) of the slice, or of the part, in pixels.
    extent : tuple of float
        Height and width, in pixels of the slice, that the grid of ``h × w`` cells covers from
        the slice's upper left corner. It may exceed ``shape`` where cells see padding. Cell
        (r, c) is centred at pixel ``((r + 0.5) * extent[0] / h - 0.5,
        (c + 0.5) * extent[1] / w - 0.5)``.
    origin : tuple of int
        Row and column of the slice's pixel with which the map begins: not (0, 0) in a part of
        a large slice.
    """

    data: Array
    shape: tuple[int, int]
    extent: tuple[float, float]
    origin: tuple[int, int] = (0, 0)

    @property
    def channels(self) -> int:
        """Number of feature channels C."""
        return int(self.data.shape[0])

    @property
    def is_dense(self) -> bool:
        """Whether there is one cell for each pixel."""
        return tuple(self.data.shape[1:]) == tuple(self.shape)

    def parts(self) -> Iterator[FeatureMap]:
        """The map itself: what is not cut has one part."""
        yield self

    def without_padding(self) -> FeatureMap:
        """Return the map without cells that see padding alone."""
        cells = self.data.shape[1:]
        seen = [
            min(whole, math.ceil(whole * side / covered - 1e-6))
            for whole, side, covered in zip(cells, self.shape, self.extent, strict=True)
        ]
        if tuple(seen) == tuple(cells):
            return self
        extent = [
            covered * n / whole for covered, n, whole in zip(self.extent, seen, cells, strict=True)
        ]
        data = self.data[:, : seen[0], : seen[1]]
        return FeatureMap(data, self.shape, (extent[0], extent[1]), self.origin)


@dataclass(frozen=True, eq=False)
class TiledFeatures:
    """The features of one large slice, which are never whole in memory.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the slice in pixels.
    channels : int
        Number of feature channels C.
    read : callable
        Gives the parts, which cover the slice, or the window that is wanted of it, and do not
        overlap; each time anew.
    """

    shape: tuple[int, int]
    channels: int
    read: Callable[[], Iterator[FeatureMap]]

    def parts(self) -> Iterator[FeatureMap]:
        """Parts of the map, each computed when it is asked for."""
        return self.read()

    def watched(self, told: Callable[[], None]) -> TiledFeatures:
        """Return the same; ``told`` is called before each part, and may raise ``Cancelled``."""

        def read() -> Iterator[FeatureMap]:
            for part in self.read():
                told()
                yield part

        return replace(self, read=read)

    def without_padding(self) -> TiledFeatures:
        """Return the same: pixel grids have no padding."""
        return self


SliceFeatures = FeatureMap | TiledFeatures
"""The features of one slice: whole, or in parts."""
