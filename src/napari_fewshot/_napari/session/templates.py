"""Templates out of layers: what is known, taken on the GUI thread, merged image by image."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from typing import Any, Literal

import numpy as np

from ...errors import InputError
from ...slices.axis import painted_axis
from ...templates import Template
from ...types import Array, Landmark, Volume
from ..annotations import check_order, landmarks_in, named
from ..layers import array_of, check_axes, image_volume, label_names, level_like, shape_of
from .slicing import Key, Slicing
from .teaching import Provenance, Teaches, provenance_of

__all__ = ["Kind", "TemplateEntry", "entry_of", "snapshot"]

Kind = Literal["dense", "scribble", "points"]
_KINDS = {"dense": "dense labels", "scribble": "scribbles", "points": "landmarks"}
_SCRIBBLE_BACKGROUND = 255
"""Label that means background in scribbles, unless another one is named so."""
_BACKGROUND = -1


@dataclass(frozen=True, eq=False)
class TemplateEntry:
    """An image layer, and the layer in which a person says what is there.

    Parameters
    ----------
    image : napari.layers.Image
    labels : napari.layers.Labels or napari.layers.Points
    kind : {"dense", "scribble", "points"}
    slicing : Slicing
        Of the labels, or of the image for points.
    level : int
        Level of a multiscale image that the labels were painted on.
    lead : tuple of int
        Place on the image's leading axes of labels that do not have these axes.
    """

    image: Any
    labels: Any
    kind: Kind
    slicing: Slicing
    level: int = 0
    lead: Key = ()

    @property
    def provenance(self) -> Provenance | None:
        """What is known of the slices; None for points."""
        return provenance_of(self.labels)

    def teaching(self, place: Key) -> dict[Key, Teaches]:
        """Slices of the labels that teach at a place of the image's leading axes, and what.

        Of scribbles, and of strokes over a prediction, a part: what is not painted is unknown.
        """
        if not self.slicing.leading and place != self.lead:
            return {}
        lead = place if self.slicing.leading else ()
        if self.kind == "points":
            axis = self.slicing.axis if self.slicing.spatial == 3 else 0
            marked = {round(mark.position[axis]) for mark in self.points(place)}
            return {(*lead, k): "whole" for k in sorted(marked)}
        provenance, scribbles = self.provenance, self.kind == "scribble"
        return {} if provenance is None else provenance.teaching(lead, scribbles=scribbles)

    def taught(self) -> dict[Key, dict[Key, Teaches]]:
        """Places on the image's leading axes where something teaches, and what does."""
        places = self.slicing.leads() if self.slicing.leading else [self.lead]
        return {place: found for place in places if (found := self.teaching(place))}

    def slices(self) -> list[Key]:
        """Slices that teach as this kind of template does, at all places."""
        part = self.kind == "scribble"
        found = [slices.items() for slices in self.taught().values()]
        return [key for items in found for key, what in items if part or what == "whole"]

    def scribbles(self, key: Key) -> Array | None:
        """What is known of a part of a slice, int32: 0 nothing, -1 background; None: no part."""
        provenance = self.provenance
        if provenance is None or not provenance.fits:
            return None
        if self.kind == "dense" and provenance.teaches(key) == "whole":
            return None
        plane = _values(self, provenance.data, key)
        whole = provenance.is_painted(key)  # scribbles before anything was predicted here
        voxels = plane != 0 if whole else provenance.strokes(key)
        background = self._scribble_background() if self.kind == "scribble" else 0
        return np.where(voxels, np.where(plane == background, _BACKGROUND, plane), 0)

    def key_of(self, key: Key) -> Key | None:
        """Slice of the labels for one of the image; None if the labels are not of its place."""
        there = bool(self.slicing.leading) or key[:-1] == self.lead
        return self.slicing.own(key) if there else None

    def names(self) -> dict[int, str]:
        """Names of label values."""
        return {} if self.kind == "points" else label_names(self.labels.features)

    def points(self, place: Key) -> list[Landmark]:
        """Points at one place of the image's leading axes, with the names that they have."""
        return landmarks_in(self.labels, self.image, place, self.level)

    def __str__(self) -> str:
        count = len(self.slices())
        what = self._landmarks() if self.kind == "points" else f"{count} slice{'s' * (count != 1)}"
        return f"{self.labels.name} → {self.image.name}: {what}"

    @property
    def about(self) -> str:
        """For a tooltip: kind, and the numbers of the slices."""
        found, kind = self.slices(), _KINDS[self.kind]
        numbers = ", ".join(str(key[-1] if len(key) == 1 else key) for key in found[:12])
        more = " …" if len(found) > 12 else ""
        text = f"{kind} on slices {numbers}{more}" if found else f"{kind}, nothing painted yet"
        strokes = sum(len(slices) for slices in self.taught().values()) - len(found)
        return f"{text}; strokes alone on {strokes} more" if strokes else text

    def _landmarks(self) -> str:
        """How many landmarks there are, and how many points where these are more."""
        images = named([self.points(place) for place in self.taught()])
        points = sum(len(marks) for marks in images)
        count = len({mark.label for marks in images for mark in marks})
        text = f"{count} landmark{'s' * (count != 1)}"
        return text if points == count else f"{text} ({points} points)"

    def _scribble_background(self) -> int:
        """Label that means background in scribbles: the one of that name, else 255."""
        named_so = (
            v for v, name in self.names().items() if name.strip().casefold() == "background"
        )
        return next(named_so, _SCRIBBLE_BACKGROUND)


