"""Templates out of layers: what is known, taken on the GUI thread, merged image by image."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product
from typing import Any, Literal

import numpy as np

from ...errors import InputError
from ...templates import Template
from ...templates.template import painted_axis
from ...types import Array, Landmark, Volume
from ..annotations import check_order, landmarks_in, named
from ..layers import array_of, check_axes, image_volume, label_names, level_like, shape_of
from .provenance import Provenance, provenance_of
from .slicing import Key, Slicing

__all__ = [
    "SCRIBBLE_BACKGROUND",
    "Kind",
    "Sources",
    "TemplateEntry",
    "entry_of",
    "scribble_background",
    "snapshot",
]

Kind = Literal["dense", "scribble", "points"]
SCRIBBLE_BACKGROUND = 255
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

    def places(self) -> list[tuple[Key, Key]]:
        """Places on the leading axes that have something: of the image, of the labels."""
        if not self.slicing.leading:
            return [(self.lead, ())] if self._has(()) else []
        leads = product(*(range(n) for n in self.slicing.shape[: self.slicing.leading]))
        return [(lead, lead) for lead in leads if self._has(lead)]

    def slices(self, lead: Key) -> list[Key]:
        """Slices that teach, at one place of the labels' leading axes."""
        if self.kind == "points":
            return sorted({(*lead, k) for k in self._point_slices(lead)})
        provenance = self.provenance
        if provenance is None:
            return []
        return self.scribbled(lead) if self.kind == "scribble" else provenance.known(lead)

    def scribbled(self, lead: Key) -> list[Key]:
        """Slices that teach in part: what is not painted on them stays unknown."""
        provenance = self.provenance
        if provenance is None:
            return []
        found = set(provenance.stroked(lead))
        if self.kind == "scribble":
            found |= {key for key in self.slicing.keys(lead) if provenance.is_painted(key)}
        return sorted(found)

    def scribbles(self, key: Key) -> Array | None:
        """What is known of a part of a slice, int32: 0 nothing, -1 background; None: no part."""
        provenance = self.provenance
        if provenance is None or not provenance.fits:
            return None
        if self.kind == "dense" and provenance.is_known(key):
            return None
        plane = _values(self, provenance.data, key)
        whole = provenance.is_painted(key)  # scribbles before anything was predicted here
        voxels = plane != 0 if whole else provenance.strokes(key)
        background = scribble_background(self) if self.kind == "scribble" else 0
        return np.where(voxels, np.where(plane == background, _BACKGROUND, plane), 0)

    def key_of(self, key: Key) -> Key | None:
        """Slice of the labels for one of the image; None if the labels are not of its place."""
        if self.slicing.leading:
            return key
        return key[-1:] if key[:-1] == self.lead else None

    def names(self) -> dict[int, str]:
        """Names of label values."""
        return {} if self.kind == "points" else label_names(self.labels.features)

    def points(self, place: Key) -> list[Landmark]:
        """Points at one place of the image's leading axes, with the names that they have."""
        return landmarks_in(self.labels, self.image, place, self.level)

    def __str__(self) -> str:
        if self.kind == "points":
            return f"{self.labels.name} → {self.image.name}: {self._landmarks()}"
        count = sum(len(self.slices(lead)) for _, lead in self.places())
        return f"{self.labels.name} → {self.image.name}: {count} slice{'s' * (count != 1)}"

    @property
    def about(self) -> str:
        """For a tooltip: kind, and the numbers of the slices."""
        places = self.places()
        found = [key for _, lead in places for key in self.slices(lead)]
        numbers = ", ".join(str(key[-1] if len(key) == 1 else key) for key in found[:12])
        more = " …" if len(found) > 12 else ""
        kind = {"dense": "dense labels", "scribble": "scribbles", "points": "landmarks"}[self.kind]
        text = f"{kind} on slices {numbers}{more}" if found else f"{kind}, nothing painted yet"
        strokes = (
            [] if self.kind != "dense" else [k for _, own in places for k in self.scribbled(own)]
        )
        return f"{text}; strokes alone on {len(strokes)} more" if strokes else text

    def _has(self, lead: Key) -> bool:
        provenance = self.provenance
        return bool(self.slices(lead)) or (
            provenance is not None and bool(provenance.stroked(lead))
        )

    def _landmarks(self) -> str:
        """How many landmarks there are, and how many points where these are more."""
        images = named([self.points(place) for place, _ in self.places()])
        points = sum(len(marks) for marks in images)
        count = len({mark.label for marks in images for mark in marks})
        text = f"{count} landmark{'s' * (count != 1)}"
        return text if points == count else f"{text} ({points} points)"

    def _point_slices(self, lead: Key) -> list[int]:
        marks = self.points(lead or self.lead)
        axis = self.slicing.axis if self.slicing.spatial == 3 else 0
        return [round(mark.position[axis]) for mark in marks]


