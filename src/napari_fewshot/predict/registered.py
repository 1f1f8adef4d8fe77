"""Labels of whole painted volumes, brought to other volumes of the same anatomy by registration."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ..arrays import release
from ..parallel import beside, ordered_map
from ..scratch import IN_MEMORY, bands, scratch_array
from ..slices.coarse import CoarseVolume, coarse_grid, coarse_volume, extent_of
from ..slices.grid import resize_plane
from ..slices.registration import INSTALL, MIN_SIDE, Registration, has_registration, register
from ..slices.stack import SliceStack, Window
from ..templates.known import UNKNOWN
from ..templates.training_set import TrainingSet
from ..types import Array, Progress, no_progress
from .carried import PaintedImage, painted_images

__all__ = ["RegisteredLabels", "Registrations", "TemplateVolume", "template_volumes"]

_LOGGER = logging.getLogger(__name__)

_TEMPLATE_VOXELS = 2**20
_TARGET_VOXELS = 2**18
MAX_VOLUMES = 8
_MIN_PAINTED = 0.5
"""Share of the slices of a volume that are painted as a whole."""
_LIKE = 1.6
"""Most ratio of the sides of two volumes, in mm, that may show the same."""
_MIN_SIMILARITY = 0.38
"""Mean local correlation after the registration: right pairs have .44 to .64, wrong .33 or less."""
_MARGIN = 1 / 8
"""Share of its side that what lies at the border of a template is taken to go on for."""
_BAND = 2**20
_MAX_KEPT = 32


@dataclass(frozen=True, eq=False)
class TemplateVolume:
    """A painted volume as a model remembers it, on a coarse grid in canonical order.

    Parameters
    ----------
    image : CoarseVolume
    labels : int array, shape (z, y, x)
        0 for background, ``UNKNOWN`` where nothing is known.
    known_labels : frozenset of int
        Labels that were looked for.
    """

    image: CoarseVolume
    labels: Array
    known_labels: frozenset[int]

    @classmethod
    def of(cls, stack: SliceStack, paint: PaintedImage) -> TemplateVolume | None:
        """Take what is known of a stack; None where not half of its slices are painted.

        None also of a volume that is too thin to be registered.
        """
        whole: dict[int, Array] = {}
        for one in paint.slices:
            before = whole.get(one.index, one.labels)
            whole[one.index] = np.where(before == UNKNOWN, one.labels, before)
        whole = {index: labels for index, labels in whole.items() if (labels != UNKNOWN).all()}
        if stack.volume.ndim != 3 or len(whole) < _MIN_PAINTED * len(stack):
            return None
        grid = coarse_grid(stack, _TEMPLATE_VOXELS)
        if min(grid.working) < MIN_SIDE:
            return None
        labels = np.full(grid.working, UNKNOWN, np.int32)
        for number in range(len(labels)):
            sources = grid.sources(number)
            there = [(weight, index) for index, weight in sources if index in whole]
            if there:
                plane = whole[max(there)[1]]
                labels[number] = resize_plane(plane, grid.working[1:], nearest=True)
        labels = np.ascontiguousarray(np.moveaxis(labels, 0, stack.axis))
        known_labels = frozenset.intersection(*(one.known_labels for one in paint.slices))
        return cls(coarse_volume(stack, _TEMPLATE_VOXELS), labels, known_labels)

    def is_like(self, extent: Array) -> bool:
        """Whether a volume with these sides, in mm, is of about the same size."""
        ratio = extent / self.image.extent
        return bool((ratio < _LIKE).all() and (ratio > 1 / _LIKE).all())


def template_volumes(
    training: TrainingSet, chosen: Sequence[int] | None = None
) -> tuple[TemplateVolume, ...]:
    """Volumes of which most is painted, the first eight of them.

    ``chosen`` are numbers of the examples that count; None: all. None where SimpleITK is not
    installed, which is warned of.
    """
    found: list[TemplateVolume] = []
    for number, paint in painted_images(training, chosen).items():
        if len(found) < MAX_VOLUMES:
            volume = TemplateVolume.of(training.stacks[number], paint)
            if volume is not None:
                found.append(volume)
    if found and not has_registration():
        _LOGGER.warning(
            "SimpleITK is not installed, with which labels of whole volumes are brought to others; "
            "this is left out. Install it: %s",
            INSTALL,
        )
        return ()
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Registrations:
    """Registrations in memory, by the voxels of both volumes: what was found once is at hand."""

    _found: dict[tuple[str, str], Registration] = field(default_factory=dict)

    def of(
        self,
        fixed: CoarseVolume,
        templates: Sequence[TemplateVolume],
        progress: Progress = no_progress,
    ) -> list[Registration]:
        """Register templates with a volume, two at a time.

        ``progress`` is called at each step; it may raise ``Cancelled``.
        """
        found: list[Registration] = []
        name = _digest(fixed)

        def one(template: TemplateVolume, progress: Progress) -> Registration:
            key = name, _digest(template.image)
            known = self._found.get(key)
            if known is not None:
                return known
            done, total = len(found), len(templates)
            result = register(fixed, template.image, lambda: progress(done, total, "registration"))
            if len(self._found) >= _MAX_KEPT:
                self._found.clear()
            self._found[key] = result
            return result

        for first in range(0, len(templates), 2):
            pair = templates[first : first + 2]
            if len(pair) == 1:
                found.append(one(pair[0], progress))
                break
            with beside(partial(one, pair[1])) as second:
                found += [one(pair[0], progress), second()]
        progress(len(templates), len(templates), "registration")
        return found


class RegisteredLabels:
    """An expert for volumes of which nothing is painted, out of template volumes.

    Each is registered with the volume as a whole; one that afterwards does not look like it is left
    out. The labels of the others are read where the registration leads, and averaged. With a
    ``window``, planes are of these rows and columns alone.
    """

    def __init__(
        self,
        stack: SliceStack,
        label_values: Sequence[int],
        found: Sequence[tuple[TemplateVolume, Registration]],
        window: Window | None = None,
    ) -> None:
        height, width = stack.shape
        self._stack = stack
        self._values = np.array([0, *label_values])
        self._templates = [
            (
                np.moveaxis(registration.places, stack.axis + 1, 1),
                _classes(template.labels, self._values),
                _allowed(template.known_labels, self._values),
            )
            for template, registration in found
        ]
        self._rows, self._columns = window or (slice(0, height), slice(0, width))

    @classmethod
    def of(
        cls,
        stack: SliceStack,
        label_values: Sequence[int],
        templates: Sequence[TemplateVolume],
        known: Registrations,
        window: Window | None = None,
        progress: Progress = no_progress,
    ) -> RegisteredLabels | None:
        """Register templates with a stack; None where none of them is like it."""
        if stack.volume.ndim != 3:
            return None
        extent = extent_of(stack)
        alike = [template for template in templates if template.is_like(extent)]
        if not alike:
            return None
        if not has_registration():
            _LOGGER.warning(
                "SimpleITK is not installed, with which the model brings labels of whole volumes "
                "to others; this is left out. Install it: %s",
                INSTALL,
            )
            return None
        fixed = coarse_volume(stack, _TARGET_VOXELS)
        pairs = zip(alike, known.of(fixed, alike, progress), strict=True)
        found = [(template, one) for template, one in pairs if one.similarity >= _MIN_SIMILARITY]
        return cls(stack, label_values, found, window) if found else None

    def weight(self, index: int) -> float:
        """Weight of the labels of a slice beside other experts'."""
        return 1.0

    def planes(self, indices: Sequence[int]) -> Iterator[Array]:
        """Likelihood of each class, 0..1, shape (L + 1, H, W), float32; not to the sum of 1.

        1 for all classes where nothing is known.
        """
        size = 4 * len(self._values) * self._stack.shape[0] * self._stack.shape[1]
        return ordered_map(self._plane, indices, side_by_side=size <= IN_MEMORY)

    def _plane(self, index: int) -> Array:
        first, columns = self._rows.start, self._columns
        height, width = self._rows.stop - first, columns.stop - columns.start
        result = scratch_array((len(self._values), height, width), np.float32)
        share = np.float32(1 / len(self._templates))

        def band(rows: slice) -> None:
            there = slice(first + rows.start, first + rows.stop)
            for places, classes, allowed in self._templates:
                at = self._at(places, index, there, columns)
                found = _read(classes, len(self._values), at.reshape(3, -1))
                likely = (allowed.T @ found).reshape(-1, *at.shape[1:])
                result[:, rows] += share * likely

        for _ in ordered_map(band, bands(height, len(self._values) * width, _BAND)):
            release(result)
        return result

    def _at(self, places: Array, index: int, rows: slice, columns: slice) -> Array:
        """Places (3, h, w) in the template of some pixels of a slice."""
        count, (height, width) = self._stack.grid.working[0], self._stack.shape
        _, slices, coarse_height, coarse_width = places.shape
        plane = _between(places, np.array([index]), count, slices, 1)[:, 0]
        plane = _between(plane, np.arange(rows.start, rows.stop), height, coarse_height, 1)
        return _between(plane, np.arange(columns.start, columns.stop), width, coarse_width, 2)