def entry_of(image: Any, labels: Any, kind: Kind | None, axis: int, lead: Key) -> TemplateEntry:
    """Pair an image layer with its labels or points; InputError if the two do not go together.

    ``kind`` None: points for a Points layer, else dense. Labels that are clearly painted along
    another spatial axis than ``axis`` keep it. ``lead`` is in view on the image's leading axes.
    """
    check_axes(image)
    if labels._type_string == "points":
        if kind not in (None, "points"):
            raise InputError("kind", "be points for a Points layer", kind)
        shape, level = shape_of(image, level_like(image)), level_like(image)
        if labels.ndim not in (len(shape), min(3, len(shape))):
            raise InputError(f"points {labels.name}", f"have {len(shape)} coordinates", labels.ndim)
        slicing = Slicing(shape if labels.ndim == len(shape) else shape[-labels.ndim :], axis)
        return TemplateEntry(image, labels, "points", slicing, level, lead)
    if kind == "points":
        raise InputError("kind", "be dense or scribble for a Labels layer", kind)
    shape = shape_of(labels)
    full = [shape_of(image, k) for k in range(len(image.data) if image.multiscale else 1)]
    spatial = [s[-3:] for s in full]
    own = shape in full
    level = level_like(image, shape) if own or shape not in spatial else spatial.index(shape)
    slicing = Slicing(shape, axis)
    if slicing.spatial == 3 and not slicing.leading:
        slicing = replace(slicing, axis=painted_axis(np.asarray(array_of(labels)), axis))
    found = provenance_of(labels)
    if found is not None and found.slicing.shape == shape and found.slices_made("predicted"):
        slicing = found.slicing  # what is predicted stays no paint
    if found is None or found.slicing != slicing:
        Provenance(labels, slicing)
    return TemplateEntry(image, labels, kind or "dense", slicing, level, () if own else lead)


@dataclass
class _Known:
    """What is known of one image along one axis."""

    volume: Volume
    slicing: Slicing
    dense: dict[int, Array] = field(default_factory=dict)
    scribbles: dict[int, Array] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)


def snapshot(entries: Sequence[TemplateEntry]) -> tuple[list[Template], dict[int, int]]:
    """Take templates of all that is known now; layers may change afterwards.

    Where two layers know a slice of an image, the later counts. Returned too: labels of landmarks
    that gave way to painted ones, value here to value in the layer. InputError if nothing is known.
    """
    volume_of = cache(image_volume)  # the same object each time: templates of one are joined
    known: dict[tuple[int, Key, int, int], _Known] = {}
    for entry in entries:
        for place, slices in entry.taught().items() if entry.kind != "points" else ():
            key = (id(entry.image), place, entry.level, entry.slicing.axis)
            volume = volume_of(entry.image, place, entry.level)
            _gather(known.setdefault(key, _Known(volume, entry.slicing)), entry, slices)
    templates = [template for one in known.values() for template in _templates(one)]
    names: dict[int, str] = {}
    for one in known.values():
        painted = (np.unique(plane) for plane in (*one.dense.values(), *one.scribbles.values()))
        values = {int(v) for found in painted for v in found} - {0, _BACKGROUND}
        names |= {v: one.names.get(v, str(v)) for v in (*values, *one.names)}
    points, renumbered = _point_templates(entries, volume_of, names)
    if not templates and not points:
        raise InputError(
            "templates",
            "have a painted or reviewed slice, or a point",
            "nothing painted",
            "Paint a slice of a Labels layer, or mark an empty one as reviewed.",
        )
    return [*templates, *points], renumbered


