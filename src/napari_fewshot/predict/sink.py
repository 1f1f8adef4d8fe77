"""What predicted slices become: labels, confidence and landmarks of a whole volume."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..arrays import release
from ..config import PropagationConfig
from ..errors import InputError
from ..named_axes import NamedAxes, has_named_axes
from ..scratch import bands, contiguous, scratch_array
from ..slices.region import PredictedRegion, box_shape
from ..slices.stack import SliceStack
from ..types import Array, Box, Candidate, Landmark, Located, Volume
from .cleanup import clean_labels
from .constellation import locate_landmarks
from .landmark_table import landmark_table
from .landmarks import component_centres
from .learned import LearnedLabels

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FUSED",
    "KnownPlaces",
    "Prediction",
    "PredictionSink",
    "kept_in",
    "smallest_label_dtype",
]

FUSED = "fused"
"""Axis of a prediction that averages the probabilities of all planes that were painted."""

KnownPlaces = Callable[[], Mapping[int, Located] | None]
"""Gives landmarks in file order by label, or candidates of one that was not found; None where they
are to be looked for in the probabilities."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """A labelled volume, on the grid and in the order of the image it was made for.

    Arrays above 64 MB lie in temporary files, which go with them; they behave as others do.

    Parameters
    ----------
    labels : int array, shape (Z, Y, X) or (Y, X)
        Label values of the templates; 0 is background. The smallest of uint8, uint16 and
        int32 that holds them.
    confidence : float32 array, of the shape of ``labels``
        Probability, in 0..1, of the value that ``labels`` has there.
    landmarks : tuple of Landmark
        Up to the set number of points for each label; none where the label is absent.
    names : dict of int to str
        Names of the label values.
    not_found : dict of int to tuple of Candidate
        Label values of landmarks that were looked for and not found, with places that they may
        have all the same, the most probable first.
    """

    labels: Array
    confidence: Array
    landmarks: tuple[Landmark, ...]
    names: dict[int, str]
    not_found: dict[int, tuple[Candidate, ...]] = field(default_factory=dict)

    def labels_like(self, image: Volume | npt.ArrayLike) -> Any:
        """Labels as what the image was: a Volume with names, an array of xarray, or an array.

        ``image`` is the one that was predicted.
        """
        if isinstance(image, Volume):
            return image.with_data(self.labels, names=self.names)
        axes = NamedAxes.of(image) if has_named_axes(image) else None
        return self.labels if axes is None else axes.like(image, self.labels, "labels")

    def landmark_table(self, image: Volume | None = None) -> pd.DataFrame:
        """Landmarks as a table: name, label, z, y, x and score.

        With the image that was predicted, if it has an affine, R, A and S in mm too.
        """
        return landmark_table(self.landmarks, None if image is None else image.affine)


class PredictionSink:
    """Takes the class probabilities of slices of a stack, in any order.

    Large volumes are kept in temporary files.

    Parameters
    ----------
    stack : SliceStack
        Slices that are predicted.
    learned : LearnedLabels
        What the classes stand for.
    settings : PropagationConfig
        Clean-up and landmarks.
    landmarks : collection of int, optional
        Labels whose landmarks are looked for when all slices are there; None: all of them.
    region : PredictedRegion, optional
        The part of the volume that is predicted; None: all.
    known : callable, optional
        Gives landmarks that are placed by what templates show.

    Attributes
    ----------
    labels : int array, shape of the volume, or of the part, in file order
        The most probable class of each pixel, before components are cleaned; 0 where no slice
        has come yet.
    confidence : float32 array, of that shape
        Probability of the class that was chosen, background included.
    box : tuple of slice
        What is predicted: slices, rows and columns of the stack.
    """

    def __init__(
        self,
        stack: SliceStack,
        learned: LearnedLabels,
        settings: PropagationConfig,
        landmarks: Collection[int] | None = None,
        region: PredictedRegion | None = None,
        known: KnownPlaces = lambda: None,
    ) -> None:
        self._known = known
        self._stack, self._learned, self._settings = stack, learned, settings
        self._region = region or PredictedRegion.of(stack.volume)
        self.box = stack.box_from_file(self._region.seen)
        values, shape = learned.label_values, box_shape(self.box)
        self._values = np.array([0, *values], dtype=smallest_label_dtype(values))
        self._points = [v for v in values if landmarks is None or v in landmarks]
        self._labels = scratch_array(shape, self._values.dtype)
        self._confidence = scratch_array(shape, np.float32)
        self._background: Array | None = None
        if settings.cleanup.changes_labels:  # labels become background: how probable is that?
            self._background = scratch_array(shape, np.float32)
        self._probabilities: Array | None = None
        if self._points and settings.landmarks.source == "probabilities":
            self._probabilities = scratch_array((len(values), *shape), np.uint8)
        self.labels = stack.to_file(self._labels)
        self.confidence = stack.to_file(self._confidence)

    def put(self, index: int, plane: Array, rows: tuple[int, int] | None = None) -> None:
        """Take the class probabilities, shape (L + 1, H, W), of a slice of the stack.

        With ``rows``, (first, stop), those of these rows of it, shape (L + 1, stop - first, W). Of
        a part of the volume, H, W and rows are those of the part.
        """
        index -= self.box[0].start
        first = 0 if rows is None else rows[0]
        for part in bands(plane.shape[1], plane.shape[0] * plane.shape[2]):
            given = plane[:, part]
            to = (index, slice(first + part.start, first + part.stop))
            self._labels[to], self._confidence[to] = _most_probable(given, self._values)
            if self._background is not None:
                self._background[to] = np.minimum(given[0], 1)
            if self._probabilities is not None:
                self._probabilities[(slice(None), *to)] = np.rint(given[1:] * np.float32(255))
        for array in (plane, *self._arrays().values()):
            release(array)

    def part(self, start: int, stop: int) -> dict[str, Array]:
        """Copy what is held of slices ``start`` to ``stop`` of the stack, for another sink.

        Arrays by name, slices along the last axis but two; :meth:`put_part` takes them.
        """
        first = self.box[0].start
        return {
            name: np.array(array[..., start - first : stop - first, :, :])
            for name, array in self._arrays().items()
        }

    def put_part(self, start: int, arrays: Mapping[str, Array]) -> None:
        """Take slices from ``start`` on, as :meth:`part` of a sink of the same volume gave them.

        :class:`InputError` if that sink had other settings, labels or shape.
        """
        start -= self.box[0].start
        mine = self._arrays()
        if set(arrays) != set(mine):
            raise InputError("part", f"have the arrays {', '.join(mine)}", ", ".join(arrays))
        for name, array in mine.items():
            given = arrays[name]
            wanted = array[..., start : start + given.shape[-3], :, :]
            if given.shape != wanted.shape or given.dtype != array.dtype:
                expected = f"be {array.dtype} of shape {wanted.shape}"
                raise InputError(name, expected, f"{given.dtype} of shape {given.shape}")
        for name, array in mine.items():
            array[..., start : start + arrays[name].shape[-3], :, :] = arrays[name]
            release(array)

    def _arrays(self) -> dict[str, Array]:
        """All that is kept, by name; the last axes are those of the stack."""
        kept = {
            "labels": self._labels,
            "confidence": self._confidence,
            "background": self._background,
            "probabilities": self._probabilities,
        }
        return {name: array for name, array in kept.items() if array is not None}

    def finish(self) -> Prediction:
        """Clean the labels, find the landmarks; what was put stays as it is."""
        stack, learned = self._stack, self._learned
        labels = clean_labels(self._labels, self._settings.cleanup)
        # No point outside of the region, wherever labels were predicted for its refinement.
        kept = stack.box_from_file(self._region.kept)
        inside = tuple(
            slice(own.start - seen.start, own.stop - seen.start)
            for own, seen in zip(kept, self.box, strict=True)
        )
        known = (self._known() if self._points else None) or {}
        rest = [value for value in self._points if value not in known]
        points = [
            stack.landmark_to_file(_moved(point, kept))
            for point in self._landmarks(labels, inside, rest)
        ]
        wanted = {v: kept_in(known[v], self._region.kept) for v in self._points if v in known}
        points += [one for one in wanted.values() if isinstance(one, Landmark)]
        there = {point.label for point in points}
        gone = [v for v in self._points if v in learned.point_labels and v not in there]
        points.sort(key=lambda point: self._points.index(point.label))  # stable
        return Prediction(
            labels=self._on_whole_grid(labels),
            confidence=self._on_whole_grid(self._confidence_of(labels)),
            landmarks=tuple(points),
            names=dict(learned.names),
            not_found={v: one for v in gone if not isinstance(one := wanted.get(v, ()), Landmark)},
        )

    def _on_whole_grid(self, array: Array) -> Array:
        """Bring what was predicted to the grid of the file, with 0 where nothing was."""
        stack, box = self._stack, self.box
        if array.shape == stack.grid.shape:
            return contiguous(stack.to_file(array))
        result = scratch_array(stack.volume.shape, array.dtype)
        view = stack.from_file(result)
        for number, plane in enumerate(array):
            view[(box[0].start + number, *box[1:])] = plane
            release(result)
            release(array)
        return result

    def _landmarks(self, cleaned: Array, inside: Box, wanted: Sequence[int]) -> list[Landmark]:
        """Landmarks of a part of what was predicted, in voxels of that part."""
        config, stack, learned = self._settings.landmarks, self._stack, self._learned
        if self._probabilities is not None and wanted:
            part = self._probabilities[(slice(None), *inside)]
            return locate_landmarks(part, learned, config, stack, wanted)
        found: list[Landmark] = []
        for value in wanted:
            found += component_centres(
                cleaned[inside],
                self._confidence[inside],
                label=value,
                name=learned.names.get(value, str(value)),
                config=config,
                spacing=stack.spacing,
            )
        return found

    def _confidence_of(self, cleaned: Array) -> Array:
        """Probability of each value of the labels of which some are now background."""
        if self._background is None:
            return self._confidence
        result = scratch_array(self._labels.shape, np.float32)
        height, width = result.shape[1:]
        for index in range(len(result)):
            for rows in bands(height, width):
                to = (index, rows)
                kept = cleaned[to] == self._labels[to]
                result[to] = np.where(kept, self._confidence[to], self._background[to])
            for array in (result, cleaned, *self._arrays().values()):
                release(array)
        return result


def _moved(point: Landmark, box: Box) -> Landmark:
    """A landmark of a box, in voxels of the whole."""
    z, y, x = (at + side.start for at, side in zip(point.position, box, strict=True))
    return replace(point, position=(z, y, x))


def kept_in(found: Located, box: Box) -> Located:
    """What lies in a box of the file; without a landmark itself its candidates."""
    if not isinstance(found, Landmark):
        return tuple(one for one in found if _lies_in(one, box))
    candidates = tuple(one for one in found.candidates if _lies_in(one, box))
    return replace(found, candidates=candidates) if _lies_in(found, box) else candidates


def _lies_in(point: Landmark | Candidate, box: Box) -> bool:
    at = point.position[-len(box) :]
    return all(s.start - 0.5 <= p < s.stop - 0.5 for p, s in zip(at, box, strict=True))


def _most_probable(plane: Array, values: Array) -> tuple[Array, Array]:
    """Value (H, W) and probability of the most probable class, the first of equal ones."""
    highest = np.array(plane[0])
    best = np.full(highest.shape, values[0])
    for value, probability in zip(values[1:], plane[1:], strict=True):
        np.putmask(best, probability > highest, value)
        np.maximum(highest, probability, out=highest)
    return best, np.minimum(highest, 1, out=highest)  # sums of weights are 1 up to rounding


def smallest_label_dtype(values: Sequence[int]) -> np.dtype[np.unsignedinteger | np.signedinteger]:
    """Smallest of uint8, uint16 and int32 that holds the label values."""
    top = max(values, default=0)
    for dtype in (np.uint8, np.uint16):
        if top <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.int32)