def _between(array: Array, indices: Array, count: int, coarse: int, axis: int) -> Array:
    """Linear interpolation along an axis of ``coarse`` cells, which cover ``count`` ones."""
    at = np.clip((indices + 0.5) * coarse / count - 0.5, 0, coarse - 1)
    low = np.minimum(at.astype(int), max(0, coarse - 2))
    share = (at - low).astype(np.float32)
    share = share.reshape([-1 if k == axis else 1 for k in range(array.ndim)])
    high = np.minimum(low + 1, coarse - 1)
    result: Array = array.take(low, axis) * (1 - share) + array.take(high, axis) * share
    return result


def _classes(labels: Array, values: Array) -> Array:
    """Class of each voxel; one more, the last, where nothing is known."""
    found = np.searchsorted(values, np.where(labels == UNKNOWN, 0, labels))
    return np.where(labels == UNKNOWN, len(values), found)


def _allowed(known_labels: frozenset[int], values: Array) -> Array:
    """Which classes (columns) a voxel may be of that has a class (rows) in a template."""
    table = np.eye(len(values) + 1, len(values), dtype=np.float32)
    table[0] = [v == 0 or int(v) not in known_labels for v in values]
    table[-1] = 1
    return table


def _read(classes: Array, count: int, places: Array) -> Array:
    """Share of each class, and of what is unknown, around places (3, n): (L + 2, n).

    A little outside of the template, its border is read.
    """
    number = places.shape[1]
    sides = np.array(classes.shape)[:, None]
    beyond = np.maximum(-places, places - (sides - 1)) > _MARGIN * sides
    nowhere = beyond.any(axis=0)
    places = np.clip(places, 0, sides - 1)
    low = np.floor(places).astype(int)
    share = places - low
    result = np.zeros((count + 1) * number)
    pixels = np.arange(number)
    for corner in np.ndindex(2, 2, 2):
        step = np.array(corner)[:, None]
        weight = np.where(step == 1, share, 1 - share).prod(axis=0)
        own = np.where(nowhere, count, classes[tuple(np.minimum(low + step, sides - 1))])
        result += np.bincount(own * number + pixels, weight, len(result))
    return result.reshape(count + 1, number).astype(np.float32)


def _digest(image: CoarseVolume) -> str:
    digest = hashlib.sha256(f"{image.grey.shape} {image.spacing}".encode())
    digest.update(np.ascontiguousarray(image.grey).data)
    return digest.hexdigest()
