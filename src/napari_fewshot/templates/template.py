"""Templates: images with what is known about some of their slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..arrays import blocks
from ..errors import InputError
from ..geometry import Frame
from ..io.matching import on_grid
from ..named_axes import has_named_axes
from ..slices.axis import check_painted_axis, file_axis, painted_axis, working_axis
from ..types import Array, Landmark, Volume

__all__ = ["SCRIBBLE_BACKGROUND", "Template", "check_names"]

SCRIBBLE_BACKGROUND = -1
"""Reserved value of scribble templates with which background is painted, if not set."""


@dataclass(frozen=True, eq=False)
class Template:
    """An image and what a person knows about it.

    Parameters
    ----------
    image : Volume or array, shape (Z, Y, X) or (Y, X), with channels last if RGB
    labels : Volume, int array or mapping of int to int array, optional
        Label values, shape (Z, Y, X) or (Y, X); 0 where nothing is painted. An array of int32 is
        not copied. A mapping holds slices along ``axis`` by their numbers, each of the shape of the
        other two axes: others have no paint, and are not looked at. None for a template of points.
    slices : sequence of int, "painted" or "all", optional
        Slices along ``axis`` (in file order) that are known. None or ``"painted"``: those with
        paint. ``"all"``: every slice. A listed slice without paint is known to be empty. None
        is refused where ``axis`` runs across the slices that are obviously painted.
    known_labels : sequence of int, optional
        Labels that were looked for; others are unknown here, not background. None: the labels
        that occur in (or are named by) this template; if there are none, every label.
    axis : int or {"axial", "coronal", "sagittal"}, optional
        Axis of the painted slices. An integer counts in file order, a name is meant in the
        patient. None: the axis along which the labels are painted.
    kind : {"dense", "scribble"}
        ``dense``: on a known slice every unpainted pixel is background. ``scribble``: only
        painted pixels are known, and background is painted with ``background``.
    points : sequence of Landmark
        Landmarks; a disk round each becomes its label on its slice.
    background : int
        The value that means background in a scribble template.
    """

    image: Volume | npt.ArrayLike
    labels: Volume | npt.ArrayLike | Mapping[int, npt.ArrayLike] | None = None
    slices: Sequence[int] | Literal["painted", "all"] | None = None
    known_labels: Sequence[int] | None = None
    axis: int | str | None = None
    kind: Literal["dense", "scribble"] = "dense"
    points: Sequence[Landmark] = ()
    background: int = SCRIBBLE_BACKGROUND
    names: Mapping[int, str] = field(default_factory=dict)
    _given: tuple[int, ...] | None = field(init=False, default=None, repr=False)
    """Slices along ``axis`` that labels were given for; None: for all."""

    def __post_init__(self) -> None:
        """Check the values and turn arrays into volumes."""
        image = Volume.of(self.image)
        object.__setattr__(self, "image", image)
        if self.kind not in ("dense", "scribble"):
            raise InputError("kind", "be dense or scribble", self.kind)
        if self.labels is None and not self.points:
            remedy = "Paint a slice, mark a point, or leave the image out."
            raise InputError("labels", "be given, or points", "neither", remedy)
        labels: Volume | None = None
        if isinstance(self.labels, Mapping):
            labels = self._of_planes(self.labels, image)
        elif self.labels is not None:
            labels = _checked_labels(self.labels, image)
        object.__setattr__(self, "labels", labels)
        names = dict(labels.names) if labels is not None else {}
        names.update({point.label: point.name for point in self.points})
        names.update(self.names)
        object.__setattr__(self, "names", names)
        self._check_values()
        self._check_axis()

    def _of_planes(self, planes: Mapping[Any, npt.ArrayLike], image: Volume) -> Volume:
        """Labels of the whole image, of which what was not given takes no memory."""
        axis = 0 if image.ndim == 2 else file_axis(image, self.axis)
        shape = (1, *image.shape)[-3:]
        rest = (*shape[:axis], *shape[axis + 1 :])
        data = np.zeros((shape[axis], *rest), np.int32)
        for number, plane in planes.items():
            if not isinstance(number, int | np.integer) or not 0 <= number < len(data):
                raise InputError("labels", f"be of slices 0..{len(data) - 1}", f"slice {number!r}")
            if np.shape(plane) != rest:
                raise _of_other_shape(f"each have the shape {rest} of a slice", np.shape(plane))
            data[number] = _whole_numbers(np.asarray(plane))
        object.__setattr__(self, "_given", tuple(sorted(planes)))
        if image.ndim == 3:
            object.__setattr__(self, "axis", axis)
            if self.slices is None:  # a copy of this template has the whole array
                painted = [number for number in self._given or () if data[number].any()]
                object.__setattr__(self, "slices", painted)
        whole = data[0] if image.ndim == 2 else np.moveaxis(data, 0, axis)
        return image.with_data(whole, names=dict(self.names))

    def _check_values(self) -> None:
        values = set(self.painted_values())
        if self.kind == "scribble" and self.background == 0:
            raise InputError("background", "be a value that is painted, not 0", 0)
        if any(point.label < 1 for point in self.points):
            raise InputError(
                "points", "have labels of at least 1", [point.label for point in self.points]
            )
        if min(values, default=1) < 0:
            raise InputError(
                "labels",
                "be 0 or above in a dense template"
                if self.kind == "dense"
                else f"be 0 or above, or {self.background} for background",
                f"value {min(values)}",
                "For painted background use kind='scribble' and say its value (background).",
            )
        wanted = () if self.known_labels is None else tuple(self.known_labels)
        if any(int(v) != v or v < 1 for v in wanted):
            raise InputError("known_labels", "be label values of at least 1", wanted)
        missing = values - set(wanted) - {self.background}
        if self.known_labels is not None and missing:
            raise InputError(
                "known_labels",
                "include every label that is painted",
                wanted,
                f"Painted too: {sorted(missing)}.",
            )

    def _check_axis(self) -> None:
        """Refuse an axis across the slices that were painted.

        Every slice along it would be cut by paint, and what nobody looked at be background.
        """
        unsaid = self.slices is None and self.kind == "dense" and self._given is None
        labels = self.label_volume
        if self.axis is None or labels is None or not unsaid or labels.ndim == 2:
            return
        check_painted_axis(labels.data, self.axis, self.file_axis(), self.frame)

    def painted_values(self) -> list[int]:
        """Label values that occur in the labels or the points, sorted, without 0."""
        return sorted(self.painted_labels() | {point.label for point in self.points})

    def painted_labels(self) -> set[int]:
        """Label values that occur in the labels, without 0."""
        planes = self.painted_planes(0 if self._given is None else self.file_axis()).values()
        found = {int(v) for plane in planes for v in np.unique(plane)} - {0}
        return found - {self.background} if self.kind == "scribble" else found

    def painted_planes(self, axis: int) -> dict[int, Array]:
        """Slices of the labels along a file axis that have paint, views; this looks at all."""
        if self.label_volume is None:
            return {}
        data = self.label_volume.data
        stack = data[None] if data.ndim == 2 else np.moveaxis(data, axis, 0)
        if self._given is not None and axis == self.file_axis():
            return {k: stack[k] for k in self._given if stack[k].any()}
        return {int(k): stack[k] for k in np.flatnonzero(stack.any(axis=(1, 2)))}

    def has_background(self) -> bool:
        """Whether background is painted: always in a dense template."""
        if self.kind == "dense" or self.labels is None:
            return True
        labels = self.label_volume
        parts = () if labels is None else blocks(labels.data)
        return any(bool((part == self.background).any()) for _, part in parts)

    def only(self, *values: int) -> Template:
        """Return the template for some of its labels; the others become background.

        This is how one label is learned against the rest. Slices that are known stay known.
        :class:`InputError` if a value is not painted here.
        """
        painted = self.painted_values()
        for value in values:
            if value not in painted:
                raise InputError("values", f"be among the painted labels {painted}", value)
        names = {v: name for v, name in self.names.items() if v in values}
        labels = self.label_volume
        if labels is not None:
            others = np.isin(labels.data, [v for v in painted if v not in values])
            rest = self.background if self.kind == "scribble" else 0
            data = np.where(others, rest, labels.data).astype(labels.data.dtype)
            labels = labels.with_data(data, names=names)
        axis = self.axis if self.axis is not None or self.volume.ndim == 2 else self.file_axis()
        points = tuple(point for point in self.points if point.label in values)
        # A slice of another label's landmark says nothing of these labels.
        slices = replace(self, points=points).painted_slices() if self.slices is None else None
        return replace(
            self,
            labels=labels,
            slices=self.slices if slices is None else slices,
            known_labels=values if self.known_labels is not None else None,
            axis=axis,
            points=points,
            names=names,
        )

    def file_axis(self) -> int:
        """Axis of the slices in file order."""
        return self.frame.file_axis(self.working_axis())

    def painted_slices(self) -> list[int]:
        """Slices along :meth:`file_axis` that have paint or points, in file order."""
        if self.volume.ndim == 2:
            return [0]
        axis = self.file_axis()
        found = {int(np.floor(point.position[axis] + 0.5)) for point in self.points}
        return sorted(found | self.painted_planes(axis).keys())

    @property
    def volume(self) -> Volume:
        """The image."""
        return Volume.of(self.image)

    @property
    def label_volume(self) -> Volume | None:
        """The labels; None of points alone."""
        return self.labels if isinstance(self.labels, Volume) else None

    @property
    def frame(self) -> Frame:
        """How the file order relates to the patient."""
        return Frame.of(self.volume.affine, self.volume.ndim)

    def working_axis(self) -> int:
        """Return the canonical axis of the slices: as given, or the one that is painted."""
        labels = self.label_volume
        if self.axis is None and labels is not None and labels.ndim == 3:
            painted = painted_axis(labels.data, self.frame.file_axis(0))
            return self.frame.canonical_axis(painted)
        return working_axis(self.volume, self.axis)


def _checked_labels(labels: Volume | npt.ArrayLike, image: Volume) -> Volume:
    given = labels if isinstance(labels, Volume) else None
    if given is not None:
        given = on_grid(image, given)
    elif has_named_axes(labels):
        labels = Volume.of(labels, channels=False).data
    data = np.asarray(given.data if given is not None else labels)
    if data.shape != image.shape:
        raise _of_other_shape(f"have the shape of the image {image.shape}", data.shape)
    return image.with_data(_whole_numbers(data), names=dict(given.names) if given else {})


def _whole_numbers(data: Array) -> Array:
    """Labels as int32; an array of that dtype is not copied."""
    if data.dtype.kind not in "biuf":
        raise InputError("labels", "be whole numbers", f"dtype {data.dtype}")
    if data.dtype.kind == "f" and not (np.isfinite(data).all() and (data == np.round(data)).all()):
        raise InputError("labels", "be whole numbers", f"{data.dtype} with fractions or NaN")
    fits = np.can_cast(data.dtype, np.int32)  # else all of it is looked at
    if not fits and max(-int(data.min()), int(data.max())) > np.iinfo(np.int32).max:
        raise InputError("labels", "fit into int32", f"values {data.min()} to {data.max()}")
    return data.astype(np.int32, copy=False)


def _of_other_shape(wanted: str, shape: tuple[int, ...]) -> InputError:
    return InputError("labels", wanted, f"shape {shape}")


def check_names(templates: Sequence[Template], labels: Sequence[set[int]] | None = None) -> None:
    """Refuse a label that means two things, which would be learned as one.

    :class:`InputError` if a label has two names (case does not count), or is painted without a name
    and stands for a landmark as well. ``labels`` are those painted in each, where they are counted
    already.
    """
    found: dict[int, str] = {}
    counted = [t.painted_labels() for t in templates] if labels is None else labels
    for template, own in zip(templates, counted, strict=True):
        pairs = [(point.label, point.name) for point in template.points]
        names = {} if template.label_volume is None else template.label_volume.names
        pairs += [(value, names[value]) for value in own if value in names]
        for value, name in pairs:
            other = found.setdefault(value, name)
            if other.strip().casefold() != name.strip().casefold():
                raise _two_meanings(value, other, name)
    named = {v for t in templates if t.label_volume is not None for v in t.label_volume.names}
    painted = set().union(*counted)
    for template in templates:
        for point in template.points:
            if point.label in painted - named and point.name != str(point.label):
                raise _two_meanings(point.label, "a painted label", point.name)


def _two_meanings(value: int, first: str, second: str) -> InputError:
    return InputError(
        "points, labels",
        "give each label one name in all templates",
        f"label {value} as {first} and as {second}",
        "Renumber one of them, or name the painted label if the two are one structure.",
    )
