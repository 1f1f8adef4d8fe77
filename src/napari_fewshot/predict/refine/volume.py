"""Refinement of the labels of a whole volume, slice by slice, in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...config import IntensityConfig
from ...errors import InputError
from ...geometry import Frame, resolve_axis
from ...slices.stack import SliceStack, to_stack
from ...types import Array, Progress, Volume, no_progress
from .base import Region
from .choice import AUTO, Refiner, get_refiner
from .depth import depth_confidence

__all__ = ["LabelRefiner", "RefinedSlice", "refine_labels"]


@dataclass(frozen=True, eq=False)
class RefinedSlice:
    """One slice after refinement.

    Parameters
    ----------
    index : int
        Slice along :attr:`LabelRefiner.axis`.
    labels : int array, shape (rows, columns) in file order
    confidence : float32 array, shape (rows, columns)
        Probability of the value that ``labels`` has there.
    refined : bool
        False where the slice was empty; it is then as it was.
    """

    index: int
    labels: Array
    confidence: Array
    refined: bool


class LabelRefiner:
    """Refines slices of one label volume in any order.

    Indices count slices along :attr:`axis` of the file order. A slice is read when its turn
    comes, and each is refined by itself, so the order does not change the result. Beside the
    labels and the confidence, memory holds one slice, whatever their number.

    Parameters
    ----------
    volume : Volume
        The image.
    labels : int array, of the spatial shape of the volume
        What is known of it, in file order; 0 is background.
    confidence : array of that shape, optional
        Probability, in 0..1, of the value that ``labels`` has there. None: pixels deep inside of
        their region count as sure,
        see :func:`~.depth.depth_confidence`.
    refiner : Refiner
        From :func:`~napari_fewshot.predict.refine.get_refiner`.
    axis : int or str, optional
        Axis of the slices: an integer in file order, ``"axial"``, ``"coronal"`` or
        ``"sagittal"`` in the patient. None: axial where the file says how it lies, else 0.
    intensity : IntensityConfig or dict, optional
        How grey values become 0..1.
    copy : bool
        Whether to leave the arrays that are given as they are; else they are written to, where
        their type allows it.

    Attributes
    ----------
    axis : int
        Axis of the slices in file order.
    labels : int array
        The labels so far, of the dtype given.
    confidence : float32 array
        The confidence so far; where none was given, 0 on slices whose turn has not come.

    Raises
    ------
    InputError
        If shapes differ, labels are no integers, or the axis is none of the volume.
    """

    def __init__(
        self,
        volume: Volume,
        labels: npt.ArrayLike,
        confidence: npt.ArrayLike | None,
        refiner: Refiner,
        *,
        axis: int | str | None = None,
        intensity: IntensityConfig | dict[str, Any] | None = None,
        copy: bool = True,
    ) -> None:
        self.labels = _checked_labels(labels, volume, copy)
        self._given = confidence is not None
        self.confidence = _confidence(confidence, volume, copy)
        frame = Frame.of(volume.affine, volume.ndim)
        canonical = 0
        if axis is not None and volume.ndim == 3:
            canonical = resolve_axis(axis, frame, volume.ndim)
        settings = IntensityConfig.of(intensity, "intensity")
        self._stack = SliceStack(volume, canonical, settings)
        self._refiner = refiner
        self.axis, self._numbers = self._stack.file_slices()
        self._labels = to_stack(self.labels, frame, canonical)
        self._confidence = to_stack(self.confidence, frame, canonical)

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self._numbers)

    def run(
        self, order: Sequence[int] | None = None, progress: Progress = no_progress
    ) -> Iterator[RefinedSlice]:
        """Refine slices, all of them or some; empty ones are passed over as they are.

        Parameters
        ----------
        order : sequence of int, optional
            Slices in the order in which they are wanted; None: all.
        progress : callable
            Called after every slice; it may raise ``Cancelled``. What was refined stays.

        Raises
        ------
        InputError
            If an index is not in the volume; before anything is refined.
        """
        wanted = range(len(self)) if order is None else [self._checked(index) for index in order]
        return self._run(wanted, progress)

    def _run(self, wanted: Sequence[int], progress: Progress) -> Iterator[RefinedSlice]:
        refiner = None
        for done, index in enumerate(wanted, start=1):
            number = self._numbers[index]
            region = self._region(number)
            filled = bool(region.labels.any())
            if filled:
                if refiner is None:
                    refiner = self._refiner.on(self._stack)
                found = refiner.refine(number, region)
                self._labels[number] = found.labels
                self._confidence[number] = found.confidence
            elif not self._given:
                self._confidence[number] = region.confidence
            part = RefinedSlice(
                index,
                self._slice(self.labels, index).copy(),
                self._slice(self.confidence, index).copy(),
                filled,
            )
            progress(done, len(wanted), "refining")
            yield part

    def _region(self, number: int) -> Region:
        labels = np.array(self._labels[number])
        if not self._given:
            return Region(labels, depth_confidence(labels))
        confidence = np.nan_to_num(self._confidence[number], nan=0.0)
        return Region(labels, np.clip(confidence, 0, 1, dtype=np.float32))

    def _slice(self, array: Array, index: int) -> Array:
        return array if array.ndim == 2 else np.moveaxis(array, self.axis, 0)[index]

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise InputError("slices", f"be within 0..{len(self) - 1}", index)
        return int(index)


def refine_labels(
    volume: Volume | npt.ArrayLike,
    labels: Volume | npt.ArrayLike,
    confidence: Volume | npt.ArrayLike | None = None,
    *,
    method: str | Refiner = AUTO,
    axis: int | str | None = None,
    intensity: IntensityConfig | dict[str, Any] | None = None,
    slices: Sequence[int] | None = None,
    progress: Progress = no_progress,
) -> tuple[Array, Array]:
    """Make the labels of an image more exact, slice by slice.

    Parameters
    ----------
    volume : Volume or array, shape (Z, Y, X) or (Y, X), channels last if RGB
        The image.
    labels : Volume or int array, shape (Z, Y, X) or (Y, X)
        A label map on the grid of the image; 0 is background.
    confidence : Volume or array, of that shape, optional
        Probability, in 0..1, of the value that ``labels`` has there. None: pixels deep inside of
        their region count as sure.
    method : str or Refiner
        ``"auto"``, ``"random-walker"``, the name of a SAM, or what
        :func:`~napari_fewshot.get_refiner` gave.
    axis : int or str, optional
        Axis of the slices, as for :meth:`FewShotSegmenter.predict`. None: axial where the file
        says how it lies, else 0.
    intensity : IntensityConfig or dict, optional
        How grey values become 0..1; a window helps on CT.
    slices : sequence of int, optional
        Slices along the axis of the file order to refine; None: all.
    progress : callable
        ``progress(done, total, what)``; it may raise ``Cancelled``.

    Returns
    -------
    labels : array, of the shape and dtype given
        Of values that the slice had before; slices that were empty stay so.
    confidence : float32 array
        Probability of the value that ``labels`` has there; where none was given, 0 on slices
        that were not asked for.

    Raises
    ------
    UnknownNameError
        If the method does not exist.
    InputError
        If shapes differ, labels are no integers, or an axis or slice is none of the volume.
    WeightsError
        If the weights of a network cannot be had.

    Examples
    --------
    >>> labels, confidence = refine_labels(image, labels, method="random-walker")
    """
    image = Volume.of(volume)
    refiner = method if isinstance(method, Refiner) else get_refiner(method)
    work = LabelRefiner(
        image, _data(labels), _data(confidence), refiner, axis=axis, intensity=intensity
    )
    for _ in work.run(slices, progress):
        pass
    return work.labels, work.confidence


def _data(given: Any) -> Any:
    return given.data if isinstance(given, Volume) else given


def _checked_labels(labels: npt.ArrayLike, volume: Volume, copy: bool) -> Array:
    array = np.array(labels) if copy else np.asanyarray(labels)
    if array.dtype.kind not in "iu":
        raise InputError("labels", "be integers", f"dtype {array.dtype}")
    if array.shape != volume.shape:
        raise InputError("labels", f"have the shape {volume.shape} of the image", array.shape)
    return array


def _confidence(confidence: npt.ArrayLike | None, volume: Volume, copy: bool) -> Array:
    if confidence is None:
        return np.zeros(volume.shape, np.float32)
    given = np.asanyarray(confidence, dtype=np.float32)
    array = given.copy() if copy else given
    if array.shape != volume.shape:
        raise InputError("confidence", f"have the shape {volume.shape} of the image", array.shape)
    return array
