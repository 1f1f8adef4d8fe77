"""Labels of a whole volume made more exact, slice by slice, in any order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import IntensityConfig
from ..errors import InputError
from ..slices.axis import working_axis
from ..slices.stack import SliceStack
from ..types import Array, Progress, Volume, no_progress
from .probabilities import SliceWork
from .refiners import AUTO, Refiner, Region, get_refiner

__all__ = ["LabelRefiner", "RefinedSlice", "distance_confidence", "refine_labels"]


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


class LabelRefiner(SliceWork[RefinedSlice]):
    """Refines slices of one label volume in any order.

    Indices count slices along :attr:`axis` of the file order; empty slices are passed over as they
    are. A slice is read when its turn
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
        their region count as sure, see :func:`distance_confidence`.
    refiner : Refiner
        From :func:`~napari_fewshot.get_refiner`.
    axis : int or str, optional
        Axis of the slices: an integer in file order, ``"axial"``, ``"coronal"`` or
        ``"sagittal"`` in the patient. None: axial where the file says how it lies, else 0.
    intensity : IntensityConfig or dict, optional
        How grey values become 0..1.
    unrefined : collection of int
        Labels that stay as they are, and are background to the others.
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

    _parameter = "slices"

    def __init__(
        self,
        volume: Volume,
        labels: npt.ArrayLike,
        confidence: npt.ArrayLike | None,
        refiner: Refiner,
        *,
        axis: int | str | None = None,
        intensity: IntensityConfig | dict[str, Any] | None = None,
        unrefined: Collection[int] = (),
        copy: bool = True,
    ) -> None:
        self.labels = np.array(labels) if copy else np.asanyarray(labels)
        if self.labels.dtype.kind not in "iu":
            raise InputError("labels", "be integers", f"dtype {self.labels.dtype}")
        self._given = confidence is not None
        if confidence is None:
            self.confidence = np.zeros(volume.shape, np.float32)
        else:
            given = np.asanyarray(confidence, dtype=np.float32)
            self.confidence = given.copy() if copy else given
        for name, array in (("labels", self.labels), ("confidence", self.confidence)):
            if array.shape != volume.shape:
                raise InputError(name, f"have the shape {volume.shape} of the image", array.shape)
        settings = IntensityConfig.of(intensity, "intensity")
        super().__init__(SliceStack(volume, working_axis(volume, axis), settings))
        self._refiner, self._unrefined = refiner, list(unrefined)
        self._labels = self._stack.from_file(self.labels)
        self._confidence = self._stack.from_file(self.confidence)

    def _run(self, wanted: Sequence[int], progress: Progress) -> Iterator[RefinedSlice]:
        refiner = None
        for done, index in enumerate(wanted, start=1):
            number = self._numbers[index]
            region = self._region(number)
            stays = np.isin(region.labels, self._unrefined)
            labels = np.where(stays, 0, region.labels)
            filled = bool(labels.any())
            if filled:
                if refiner is None:
                    refiner = self._refiner.on(self._stack)
                found = refiner.refine(number, replace(region, labels=labels))
                self._labels[number] = np.where(stays, region.labels, found.labels)
                self._confidence[number] = np.where(stays, region.confidence, found.confidence)
            elif not self._given:
                self._confidence[number] = region.confidence
            part = RefinedSlice(
                index,
                self._plane(self.labels, index).copy(),
                self._plane(self.confidence, index).copy(),
                filled,
            )
            progress(done, len(wanted), "refining")
            yield part

    def _region(self, number: int) -> Region:
        labels = np.array(self._labels[number])
        if not self._given:
            return Region(labels, distance_confidence(labels))
        confidence = np.nan_to_num(self._confidence[number], nan=0.0)
        return Region(labels, np.clip(confidence, 0, 1, dtype=np.float32))


def distance_confidence(labels: Array, radius: float = 3.0) -> Array:
    """Confidence of a slice of labels (H, W) that came without one, float32.

    It is 0.5 at the border of a region (background is one too) and grows to 1 at ``radius``
    pixels from it, or in the middle of regions that are thinner; a region that is nothing but
    border is sure.
    """
    from scipy.ndimage import distance_transform_edt, maximum
    from skimage.measure import label as find_components
    from skimage.segmentation import find_boundaries

    border = find_boundaries(labels, connectivity=1, mode="thick")
    if not border.any():
        return np.ones(labels.shape, np.float32)
    distance = distance_transform_edt(~border)
    numbers = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    parts, count = find_components(numbers, background=-1, return_num=True, connectivity=1)
    largest = np.asarray(maximum(distance, parts, np.arange(1, count + 1)))[parts - 1]
    inside = np.minimum(1.0, distance / np.clip(largest, 1.0, radius))
    return np.where(largest == 0, 1.0, 0.5 + 0.5 * inside).astype(np.float32)


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
    refiner = method if isinstance(method, Refiner) else get_refiner(method)
    work = LabelRefiner(
        Volume.of(volume),
        labels.data if isinstance(labels, Volume) else labels,
        confidence.data if isinstance(confidence, Volume) else confidence,
        refiner,
        axis=axis,
        intensity=intensity,
    )
    for _ in work.run(slices, progress):
        pass
    return work.labels, work.confidence
