"""Labels carried from painted slices to their neighbours by the motion between slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import release
from ..parallel import ordered_map
from ..scratch import IN_MEMORY, bands, scratch_array
from ..slices.flow import OpticalFlow, moved
from ..slices.flow_cache import FlowCache
from ..slices.motion import Motion, enlarged
from ..slices.stack import SliceStack, Window
from ..templates.known import UNKNOWN
from ..templates.training_set import TrainingSet
from ..types import Array

__all__ = ["CarriedLabels", "PaintedImage", "PaintedSlice", "paint_of", "painted_images"]

_FADING = 30.0
"""Slices over which labels lose all but 1/e of their weight."""
_OUTSIDE = 0.5
"""Share of the weight where there is paint on one side only."""


@dataclass(frozen=True, eq=False)
class PaintedSlice:
    """Paint on a slice of an image, as a model remembers it.

    Parameters
    ----------
    index, original : int
        Working slice of its stack, and its number before resampling.
    digest : str
        Of the voxels of the slice: :meth:`~napari_fewshot.slices.stack.SliceStack.raw_digest`.
    labels : int array, shape (H, W)
        On the working grid, 0 for background, ``UNKNOWN`` where nothing is known.
    known_labels : frozenset of int
        Labels that were looked for.
    """

    index: int
    original: int
    digest: str
    labels: Array
    known_labels: frozenset[int]


@dataclass(frozen=True, eq=False)
class PaintedImage:
    """Painted slices of one stack: a canonical axis, and (N, H, W) of its working slices.

    A slice may be there several times, painted by several templates.
    """

    axis: int
    shape: tuple[int, int, int]
    slices: tuple[PaintedSlice, ...]

    def is_of(self, stack: SliceStack) -> bool:
        """Whether these are slices of a stack: its voxels are those that were painted over."""
        if (stack.axis, stack.grid.working) != (self.axis, self.shape):
            return False
        return all(
            one.original < stack.grid.shape[0]
            and stack.grid.to_working(one.original) == one.index
            and stack.raw_digest(one.original) == one.digest
            for one in self.slices
        )

    def without_paint(self) -> PaintedImage:
        """The same slices, with nothing known of them."""
        slices = (replace(s, labels=np.full_like(s.labels, UNKNOWN)) for s in self.slices)
        return replace(self, slices=tuple(slices))


def paint_of(stack: SliceStack, images: Sequence[PaintedImage]) -> PaintedImage | None:
    """Return all that was painted in a stack; None where it is of another image."""
    slices = tuple(one for image in images if image.is_of(stack) for one in image.slices)
    return PaintedImage(stack.axis, stack.grid.working, slices) if slices else None


def painted_images(
    training: TrainingSet, chosen: Sequence[int] | None = None
) -> dict[int, PaintedImage]:
    """Painted slices by the number of their stack, but for those that only points mark.

    Of a landmark on a painted slice nothing is known: it lies on no slice but its own. ``chosen``
    are numbers of the examples that count; None: all.
    """
    slices: dict[int, list[PaintedSlice]] = {}
    points = training.point_labels
    for k in range(len(training.examples)) if chosen is None else chosen:
        (number, _), known = training.sources[k], training.examples[k]
        if known.points_only or known.origin is not None:
            continue
        labels = known.labels
        if points:
            labels = np.where(np.isin(labels, sorted(points)), UNKNOWN, labels)
        slices.setdefault(number, []).append(
            PaintedSlice(
                known.index,
                known.original,
                training.stacks[number].raw_digest(known.original),
                labels,
                known.known_labels - points,
            )
        )
    found = {}
    for number, own in slices.items():
        stack = training.stacks[number]
        ordered = tuple(sorted(own, key=lambda one: one.index))
        found[number] = PaintedImage(stack.axis, stack.grid.working, ordered)
    return found


class CarriedLabels:
    """An expert for slices of an image of which some are painted.

    The displacements between neighbouring slices are composed from each slice back to the nearest
    paint below and above, and its labels read there, the nearer with more weight. A slice that is
    unlike what the motion makes of the one before it is damaged, and left out; where several are,
    one after the other, there is a cut, over which nothing is carried. Strokes on slices that are
    known in part lie over what whole slices say, the less the farther they have come. With a
    ``window``, planes are of these rows and columns alone; ``flows`` keeps motion for the next of
    the same image.
    """

    def __init__(
        self,
        stack: SliceStack,
        paint: PaintedImage,
        label_values: Sequence[int],
        method: str,
        window: Window | None = None,
        flows: FlowCache | None = None,
    ) -> None:
        self._stack = stack
        paints: dict[int, list[PaintedSlice]] = {}
        for one in paint.slices:
            paints.setdefault(one.index, []).append(one)
        whole = {index for index, own in paints.items() if _is_whole(own)} or {*paints}
        self._paint = paints
        self._whole = whole
        self._values = np.array([0, *label_values])
        height, width = stack.shape
        self._rows, self._columns = window or (slice(0, height), slice(0, width))
        flow, strokes = OpticalFlow(method, flows), sorted({*paints} - whole)
        self._motion = Motion(stack, flow, sorted(whole))
        self._of_strokes = Motion(stack, flow, strokes) if strokes else None

    def weight(self, index: int) -> float:
        """Weight of the labels of a slice beside other experts', 0..1; 0: none reach it."""
        strokes = max((_share(index, source) for source in self._strokes(index)), default=0.0)
        distances = [abs(index - source) for source in self._sources(index)]
        if not distances:
            return strokes
        one_sided = len(distances) == 1 and distances[0] > 0
        weight = float(np.exp(-min(distances) / _FADING)) * (_OUTSIDE if one_sided else 1.0)
        return max(weight, strokes)

    def planes(self, indices: Sequence[int]) -> Iterator[Array]:
        """Likelihood of each class, 0..1, shape (L + 1, H, W), float32; not to the sum of 1.

        1 for all classes where nothing is known.
        """
        size = 4 * len(self._values) * self._stack.shape[0] * self._stack.shape[1]
        # Of large planes, which lie on disk, bands are made side by side.
        return ordered_map(self._plane, self._ready(indices), side_by_side=size <= IN_MEMORY)

    def _ready(self, indices: Sequence[int]) -> Iterator[int]:
        """Slices in turn, each when the motion is found that leads to it."""
        motions = [self._motion] if self._of_strokes is None else [self._motion, self._of_strokes]
        for index, *_ in zip(*(motion.ready(indices) for motion in motions), strict=True):
            yield index

    def _sources(self, index: int) -> dict[int, Array | None]:
        """Nearest whole painted slices, with the displacement to each; None: the slice itself."""
        if index in self._whole:
            return {index: None}
        return {**self._motion.to_chosen(index)}

    def _strokes(self, index: int) -> dict[int, Array | None]:
        """Nearest slices that are known in part, as :meth:`_sources`."""
        if index in self._whole or self._of_strokes is None:
            return {}
        if index in self._paint:
            return {index: None}
        return {**self._of_strokes.to_chosen(index)}

    def _plane(self, index: int) -> Array:
        sources, strokes = self._sources(index), self._strokes(index)
        first, columns = self._rows.start, self._columns
        height, width = self._rows.stop - first, columns.stop - columns.start
        result = scratch_array((len(self._values), height, width), np.float32)
        shares = np.array([1 / max(1, abs(index - source)) for source in sources])
        shares /= max(shares.sum(), 1e-6)
        if not sources:
            result[:] = 1

        def band(rows: slice) -> None:
            there = slice(first + rows.start, first + rows.stop)
            for share, (source, field) in zip(shares, sources.items(), strict=True):
                found = self._read(source, field, there, columns)[:-1]
                result[:, rows] += np.float32(share) * found
            for source, field in strokes.items():
                found = self._read(source, field, there, columns)
                known = found[-1] * np.float32(_share(index, source))
                result[:, rows] += known * (found[:-1] - result[:, rows])

        for _ in ordered_map(band, bands(height, result[:, 0].size)):
            release(result)
        return result

    def _read(self, source: int, field: Array | None, rows: slice, columns: slice) -> Array:
        """Likelihoods of the classes in rows and columns of a slice, from a painted one.

        One more plane, the last, says where anything is known.
        """
        paint = self._paint[source]
        if field is None:
            return self._likelihood(paint, rows)[:, :, columns]
        displacement = enlarged(field, self._stack.shape, rows)[:, :, columns]
        length = self._stack.shape[0]
        top = int(np.clip(rows.start + displacement[0].min() - 1, 0, length - 1))
        bottom = int(np.clip(rows.stop + displacement[0].max() + 2, top + 1, length))
        part = self._likelihood(paint, slice(top, bottom))
        return moved(part, displacement, (rows.start, columns.start), top)

    def _likelihood(self, paint: Sequence[PaintedSlice], rows: slice) -> Array:
        """1 for each class (L + 1, h, W) that pixels in rows of a slice may be, and where known."""
        first, *others = (self._allowed(one, one.labels[rows]) for one in paint)
        for other in others:
            first *= other
        return np.concatenate([first, 1 - first.min(axis=0, keepdims=True)])

    def _allowed(self, paint: PaintedSlice, labels: Array) -> Array:
        classes = np.searchsorted(self._values, np.where(labels == UNKNOWN, 0, labels))
        table = np.eye(len(self._values) + 1, len(self._values), dtype=np.float32)
        table[0] = [v == 0 or int(v) not in paint.known_labels for v in self._values]
        table[-1] = 1
        classes[labels == UNKNOWN] = len(self._values)
        return np.ascontiguousarray(np.moveaxis(table[classes], -1, 0))


def _is_whole(paint: Sequence[PaintedSlice]) -> bool:
    """Whether something is known of every pixel of a slice."""
    known = paint[0].labels != UNKNOWN
    for one in paint[1:]:
        known = known | (one.labels != UNKNOWN)
    return bool(known.all())


def _share(index: int, source: int) -> float:
    """How much strokes count beside whole slices, so far from where they were made."""
    return 1 / (1 + abs(index - source))
