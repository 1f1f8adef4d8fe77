"""Which series of a TIFF file is read, and pages of several series that are one stack.

Programs that write page by page, or pack pages differently, leave a stack that tifffile takes for
several images. What cannot be one stack (positions, thumbnails of other sizes) is not guessed at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...types import Array
from .pages import array_of

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

__all__ = ["JoinedSeries", "find_series"]

_MAX_LISTED = 12
# Kinds of series that tifffile makes of pages without knowing what their writer meant by them.
_PLAIN = ("generic", "shaped", "uniform")
# What scanners of slides store beside the image.
_BESIDE = ("thumbnail", "label", "macro", "map", "overview", "preview")


@dataclass(frozen=True, eq=False)
class JoinedSeries:
    """Pages of several series, in the order of the file, as one series."""

    parts: tuple[Any, ...]

    @cached_property
    def pages(self) -> list[Any]:
        """All pages."""
        pages = [page for part in self.parts for page in part.pages]
        return sorted(pages, key=lambda page: page.index)

    @property
    def keyframe(self) -> Any:
        """A page that stands for all in shape and kind of values."""
        return self.parts[0].keyframe

    @property
    def dtype(self) -> Any:
        """Kind of values."""
        return self.keyframe.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Pages, then the shape of each."""
        return (len(self.pages), *self.keyframe.shape)

    @property
    def axes(self) -> str:
        """A letter for each axis, as tifffile calls them."""
        return "I" + str(self.keyframe.axes)

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""
        return math.prod(self.shape) * int(self.dtype.itemsize)

    def asarray(self) -> Array:
        """Read all pages."""
        return np.stack([page.asarray() for page in self.pages])

    def array_of(self, path: Path) -> tuple[Any, tuple[int, ...]] | None:
        """As :func:`~.tiff_pages.array_of`: what reads pages as it is indexed, and its blocks."""
        found = [array_of(path, part) for part in self.parts]
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            return None
        places: dict[int, tuple[Any, int | None]] = {}
        for part, (source, _) in zip(self.parts, known, strict=True):
            several = len(source.shape) > len(self.keyframe.shape)
            for number, page in enumerate(part.pages):
                places[page.index] = (source, number if several else None)
        sides = known[0][1][-len(self.keyframe.shape) :]
        ordered = [places[page.index] for page in self.pages]
        return _Stacked(ordered, self.shape, np.dtype(known[0][0].dtype)), (1, *sides)


class _Stacked:
    """Pages of several arrays along a first axis, read as they are indexed."""

    def __init__(
        self,
        places: Sequence[tuple[Any, int | None]],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self._places, self.shape, self.dtype = places, shape, dtype

    def __getitem__(self, index: tuple[slice | int, ...]) -> Array:
        first, rest = index[0], tuple(index[1:])
        if not isinstance(first, slice):
            return self._page(int(first), rest)
        numbers = range(len(self._places))[first]
        if not numbers:
            return np.array(np.broadcast_to(np.zeros((), self.dtype), self.shape)[index])
        return np.stack([self._page(number, rest) for number in numbers])

    def _page(self, number: int, rest: tuple[slice | int, ...]) -> Array:
        source, within = self._places[number]
        return np.asarray(source[rest if within is None else (within, *rest)])


def find_series(path: Path, tif: TiffFile, wanted: int | None) -> tuple[Any, int]:
    """Series to read at full resolution, and its number in the file.

    ``wanted`` is a number of ``tif.series``; None: the only one, or the stack that equal pages are.

    Raises
    ------
    InputError
        If there is no such series, or there are several to choose from, which are listed.
    """
    every = list(tif.series)
    if wanted is not None:
        if wanted >= len(every):
            raise _several(path, every, f"be within 0..{len(every) - 1}", f"series {wanted}")
        return every[wanted].levels[0], wanted
    found = _without_copies(every)
    if len(found) == 1:
        return found[0].levels[0], every.index(found[0])
    if _is_stack(found):
        return JoinedSeries(tuple(one.levels[0] for one in found)), every.index(found[0])
    raise _several(path, every, "hold one image", f"{len(found)} series")


def _without_copies(series: Sequence[TiffPageSeries]) -> Sequence[TiffPageSeries]:
    """Series that are no smaller copy of another, and no picture of a slide's label."""
    named = [one for one in series if not str(one.name).lower().startswith(_BESIDE)]
    if series[0].kind in _PLAIN:
        named = [one for one in series if not one.keyframe.is_reduced]
    return named or series


def _is_stack(series: Sequence[TiffPageSeries]) -> bool:
    """Whether all pages are alike, and none but their order in the file is known of them."""
    for one in series:
        count = len(one.pages)
        single = one.kind != "shaped" or count == 1
        if one.kind not in _PLAIN or not single or len(one.levels) > 1 or None in one.pages:
            return False
        if math.prod(one.shape) != count * math.prod(one.keyframe.shape):
            return False
    frames = [one.keyframe for one in series]
    kinds = {(f.shape, f.axes, str(f.dtype), f.photometric, f.bitspersample) for f in frames}
    return len(kinds) == 1


def _several(
    path: Path, series: Sequence[TiffPageSeries], constraint: str, given: str
) -> InputError:
    listed = "; ".join(
        f"{number}: {one.name or 'no name'}, axes {one.axes} of shape {one.shape}"
        for number, one in enumerate(series[:_MAX_LISTED])
    )
    more = f"; and {len(series) - _MAX_LISTED} more" if series[_MAX_LISTED:] else ""
    remedy = f"Choose one: {path}/N (on the command line --series N). There are {listed}{more}."
    return InputError(str(path), constraint, given, remedy)
