"""What is drawn beside points that teach: their names, or their numbers."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import InputError
from .landmarks import drawn_names
from .state import State

__all__ = ["PointNumbers"]

_LOOK = {"size": 10, "color": "yellow", "anchor": "upper_left"}


class PointNumbers:
    """Follows the points layers among the templates.

    Those with a text of their own keep it, also one that a person gives them later.

    ``changed`` is told when a person adds, moves, names or removes points.
    """

    def __init__(self, state: State, changed: Callable[[], None]) -> None:
        self._state, self._changed = state, changed
        self._followed: weakref.WeakSet[Any] = weakref.WeakSet()
        # Layers that texts are drawn on, with those that are there of ours.
        self._drawn: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        state.events.templates.connect(self._draw)

    def close(self) -> None:
        """Follow no more points."""
        self._state.events.templates.disconnect(self._draw)
        for layer in list(self._followed):
            self._leave(layer)

    def _draw(self) -> None:
        entries = self._state.entries
        layers = [entry.labels for entry in entries if entry.kind == "points"]
        for layer in [one for one in self._followed if one not in layers]:
            self._leave(layer)
        for layer in layers:
            if layer not in self._followed:
                self._followed.add(layer)
                if not any(_texts(layer)):
                    self._drawn[layer] = layer.text.string
                for emitter in (layer.events.data, layer.events.features):
                    emitter.connect(self._on_points)
            if not self._is_ours(layer):
                self._drawn.pop(layer, None)
            if layer in self._drawn:
                try:
                    texts = drawn_names(entries, layer)
                except InputError:  # of a feature that was changed since: told where it is learned
                    continue
                if _texts(layer) != texts:
                    layer.text = {"string": texts, **_LOOK} if texts else {}
                    self._drawn[layer] = layer.text.string

    def _is_ours(self, layer: Any) -> bool:
        """Whether the text of a layer is what was drawn on it last."""
        return layer.text.string is self._drawn.get(layer)

    def _leave(self, layer: Any) -> None:
        for emitter in (layer.events.data, layer.events.features):
            with contextlib.suppress(ValueError, KeyError):
                emitter.disconnect(self._on_points)
        self._followed.discard(layer)
        if layer in self._drawn and self._is_ours(layer):
            layer.text = {}
        self._drawn.pop(layer, None)

    def _on_points(self, event: Any = None) -> None:
        self._state.events.templates.emit()
        self._state.events.slices.emit()
        self._changed()


def _texts(layer: Any) -> list[str]:
    """What stands beside each point; a constant text has no axis."""
    texts = np.broadcast_to(layer.text.values, len(layer.data))
    return [str(text) for text in texts]
