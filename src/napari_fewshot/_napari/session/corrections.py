"""What a person says of slices, and the live update after a stroke."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ...errors import InputError
from .provenance import Provenance, provenance_of
from .slicing import Key
from .state import State
from .templates import TemplateEntry
from .view import lead_in_view, slice_in_view

__all__ = ["Corrections"]

_AFTER_STROKE_MS = 150


class Corrections:
    """Marks slices, and watches strokes.

    Parameters
    ----------
    state : State
    stroked : callable
        Told, a short while after a stroke in a labels layer, of the image that it belongs to.
    """

    def __init__(self, state: State, stroked: Callable[[Any], None]) -> None:
        self._state = state
        self._stroked = stroked
        self._timer: Any = None
        self._watched: list[Any] = []
        self._painted: Any = None
        self._drawn: tuple[weakref.ReferenceType[Any], int] | None = None  # with the active layer

    def mark_reviewed(self, image: Any, index: int | None) -> None:
        """All that is on a slice is painted, even if that is nothing: it teaches from now on."""
        layer, key = self._place(image, index)
        self._take_scribbles(image, layer, self._key(image, index))
        marked = provenance_of(layer)
        if marked is not None:
            marked.reviewed.add(key)
        self._tell()

    def unmark_reviewed(self, image: Any, index: int | None) -> None:
        """Take :meth:`mark_reviewed` back."""
        key = self._key(image, index)
        for layer in self._layers(image):
            found = provenance_of(layer)
            if found is not None:
                found.reviewed.discard(_own(found, key))
        result = self._state.result_of(image)
        made = None if result is None else result.provenance
        if made is not None and made.made(key) == "copied" and not self._is_known(image, key):
            made.mark_predicted(key)  # what was copied is no template any more
        self._tell()

    def review_layer(self, image: Any, index: int | None) -> Any:
        """Labels layer whose slice :meth:`mark_reviewed` takes for complete."""
        return self._place(image, index)[0]

    def accept(self, image: Any, index: int | None) -> None:
        """Take the prediction on a slice, as corrected, for a template.

        Raises
        ------
        InputError
            If the slice has no prediction.
        """
        key = self._key(image, index)
        result = self._state.result_of(image)
        provenance = None if result is None else result.provenance
        if provenance is None or key not in provenance.predicted:
            raise InputError("slice", "have a prediction to accept", key[-1])
        self._take_scribbles(image, result.labels if result else None, key)
        provenance.accepted.add(key)
        self._tell()

    def watch(self) -> None:
        """Follow the strokes in all labels layers of the session."""
        layers = [entry.labels for entry in self._state.entries if entry.kind != "points"]
        layers += [r.labels for r in self._state.results.values() if r.labels is not None]
        for layer in layers:
            if not any(layer is other for other in self._watched):
                layer.events.paint.connect(self._on_paint)
                self._watched.append(layer)

    def let_go(self, layer: Any) -> None:
        """A layer was removed."""
        if any(layer is other for other in self._watched):
            layer.events.paint.disconnect(self._on_paint)
            self._watched = [other for other in self._watched if other is not layer]

    def close(self) -> None:
        """Let the layers go."""
        for layer in self._watched:
            layer.events.paint.disconnect(self._on_paint)
        self._watched.clear()
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _layers(self, image: Any) -> list[Any]:
        entries: list[TemplateEntry] = self._state.entries_of(image)
        layers = [entry.labels for entry in entries if entry.kind != "points"]
        result = self._state.result_of(image)
        return layers if result is None or result.labels is None else [*layers, result.labels]

    def _place(self, image: Any, index: int | None) -> tuple[Any, Key]:
        """Layer that a mark belongs to, and its slice.

        The active layer, unless it is empty there and the slice is predicted; else a template with
        strokes over a prediction of the slice, else the result, else the template.
        """
        key, axis = self._key(image, index), self._state.slicing_of(image).axis
        active = self._state.viewer.layers.selection.active
        drawn = self._drawn[0]() if self._drawn and self._drawn[1] == id(active) else None
        result = self._state.result_of(image)
        made = None if result is None else result.provenance
        predicted = made is not None and made.made(key) == "predicted"

        def rank(place: tuple[Any, Provenance]) -> tuple[bool, bool, bool]:
            layer, found = place
            own = _own(found, key)
            part = own in found.partial and bool(found.strokes(own).any())
            chosen = layer is active and (part or not predicted or found.status(own) != "empty")
            return part and layer is drawn, chosen, part

        places = [(layer, provenance_of(layer)) for layer in reversed(self._layers(image))]
        ours = [(layer, p) for layer, p in places if p is not None and p.slicing.axis == axis]
        if not ours:
            raise InputError(
                "image", "have a template or a prediction", image.name, "Add a template first."
            )
        layer, found = max(ours, key=rank)  # the first of equals
        return layer, _own(found, key)

    def _key(self, image: Any, index: int | None) -> Key:
        viewer, slicing = self._state.viewer, self._state.slicing_of(image)
        if index is None:
            index = slice_in_view(viewer, image, slicing)
        if index is None or not 0 <= index < slicing.count:
            given = "a place beyond the image" if index is None else index
            raise InputError("slice", f"be within 0..{slicing.count - 1}", given)
        return (*lead_in_view(viewer, image), index)

    def _take_scribbles(self, image: Any, layer: Any, key: Key) -> None:
        """What is said of a result holds for the strokes beside it, too."""
        result = self._state.result_of(image)
        if result is not None and result.labels is layer:
            result.take_scribbles(key, self._state.entries_of(image))

    def _is_known(self, image: Any, key: Key) -> bool:
        """Whether a template knows all of a slice."""
        axis = self._state.slicing_of(image).axis
        for entry in self._state.entries_of(image):
            found, own = entry.provenance, entry.key_of(key)
            dense = entry.kind == "dense" and entry.slicing.axis == axis
            if found is not None and dense and own is not None and found.is_known(own):
                return True
        return False

    def _is_predicted(self, entry: TemplateEntry, key: Key) -> bool:
        """Whether a slice of a template is predicted in the result beside it."""
        result = self._state.result_of(entry.image)
        made = None if result is None else result.provenance
        if result is None or made is None or made is entry.provenance:
            return False
        if (entry.slicing.axis, entry.level) != (made.slicing.axis, result.level):
            return False
        return made.made(key if entry.slicing.leading else (*entry.lead, *key)) == "predicted"

    def _tell(self) -> None:
        self._state.events.slices.emit()
        self._state.events.templates.emit()

    def _on_paint(self, event: Any) -> None:
        self._painted = layer = event.source
        self._drawn = weakref.ref(layer), id(self._state.viewer.layers.selection.active)
        entries = [e for e in self._state.entries if e.labels is layer and e.kind == "dense"]
        provenance = provenance_of(layer)
        if provenance is not None and entries:
            provenance.note_scribbles(
                event.value, lambda key: any(self._is_predicted(e, key) for e in entries)
            )
        if self._timer is None:
            from qtpy.QtCore import QTimer

            self._timer = QTimer()
            self._timer.setSingleShot(True)
            self._timer.setInterval(_AFTER_STROKE_MS)
            self._timer.timeout.connect(self._after_stroke)
        self._timer.start()

    def _after_stroke(self) -> None:
        self._tell()
        images = self._state.images_of(self._painted)
        self._painted = None
        if images:
            self._stroked(images[0])


def _own(provenance: Provenance, key: Key) -> Key:
    """Slice of a layer for one of its image."""
    return key if provenance.slicing.leading else key[-1:]
