"""What a session can tell of the viewer and of labels, for those who show it."""

from __future__ import annotations

from typing import Any

from ...errors import InputError
from .lookup import the_image
from .state import State
from .view import axis_names, go_to, slice_in_view, sliced_axis

__all__ = ["Showing"]


class Showing:
    """Part of :class:`Session`: names, colours, axes, the slice in view.

    Parameters
    ----------
    state : State
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def slice_in_view(self, image: Any = None) -> int | None:
        """Slice of an image at the place of the sliders; None beyond it, or without an image."""
        found = self._image_or_none() if image is None else self._image(image)
        if found is None:
            return None
        return slice_in_view(self._state.viewer, found, self._state.slicing_of(found))

    def go_to(self, index: int, image: Any = None) -> None:
        """Show a slice of an image."""
        image = self._image(image)
        go_to(self._state.viewer, image, self._state.slicing_of(image), index)

    def axis_names(self, image: Any) -> tuple[str, ...]:
        """Names of the spatial axes of an image."""
        return axis_names(self._image(image))

    def sliced_axis(self, image: Any) -> int | None:
        """Spatial axis that the viewer slices; None for an image of two axes."""
        image = self._image(image)
        return sliced_axis(self._state.viewer, image) if len(axis_names(image)) == 3 else None

    def result_layer(self, image: Any) -> Any:
        """Labels layer that propagation wrote last for an image; None without one."""
        found = self._state.result_of(self._image(image))
        return None if found is None else found.labels

    def images_of(self, labels: Any) -> tuple[Any, ...]:
        """Images that a labels layer is the result of, or a template of."""
        return tuple(self._state.images_of(labels))

    def label_names(self) -> dict[int, str]:
        """Names of the labels of the templates and the model."""
        model = self._state.model
        found = {} if model is None else model.names_
        for entry in self._state.entries:
            found |= entry.names()
        return found

    def label_colours(self) -> dict[int, tuple[float, ...]]:
        """Colour (R, G, B, A in 0..1) of each label, as its layer shows it."""
        model = self._state.model
        layer = next((e.labels for e in self._state.entries if e.kind != "points"), None)
        if layer is None:
            return {}
        values = self.label_names() if model is None else model.label_values_
        return {v: tuple(float(c) for c in layer.get_color(v)) for v in values}

    def _image(self, given: Any) -> Any:
        return the_image(self._state.viewer, given)

    def _image_or_none(self) -> Any:
        try:
            return self._image(None)
        except InputError:
            return None
