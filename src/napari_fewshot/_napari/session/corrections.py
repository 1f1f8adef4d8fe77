"""What a person says of slices, and the live update after a stroke."""

from __future__ import annotations

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

    def mark_reviewed(self, image: Any, index: int | None) -> None:
        """All that is on a slice is painted, even if that is nothing: it teaches from now on."""
        provenance, key = self._place(image, index)
        provenance.reviewed.add(key)
        self._tell()

    def unmark_reviewed(self, image: Any, index: int | None) -> None:
        """Take :meth:`mark_reviewed` back."""
        for layer in self._layers(image):
            found = provenance_of(layer)
            if found is not None:
                found.reviewed.discard(self._key(image, index))
        self._tell()

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

    def _place(self, image: Any, index: int | None) -> tuple[Provenance, Key]:
        """Layer that a mark belongs to: the active one, else the result, else the template."""
        key, layers = self._key(image, index), self._layers(image)
        active = self._state.viewer.layers.selection.active
        layers.sort(key=lambda layer: layer is active)
        axis = self._state.slicing_of(image).axis
        for layer in reversed(layers):
            found = provenance_of(layer)
            if found is not None and found.slicing.axis == axis:
                return found, key if found.slicing.leading else key[-1:]
        raise InputError(
            "image", "have a template or a prediction", image.name, "Add a template first."
        )

    def _key(self, image: Any, index: int | None) -> Key:
        viewer, slicing = self._state.viewer, self._state.slicing_of(image)
        if index is None:
            index = slice_in_view(viewer, image, slicing)
        if index is None or not 0 <= index < slicing.count:
            given = "a place beyond the image" if index is None else index
            raise InputError("slice", f"be within 0..{slicing.count - 1}", given)
        return (*lead_in_view(viewer, image), index)

    def _tell(self) -> None:
        self._state.events.slices.emit()
        self._state.events.templates.emit()

    def _on_paint(self, event: Any) -> None:
        self._painted = event.source
        if self._timer is None:
            from qtpy.QtCore import QTimer

            self._timer = QTimer()
            self._timer.setSingleShot(True)
            self._timer.setInterval(_AFTER_STROKE_MS)
            self._timer.timeout.connect(self._after_stroke)
        self._timer.start()

    def _after_stroke(self) -> None:
        self._tell()
        image = self._image_of(self._painted)
        self._painted = None
        if image is not None:
            self._stroked(image)

    def _image_of(self, labels: Any) -> Any:
        """Image that a labels layer of the session belongs to."""
        for result in self._state.results.values():
            if result.labels is labels:
                return result.image
        return next((e.image for e in self._state.entries if e.labels is labels), None)
