"""Motion through a stack: displacements from its slices to chosen ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np

from ..arrays import release
from ..parallel import ordered_map
from ..scratch import bands, scratch_array
from ..types import Array
from .flow import OpticalFlow, moved
from .grid import resize_plane
from .stack import SliceStack

__all__ = ["Motion", "enlarged"]

_LARGEST = 512
"""Longest side, in pixels, of the slices whose motion is found; larger ones are made smaller."""
_LIKENESS = 0.3
"""Correlation with what a slice should look like, below which there is a cut before it."""
_REACH = 90
"""Slices that a displacement leads over at most."""
_SKIPPED = 3
"""Damaged slices, one after the other, that labels are carried over."""
_CHAINS = 6
"""Chosen slices and sides whose displacements are kept: those of the slices in turn, and of the
next ones, so that memory does not grow with the number of chosen slices."""
_AT_ONCE = 2**23
"""Values of a slice that are read at once."""


class Motion:
    """Displacements from slices to the nearest chosen ones, found as far as they are needed."""

    def __init__(self, stack: SliceStack, flow: OpticalFlow, chosen: Sequence[int]) -> None:
        self._stack = stack
        self._flow = flow
        self._chosen = np.array(chosen)
        shrink = max(1.0, max(stack.shape) / _LARGEST)
        self._shape = (round(stack.shape[0] / shrink) or 1, round(stack.shape[1] / shrink) or 1)
        self._chains: OrderedDict[tuple[int, int], _Chain] = OrderedDict()
        self._lock = Lock()

    def to_chosen(self, index: int) -> dict[int, Array]:
        """Displacements (2, h, w) to the nearest chosen slice below and above, by its number.

        In pixels of the size (h, w); a slice is missing where nothing leads to it, and none is
        needed for a chosen one.
        """
        found: dict[int, Array] = {}
        with self._lock:
            for source, step in self._ends(index):
                field = self._chain(source, step).field(index)
                if field is not None:
                    found[source] = field
        return found

    def ready(self, indices: Sequence[int]) -> Iterator[int]:
        """Slices in turn, each when the motion that leads to it has been found, side by side."""
        ends = [self._ends(index) for index in indices]
        parts: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for index, own in zip(indices, ends, strict=True):
            parts.setdefault(own, []).append(index)
        for index, own in zip(indices, ends, strict=True):
            if own in parts:
                self._find(own, parts.pop(own))
            yield index

    def _find(self, ends: Sequence[tuple[int, int]], indices: Sequence[int]) -> None:
        """Find the motion from slices to chosen slices and sides."""
        with self._lock:  # not held while workers search, who may wait for it
            chains = [self._chain(*end) for end in ends]
        for chain in chains:
            for link in ordered_map(chain.linked, chain.steps(indices)):
                with self._lock:
                    chain.extend(link)

    def _ends(self, index: int) -> tuple[tuple[int, int], ...]:
        """Nearest chosen slices, each with the side, 1 or -1, on which a slice lies."""
        place = int(np.searchsorted(self._chosen, index))
        if place < len(self._chosen) and self._chosen[place] == index:
            return ()
        sides = ((place - 1, 1), (place, -1))
        return tuple((int(self._chosen[n]), s) for n, s in sides if 0 <= n < len(self._chosen))

    def _chain(self, source: int, step: int) -> _Chain:
        if (source, step) not in self._chains:
            beyond = self._chosen[(self._chosen - source) * step > 0]
            edge = len(self._stack) if step > 0 else -1
            end = int(beyond[0 if step > 0 else -1]) if len(beyond) else edge
            length = min(abs(end - source) - 1, _REACH)
            self._chains[source, step] = _Chain(self._slice, self._flow, source, step, length)
            if len(self._chains) > _CHAINS:
                self._chains.popitem(last=False)
        self._chains.move_to_end((source, step))
        return self._chains[source, step]

    def _slice(self, index: int) -> Array:
        """Grey slice, (h, w), at the size at which motion is found; read in bands of rows."""
        stack, (height, width) = self._stack, self._stack.shape
        if stack.grid.working != stack.grid.shape:  # its bands would be resampled slices each
            return resize_plane(stack.slice(index).mean(axis=0, dtype=np.float32), self._shape)
        narrow = np.empty((height, self._shape[1]), np.float32)
        for rows in bands(height, width * stack.channels, _AT_ONCE):
            band = stack.window(index, (rows, slice(0, width))).mean(axis=0, dtype=np.float32)
            narrow[rows] = resize_plane(band, (len(band), self._shape[1]))
        return resize_plane(narrow, self._shape)


@dataclass(frozen=True, eq=False)
class _Step:
    """A slice of a chain by its number there, and the one before it, both (h, w)."""

    number: int
    plane: Array
    before: Array


@dataclass(frozen=True, eq=False)
class _Link:
    """The motion of a step, (2, h, w), and whether the slice looks like what it makes."""

    step: _Step
    motion: Array
    good: bool


class _Chain:
    """Displacements from the slices on one side of a chosen slice to it, nearest first.

    The motion from each slice to the one before it leads on from what that one has.
    """

    def __init__(
        self,
        read: Callable[[int], Array],
        flow: OpticalFlow,
        source: int,
        step: int,
        length: int,
    ) -> None:
        self._read = read
        self._flow = flow
        self._source = source
        self._step = step
        self._plane = read(source)
        self._fields = scratch_array((length, 2, *self._plane.shape), np.float32)
        self._length = length
        self._there: list[bool] = []  # for each slice so far, whether it has a displacement
        self._last = np.zeros((2, *self._plane.shape), np.float32)  # of the last good slice
        self._bad = 0

    def field(self, index: int) -> Array | None:
        """Displacement (2, h, w) of a slice; None where nothing leads to it."""
        number = abs(index - self._source) - 1
        for step in self.steps([index]):
            self.extend(self.linked(step))
        reached = number < len(self._there) and self._there[number]
        return self._fields[number] if reached else None

    def steps(self, indices: Sequence[int]) -> Iterator[_Step]:
        """Steps whose motion is missing on the way to slices, nearest first."""
        wanted = max((abs(index - self._source) for index in indices), default=0)
        before = self._plane
        for number in range(len(self._there), min(wanted, self._length)):
            if self._bad > _SKIPPED:
                return
            plane = self._read(self._source + (number + 1) * self._step)
            yield _Step(number, plane, before)
            before = plane

    def linked(self, step: _Step) -> _Link:
        """Find the motion of a step."""
        motion = self._flow(step.plane, step.before)
        likeness = _correlation(step.plane, moved(step.before[None], motion)[0])
        return _Link(step, motion, likeness >= _LIKENESS)

    def extend(self, link: _Link) -> None:
        """Lead on by a step, if it is the next one."""
        step = link.step
        if step.number != len(self._there) or self._bad > _SKIPPED:
            return
        if step.before is not self._plane:  # that one is damaged
            link = self.linked(_Step(step.number, step.plane, self._plane))
        if link.good:
            self._last = link.motion + moved(self._last, link.motion)
            self._fields[step.number] = self._last
            release(self._fields)
            self._plane, self._bad = step.plane, 0
        else:
            self._bad += 1
        self._there.append(link.good)


def _correlation(one: Array, other: Array) -> float:
    """Correlation of two slices; 0 where one of them is of one grey."""
    a, b = (plane - plane.mean() for plane in (one, other))
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0


def enlarged(field: Array, shape: tuple[int, int], rows: slice) -> Array:
    """Rows of a displacement (2, h, w), at the size and in pixels of whole slices."""
    if field.shape[1:] == shape:
        return field[:, rows]
    (height, width), (h, w) = shape, field.shape[1:]
    top, bottom, dy = _between(np.arange(height)[rows], height, h)
    left, right, dx = _between(np.arange(width), width, w)
    lines = field[:, top] * (1 - dy[:, None]) + field[:, bottom] * dy[:, None]
    fine: Array = lines[:, :, left] * (1 - dx) + lines[:, :, right] * dx
    return fine * np.array([height / h, width / w], dtype=np.float32)[:, None, None]


def _between(places: Array, whole: int, cells: int) -> tuple[Array, Array, Array]:
    """Cells before and behind pixels, and how near the latter is, 0..1."""
    at = np.clip((places + 0.5) * (cells / whole) - 0.5, 0, cells - 1)
    before = np.floor(at).astype(int)
    return before, np.minimum(before + 1, cells - 1), (at - before).astype(np.float32)