def entry_of(image: Any, labels: Any, kind: Kind | None, axis: int, lead: Key) -> TemplateEntry:
    """Pair an image layer with its labels or points.

    Parameters
    ----------
    image : napari.layers.Image
        What was painted on.
    labels : napari.layers.Labels or napari.layers.Points
        What is known of it.
    kind : {"dense", "scribble", "points"}, optional
        None: points for a Points layer, else dense.
    axis : int
        Spatial axis that is sliced; labels that are clearly painted along another one keep it.
    lead : tuple of int
        Place on the image's leading axes that is in view.

    Raises
    ------
    InputError
        If the two do not go together.
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
    alone = [s[-3:] for s in full]
    own = shape in full
    level = level_like(image, shape) if own or shape not in alone else alone.index(shape)
    slicing = Slicing(shape, axis)
    if slicing.spatial == 3 and not slicing.leading:
        slicing = replace(slicing, axis=painted_axis(np.asarray(array_of(labels)), axis))
    return TemplateEntry(image, labels, kind or "dense", slicing, level, () if own else lead)


@dataclass
class Sources:
    """Templates by image, and what of them is taken for the same image only once."""

    volumes: dict[tuple[int, Key, int], Volume] = field(default_factory=dict)

    def volume(self, image: Any, lead: Key, level: int) -> Volume:
        """Volume of an image; the same object each time, so that its templates are joined."""
        key = (id(image), lead, level)
        if key not in self.volumes:
            self.volumes[key] = image_volume(image, lead, level)
        return self.volumes[key]


@dataclass
class _Known:
    """What is known of one image along one axis."""

    volume: Volume
    slicing: Slicing
    dense: dict[int, Array] = field(default_factory=dict)
    scribbles: dict[int, Array] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)


def snapshot(
    entries: Sequence[TemplateEntry], sources: Sources | None = None
) -> tuple[list[Template], dict[int, int]]:
    """Take templates of all that is known now; layers may change afterwards.

    Where two layers know a slice of the same image, the later entry counts.

    Parameters
    ----------
    entries : sequence of TemplateEntry
        In the order in which they were added.
    sources : Sources, optional
        Volumes that were made before.

    Returns
    -------
    templates : list of Template
    renumbered : dict of int to int
        Labels of landmarks that had to give way to painted labels of the same number: value in
        the templates to value in the layer.

    Raises
    ------
    InputError
        If nothing is known.
    """
    sources = sources or Sources()
    known: dict[tuple[int, Key, int, int], _Known] = {}
    for entry in entries:
        if entry.kind != "points":
            for place, lead in entry.places():
                key = (id(entry.image), place, entry.level, entry.slicing.axis)
                volume = sources.volume(entry.image, place, entry.level)
                _gather(known.setdefault(key, _Known(volume, entry.slicing)), entry, lead)
    templates = [template for one in known.values() for template in _templates(one)]
    names = {value: name for t in templates for value, name in _all_names(t).items()}
    points, renumbered = _point_templates(entries, sources, names)
    if not templates and not points:
        raise InputError(
            "templates",
            "have a painted or reviewed slice, or a point",
            "nothing painted",
            "Paint a slice of a Labels layer, or mark an empty one as reviewed.",
        )
    return [*templates, *points], renumbered


def _gather(known: _Known, entry: TemplateEntry, lead: Key) -> None:
    provenance, slicing = entry.provenance, entry.slicing
    known.names.update(entry.names())
    if provenance is None:
        return
    if not provenance.fits:
        raise InputError(
            f"layer {entry.labels.name}",
            f"keep its shape {slicing.shape}",
            np.shape(provenance.data),
            "Remove the template and add it again.",
        )
    for key in provenance.known(lead) if entry.kind == "dense" else ():
        known.dense[key[-1]] = _values(entry, provenance.data, key)
        known.scribbles.pop(key[-1], None)
    for key in entry.scribbled(lead):
        part, k = entry.scribbles(key), key[-1]
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
    volume, axis = known.volume, known.slicing.axis
    where = None if volume.ndim == 2 else axis
    for planes, dense in ((known.dense, True), (known.scribbles, False)):
        if not planes:
            continue
        data = np.zeros(volume.shape, np.int32)  # untouched pages take no memory
        for k, plane in planes.items():
            (np.moveaxis(data, axis, 0)[k] if volume.ndim == 3 else data)[...] = plane
        yield Template(
            volume,
            volume.with_data(data, names=known.names),
            slices=sorted(planes) if dense else None,
            axis=where,
            kind="dense" if dense else "scribble",
            background=_BACKGROUND,
        )


def _point_templates(
    entries: Sequence[TemplateEntry], sources: Sources, taken: dict[int, str]
) -> tuple[list[Template], dict[int, int]]:
    found: list[Template] = []
    renumbered: dict[int, int] = {}
    values: dict[tuple[int, str], int] = {}
    gathered = _named_points(entries, taken.values())
    free = max([*taken, *(mark.label for _, _, marks in gathered for mark in marks)], default=0) + 1
    for entry, place, own in gathered:
        volume = sources.volume(entry.image, place, entry.level)
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
        for place, _ in entry.places() if entry.kind == "points" else ():
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


def _all_names(template: Template) -> dict[int, str]:
    return {v: template.names.get(v, str(v)) for v in (*template.painted_values(), *template.names)}


def scribble_background(entry: TemplateEntry) -> int:
    """Label that means background in scribbles: the one of that name, else 255."""
    named = [v for v, name in entry.names().items() if name.strip().casefold() == "background"]
    return named[0] if named else SCRIBBLE_BACKGROUND
