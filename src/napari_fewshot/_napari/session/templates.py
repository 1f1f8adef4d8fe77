"""Pairs of layers that teach: an image, and what a person painted or marked on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ...errors import InputError
from ...slices.axis import likely_axis, painted_slices
from ...types import Array, Landmark
from ..annotations import landmarks_in, named
from ..layers import array_of, check_axes, label_names, level_like, shape_of
from .slicing import Key, Slicing
from .teaching import Provenance, Teaches, provenance_of

__all__ = ["BACKGROUND", "Kind", "TemplateEntry", "entry_of"]

Kind = Literal["dense", "scribble", "points"]
_KINDS = {"dense": "dense labels", "scribble": "scribbles", "points": "landmarks"}
_SCRIBBLE_BACKGROUND = 255
"""Label that means background in scribbles, unless another one is named so."""
BACKGROUND = -1
"""Stands for background in what is known of a part of a slice."""


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
    placed_only : bool
        Of points, those alone teach that a person placed or moved among found ones.
    """

    image: Any
    labels: Any
    kind: Kind
    slicing: Slicing
    level: int = 0
    lead: Key = ()
    placed_only: bool = False

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
        plane = self.values(key)
        whole = provenance.is_painted(key)  # scribbles before anything was predicted here
        voxels = plane != 0 if whole else provenance.strokes(key)
        background = self._scribble_background() if self.kind == "scribble" else 0
        return np.where(voxels, np.where(plane == background, BACKGROUND, plane), 0)

    def values(self, key: Key) -> Array:
        """Labels of a slice, int32."""
        plane = np.asarray(self.slicing.plane(array_of(self.labels), key))
        most = np.iinfo(np.int32).max
        if plane.dtype.itemsize >= 4 and (plane.max() > most or plane.min() < -most):
            found = plane.max() if plane.max() > most else plane.min()
            raise InputError(f"labels {self.labels.name}", f"have values up to {most}", found)
        return plane.astype(np.int32)

    def key_of(self, key: Key) -> Key | None:
        """Slice of the labels for one of the image; None if the labels are not of its place."""
        there = bool(self.slicing.leading) or key[:-1] == self.lead
        return self.slicing.own(key) if there else None

    def names(self) -> dict[int, str]:
        """Names of label values."""
        return {} if self.kind == "points" else label_names(self.labels.features)

    def points(self, place: Key) -> list[Landmark]:
        """Points at one place of the image's leading axes, with the names that they have."""
        marks = landmarks_in(self.labels, self.image, place, self.level)
        if not self.placed_only:
            return marks
        return [mark for mark in marks if mark.score is None and mark.name and mark.label]

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
    slicing, painted = Slicing(shape, axis), None
    if slicing.spatial == 3 and not slicing.leading:
        painted = painted_slices(np.asarray(array_of(labels)))
        slicing = replace(slicing, axis=likely_axis(painted, axis))
    found = provenance_of(labels)
    if found is not None and found.slicing.shape == shape and found.slices_made("predicted"):
        slicing = found.slicing  # what is predicted stays no paint
    if found is None or found.slicing != slicing:
        Provenance(labels, slicing).note_filled(painted)
    return TemplateEntry(image, labels, kind or "dense", slicing, level, () if own else lead)
