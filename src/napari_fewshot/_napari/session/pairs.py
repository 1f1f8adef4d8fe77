"""Pairs of an image and the layer that says what is there: the templates of a session."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from ...errors import InputError
from ...types import Array
from ..layers import mm_per_unit, shape_of
from .state import State
from .templates import Kind, TemplateEntry, entry_of
from .view import View

__all__ = ["PairController"]

_LOG = logging.getLogger(__name__)


class PairController:
    """Adds templates, changes and removes them, and doubts those that may be a mistake."""

    def __init__(self, state: State, view: View) -> None:
        self._state, self._view = state, view

    def add(self, image: Any, labels: Any, kind: Kind | None, axis: int | None) -> TemplateEntry:
        """Learn from a pair from now on; the entry of one that is there already."""
        state, view = self._state, self._view
        for entry in state.entries:
            if entry.image is image and entry.labels is labels:
                return entry
        if kind is None and labels._type_string == "labels":
            kind = state.settings.template_kind
        axis = view.working_axis(image) if axis is None else axis
        entry = entry_of(image, labels, kind, axis, view.lead(image))
        if entry.kind == "points":
            entry.taught()  # what cannot be read is refused before anything is added
        if doubt := self.doubt(image, labels):
            _LOG.warning("%s It is learned from all the same: remove it if it is wrong.", doubt)
        state.entries.append(entry)
        self._tell()
        return entry

    def remove(self, entry: TemplateEntry) -> None:
        """Learn from a pair no longer."""
        self._state.entries.remove(self._own(entry))
        self._tell()

    def retype(self, entry: TemplateEntry, kind: Kind) -> TemplateEntry:
        """A template is painted in another way than was said; what is known of it stays."""
        number = self._state.entries.index(self._own(entry))
        if "points" in (kind, entry.kind) or kind not in get_args(Kind):
            raise InputError("kind", "be dense or scribble, of a Labels layer", kind)
        changed = self._state.entries[number] = replace(entry, kind=kind)
        self._tell()
        return changed

    def doubt(self, image: Any, labels: Any) -> str:
        """Why a layer may not be of an image, one sentence for people; empty without a doubt.

        What cannot go together at all, such as another shape, is refused where it is added.
        """
        owner = self._state.owner_of(labels, image)
        if owner:
            return f"“{labels.name}” belongs to “{owner}”, not to “{image.name}”."
        layers = self._view.viewer.layers
        named = _named_after(labels, [one for one in layers if one._type_string == "image"])
        own = self._state.channels.of(image)
        if named and not any(other is one for other in named for one in own):
            name = named[0].name
            return f"By its name “{labels.name}” belongs to “{name}”, not to “{image.name}”."
        if labels._type_string == "labels" and not _lies_on(labels, image):
            return f"“{labels.name}” does not lie on “{image.name}” in the viewer."
        return ""

    def _own(self, entry: TemplateEntry) -> TemplateEntry:
        if entry not in self._state.entries:
            raise InputError("entry", "be a template of this session", str(entry))
        return entry

    def _tell(self) -> None:
        self._state.events.templates.emit()
        self._state.events.slices.emit()


def _named_after(labels: Any, images: list[Any]) -> list[Any]:
    """Images whose name a layer's name begins with: those of the longest such name."""
    found = [one for one in images if one.name and labels.name.startswith(one.name)]
    longest = max((len(one.name) for one in found), default=0)
    return [one for one in found if len(one.name) == longest]


def _lies_on(labels: Any, image: Any) -> bool:
    """Whether the first and the last voxel are at the same places, to half a voxel."""
    ndim = min(labels.ndim, len(shape_of(image)))
    one, other = (_corners(layer, ndim) for layer in (labels, image))
    size = np.abs(other[1] - other[0])
    return bool((np.abs(one - other) <= size / _counts(image, ndim) / 2 + 1e-9).all())


def _corners(layer: Any, ndim: int) -> Array:
    """Outer corners of the first and the last voxel on the last axes, in mm where known."""
    last = np.asarray(shape_of(layer), float)
    corners = [np.full(len(last), -0.5), last - 0.5]
    world = np.array([np.asarray(layer.data_to_world(c), float)[-ndim:] for c in corners])
    return world * mm_per_unit(layer.units, ndim)


def _counts(image: Any, ndim: int) -> Array:
    counts: Array = np.maximum(np.asarray(shape_of(image), float)[-ndim:], 1)
    return counts
