"""Planes of a volume that nobody painted, learned from what was found along the painted one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np

from ..arrays import release
from ..config import ResamplingConfig
from ..scratch import bands, scratch_array
from ..slices.stack import FARTHEST, SliceStack
from ..types import Array, Box
from .carried import PaintedSlice
from .learned import LearnedModel
from .sure import MAX_SLICES, evenly, sure_labels

__all__ = ["SHARE_OF_PAINTED", "FoundLabels", "can_learn_planes", "isotropic"]

SHARE_OF_PAINTED = 0.5
"""Weight of the painted plane in the mean with learned ones, which share the rest."""
_FEWEST = 8
"""Slices of a volume that has planes worth learning."""
_LOGGER = logging.getLogger(__name__)


def can_learn_planes(learned: LearnedModel) -> bool:
    """Whether planes can be learned that nobody painted.

    Not those of points, whose edges are a convention, nor by adapters that learn nothing from
    strokes.
    """
    return learned.config.fuses and not learned.point_labels


class FoundLabels:
    """What was found along one plane of a volume: all probabilities, and the labels that are sure.

    Parameters
    ----------
    stack : SliceStack
        Slices along that plane.
    planes : iterator of (int, array)
        All of its slices with their class probabilities, (L + 1, H, W).
    values : sequence of int
        Label values, in the order of the classes behind background.
    paint : sequence of PaintedSlice
        What was painted in the stack; it overrules what was found.
    """

    def __init__(
        self,
        stack: SliceStack,
        planes: Iterator[tuple[int, Array]],
        values: Sequence[int],
        paint: Sequence[PaintedSlice] = (),
    ) -> None:
        self.stack, self.values = stack, tuple(values)
        self.background = next(value for value in count(1) if value not in self.values)
        shape = stack.grid.shape
        self._known = scratch_array(shape, np.int32)
        self._probabilities = scratch_array((len(values) + 1, *shape), np.float16)
        classes = np.array([self.background, *values], np.int32)
        for index, plane in planes:
            self._known[index] = sure_labels(plane, classes, 0)
            for rows in bands(plane.shape[1], plane[:, 0].size):
                self._probabilities[:, index, rows] = plane[:, rows]
            release(self._known)
            release(self._probabilities)
        for one in paint:
            self._put(one)

    def _put(self, paint: PaintedSlice) -> None:
        """Note what was painted; where labels were not looked for, no background is known."""
        known = self._known[paint.original]
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(int)
            for new, old in zip(known.shape, paint.labels.shape, strict=True)
        )
        labels = paint.labels[rows][:, columns]
        of_these = np.isin(labels, self.values)
        known[of_these] = labels[of_these]
        if paint.known_labels.issuperset(self.values):
            known[labels == 0] = self.background

    def planes(self, box: Box) -> Iterator[tuple[int, Array]]:
        """Slices with their class probabilities, of what lies in a box of the stack."""
        for index in range(box[0].start, box[0].stop):
            yield index, self._probabilities[:, index, box[1], box[2]]

    def along(self, axis: int) -> dict[int, Array]:
        """Slices along a canonical axis that show labels, by number, both in file order.

        None where no background is sure: nothing can be told from it.
        """
        stack = self.stack
        planes = np.moveaxis(stack.to_file(self._known), stack.frame.file_axis(axis), 0)
        labelled = [k for k, plane in enumerate(planes) if self._shows_a_label(plane)]
        some = evenly(labelled, min(MAX_SLICES, len(labelled)))
        chosen = {k: np.ascontiguousarray(planes[k]) for k in some}
        return chosen if any((one == self.background).any() for one in chosen.values()) else {}

    def completed(
        self, stack: SliceStack, planes: Iterator[tuple[int, Array]], own: Sequence[int], box: Box
    ) -> Iterator[tuple[int, Array]]:
        """Slices of another stack of the volume, in a box of it, by what learned some labels.

        Of labels that are not among these, ``own``, it says nothing: they are as probable as they
        were found to be.
        """
        if tuple(own) == self.values:
            yield from planes
            return
        canonical = np.moveaxis(self._probabilities, 1, 1 + self.stack.axis)
        found = np.moveaxis(canonical, 1 + stack.axis, 1)[:, :, box[1], box[2]]
        has = np.isin([-1, *self.values], own)  # background comes of what is left
        for index, plane in planes:
            result = scratch_array((len(has), *plane.shape[1:]), np.float32)
            for rows in bands(plane.shape[1], result[:, 0].size):
                band = found[:, index, rows].astype(np.float32)
                left = 1 - band[1:][~has[1:]].sum(axis=0)
                band[0], band[has] = plane[0, rows] * left, plane[1:, rows] * left
                result[:, rows] = band
            release(result)
            yield index, result

    def _shows_a_label(self, plane: Array) -> bool:
        return any(
            bool(((plane[rows] > 0) & (plane[rows] != self.background)).any())
            for rows in bands(*plane.shape)
        )


def isotropic(stack: SliceStack, resampling: ResamplingConfig) -> ResamplingConfig | None:
    """Grid on which the other planes of a volume look like slices; None where they do not.

    That is where its slices lie far apart, or too close to be true, or are few.
    """
    across, *sides = stack.spacing
    distance = across / min(sides)
    if not stack.is_spacing_plausible or distance > FARTHEST or len(stack) < _FEWEST:
        _LOGGER.warning(
            "%s: no other plane is learned, since %d slices of %g mm with pixels of %g mm show too "
            "little of them; the labels are those of the painted plane.",
            stack.volume.source or "volume",
            len(stack),
            across,
            min(sides),
        )
        return None
    if resampling.mode == "off":
        return ResamplingConfig(mode="isotropic", spacing=min(sides))
    return resampling.model_copy(update={"mode": "isotropic"})
