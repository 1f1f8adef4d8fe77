"""Pages of a TIFF file as an array, of which strips and tiles are read as it is indexed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UnreadableFileError
from ...types import Array
from ..mapped import MappedFile
from ..reading import damaged, telling_damage

if TYPE_CHECKING:
    from tifffile import TiffPage, TiffPageSeries

__all__ = ["TiffPages", "array_of", "unreadable"]

_WHOLE_PAGE = 16 * 2**20
"""Bytes of a page up to which it is read as a whole."""
_KEPT = 4 * 2**20
"""Bytes of a strip or tile above which the last one is kept: some programs write one for all."""


def unreadable(path: Path, title: str, what: str) -> UnreadableFileError:
    """Make the error for a file that cannot be decoded; ``what`` says why."""
    if "imagecodecs" in what:
        remedy = "Install the package imagecodecs, or save the image without compression."
        return UnreadableFileError(str(path), "be of a compression that is read", what, remedy)
    return damaged(path, title, what)


def array_of(path: Path, level: TiffPageSeries) -> tuple[Any, tuple[int, ...]] | None:
    """What reads a series of an open file as it is indexed, and the shape of its blocks.

    None where tifffile alone can put its pages together.

    Raises
    ------
    UnreadableFileError
        If the file ends before its pixels.
    """
    keyframe = level.keyframe
    if level.dataoffset is not None:
        dtype = keyframe.parent.byteorder + level.dtype.char
        mapped = MappedFile(path, "TIFF", np.dtype(dtype), level.shape, level.dataoffset)
        _check_end(path, "pixels", level.dataoffset + level.nbytes)
        return mapped, (1,) * len(level.shape)
    count = len(keyframe.shape)
    fits = level.shape[-count:] == keyframe.shape and "YX" in keyframe.axes
    fits &= math.prod(level.shape[:-count]) == len(level.pages)
    # NDPI is one strip in tiles that are made up; some cameras' files are changed after decoding.
    special = keyframe.jpegheader is not None or getattr(level, "transform", None) is not None
    if not fits or special or keyframe.is_subsampled:
        return None
    pages = TiffPages(path, level)
    return pages, pages.block


@dataclass(frozen=True)
class _Page:
    """Where the strips or tiles of a page are."""

    file: Path
    number: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    tables: bytes | None


class TiffPages:
    """A series (..., Y, X[, samples]); its file is opened for each index only."""

    def __init__(self, path: Path, level: TiffPageSeries) -> None:
        self._keyframe: TiffPage = level.keyframe
        self._keyframe.decode  # noqa: B018 - tifffile keeps what it finds
        self.shape: tuple[int, ...] = tuple(level.shape)
        self.dtype: np.dtype[Any] = np.dtype(level.dtype)
        self._page_shape: tuple[int, ...] = tuple(self._keyframe.shape)
        self._rows = self._keyframe.axes.index("Y")
        self._pages = [_located(path, page) for page in level.pages]
        self._kept: tuple[tuple[int, int], Any] | None = None
        _, _, length, width, _ = self._keyframe.shaped
        tile = self._keyframe.tile
        sides = (self._keyframe.rowsperstrip, width) if tile is None else tile[-2:]
        self._sides = min(sides[0], length), min(sides[1], width)
        self._counts = math.ceil(length / sides[0]), math.ceil(width / sides[1])

    @property
    def block(self) -> tuple[int, ...]:
        """Shape of what is read at once: a page, or of a large one a strip or tile."""
        sides = list(self._page_shape)
        if math.prod(sides) * self.dtype.itemsize > _WHOLE_PAGE:
            sides[self._rows : self._rows + 2] = self._sides
        return (*(1,) * (len(self.shape) - len(sides)), *sides)

    def __getitem__(self, index: tuple[slice | int, ...]) -> Array:
        index = (*index, *[slice(None)] * (len(self.shape) - len(index)))
        ahead = len(self.shape) - len(self._page_shape)
        stack, within = self.shape[:ahead], list(index[ahead:])
        lists = [_numbers(one, n) for one, n in zip(index[:ahead], stack, strict=True)]
        window = []
        for axis in (self._rows, self._rows + 1):
            numbers = _numbers(within[axis], self._page_shape[axis])
            first = min(numbers, default=0)
            window.append((first, max(numbers, default=first - 1) + 1))
            one = within[axis]
            within[axis] = slice(None, None, one.step) if isinstance(one, slice) else 0
        parts = []
        for place in product(*lists):
            number = int(np.ravel_multi_index(place, stack)) if stack else 0
            parts.append(self._read(number, *window)[tuple(within)])
        if not parts:
            return np.array(np.broadcast_to(np.zeros((), self.dtype), self.shape)[index])
        shape = [len(numbers) for numbers in lists]
        found = np.stack(parts).reshape(*shape, *parts[0].shape)
        # Whole numbers take their axis away.
        return found[tuple(slice(None) if isinstance(one, slice) else 0 for one in index[:ahead])]

    def _read(self, number: int, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Rows and columns of a page, in its own shape but for these."""
        frame, page = self._keyframe, self._pages[number]
        separate, depth, _, _, samples = frame.shaped
        shape = (separate, depth, rows[1] - rows[0], columns[1] - columns[0], samples)
        found = np.full(shape, frame.nodata, self.dtype)
        if page is not None and found.size:
            where = f"page {page.number} (from 0)"
            with telling_damage(
                page.file,
                "TIFF",
                lambda path, title, what: unreadable(path, title, f"{where}: {what}"),
            ):
                for segment in self._segments(page, rows, columns):
                    _paste(found, self._decoded(number, page, segment), rows[0], columns[0])
        sides = list(self._page_shape)
        sides[self._rows : self._rows + 2] = shape[2:4]
        return found.reshape(sides)

    def _segments(self, page: _Page, rows: tuple[int, int], columns: tuple[int, int]) -> list[int]:
        """Numbers of the strips or tiles that rows and columns of a page lie in."""
        (down, across), (height, width) = self._counts, self._sides
        layers = range(len(page.offsets) // (down * across))
        in_rows = range(rows[0] // height, -(-rows[1] // height))
        in_columns = range(columns[0] // width, -(-columns[1] // width))
        return [(k * down + r) * across + c for k, r, c in product(layers, in_rows, in_columns)]

    def _decoded(self, number: int, page: _Page, segment: int) -> Any:
        kept = self._kept
        if kept is not None and kept[0] == (number, segment):
            return kept[1]
        raw = None
        if page.offsets[segment] and page.counts[segment]:
            with page.file.open("rb") as stream:
                stream.seek(page.offsets[segment])
                raw = stream.read(page.counts[segment])
        tables = {} if page.tables is None else {"jpegtables": page.tables}
        decoded: Any = self._keyframe.decode(raw, segment, **tables)
        if decoded[0] is not None and decoded[0].nbytes > _KEPT:
            self._kept = (number, segment), decoded
        return decoded


def _paste(found: Array, decoded: Any, first_row: int, first_column: int) -> None:
    """Put what lies of a decoded strip or tile in a window into it."""
    values, (layer, deep, row, column, _), shape = decoded
    if values is None:  # nothing is stored of it
        return
    row, column = row - first_row, column - first_column
    top, left = max(0, row), max(0, column)
    bottom = min(found.shape[2], row + shape[1])
    right = min(found.shape[3], column + shape[2])
    target = found[layer, deep : deep + shape[0], top:bottom, left:right]
    target[...] = values[
        : target.shape[0], top - row : bottom - row, left - column : right - column
    ]


def _numbers(one: slice | int, length: int) -> list[int]:
    return list(range(length))[one] if isinstance(one, slice) else [int(one) % length]


def _located(path: Path, page: Any) -> _Page | None:
    if page is None:
        return None
    own = page.parent.filehandle.path
    file = Path(own) if own else path
    ends = [at + n for at, n in zip(page.dataoffsets, page.databytecounts, strict=True) if at and n]
    _check_end(file, f"page {page.index} (from 0)", max(ends, default=0))
    return _Page(
        file, page.index, tuple(page.dataoffsets), tuple(page.databytecounts), page.jpegtables
    )


def _check_end(file: Path, what: str, end: int) -> None:
    stored = file.stat().st_size
    if end > stored:
        raise damaged(file, "TIFF", f"{stored} bytes where {what} would end at {end}")