def _gather(known: _Known, entry: TemplateEntry, slices: dict[Key, Teaches]) -> None:
    provenance = entry.provenance
    known.names.update(entry.names())
    if provenance is None:
        return
    if not provenance.fits:
        raise InputError(
            f"layer {entry.labels.name}",
            f"keep its shape {entry.slicing.shape}",
            np.shape(provenance.data),
            "Remove the template and add it again.",
        )
    for key, what in slices.items():
        k = key[-1]
        if what == "whole":
            known.dense[k] = _values(entry, provenance.data, key)
            known.scribbles.pop(k, None)
            continue
        part = entry.scribbles(key)
        if part is None:
            continue
        if k in known.dense:
            known.dense[k] = np.where(part != 0, np.maximum(part, 0), known.dense[k])
        else:
            known.scribbles[k] = np.where(part != 0, part, known.scribbles.get(k, 0))


def _values(entry: TemplateEntry, data: Array, key: Key) -> Array:
    """Labels of a slice, int32."""
    plane = np.asarray(entry.slicing.plane(data, key))
    most = np.iinfo(np.int32).max
    if plane.dtype.itemsize >= 4 and (plane.max() > most or plane.min() < -most):
        found = plane.max() if plane.max() > most else plane.min()
        raise InputError(f"labels {entry.labels.name}", f"have values up to {most}", found)
    return plane.astype(np.int32)


def _templates(known: _Known) -> Iterator[Template]:
    volume = known.volume
    for planes, dense in ((known.dense, True), (known.scribbles, False)):
        if not planes:
            continue
        yield Template(
            volume,
            planes,
            slices=sorted(planes) if dense else None,
            axis=None if volume.ndim == 2 else known.slicing.axis,
            names=known.names,
            kind="dense" if dense else "scribble",
            background=_BACKGROUND,
        )


def _point_templates(
    entries: Sequence[TemplateEntry],
    volume_of: Callable[[Any, Key, int], Volume],
    taken: dict[int, str],
) -> tuple[list[Template], dict[int, int]]:
    found: list[Template] = []
    renumbered: dict[int, int] = {}
    values: dict[tuple[int, str], int] = {}
    gathered = _named_points(entries, taken.values())
    free = max([*taken, *(mark.label for _, _, marks in gathered for mark in marks)], default=0) + 1
    for entry, place, own in gathered:
        volume = volume_of(entry.image, place, entry.level)
        marks = []
        for mark in own:
            key = (mark.label, mark.name.strip().casefold())
            value = values.get(key)
            if value is None:
                value = mark.label
                if taken.get(value, mark.name) != mark.name:
                    value, free = free, free + 1
                    renumbered[value] = mark.label
                values[key] = value
            marks.append(Landmark(mark.name, value, mark.position))
        axis = None if volume.ndim == 2 else entry.slicing.axis
        found.append(Template(volume, points=marks, axis=axis))
    return found, renumbered


def _named_points(
    entries: Sequence[TemplateEntry], taken: Collection[str]
) -> list[tuple[TemplateEntry, Key, list[Landmark]]]:
    """Points of each layer and place, with names: those of all layers of an image count on."""
    images: dict[tuple[int, Key], list[tuple[TemplateEntry, Key, list[Landmark]]]] = {}
    for entry in entries:
        for place in entry.taught() if entry.kind == "points" else ():
            images.setdefault((id(entry.image), place), []).append(
                (entry, place, entry.points(place))
            )
    given = [[mark for _, _, own in group for mark in own] for group in images.values()]
    filled = named(given, taken)
    titles = [
        f"{e.image.name}{f' at {place}' * bool(place)}" for (e, place, _), *_ in images.values()
    ]
    check_order(titles, given, filled)
    found = []
    for group, marks in zip(images.values(), filled, strict=True):
        rest = iter(marks)
        found += [(entry, place, list(islice(rest, len(own)))) for entry, place, own in group]
    return found
