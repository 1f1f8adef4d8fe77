"""Layers that go, and the viewer that closes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from .corrections import Corrections
from .keeping import Keeping
from .propagating import Propagating
from .state import State

__all__ = ["LayerWatch"]


class LayerWatch:
    """Keeps a session in step with the layers of its viewer.

    Parameters
    ----------
    state : State
    propagating : Propagating
    corrections : Corrections
    keeping : Keeping
    closed : callable
        Told when the window closes.
    """

    def __init__(
        self,
        state: State,
        propagating: Propagating,
        corrections: Corrections,
        keeping: Keeping,
        closed: Callable[[], None],
    ) -> None:
        self._state = state
        self._propagating = propagating
        self._corrections = corrections
        self._keeping = keeping
        self._layers = state.viewer.layers
        self._layers.events.removing.connect(self._on_removing)
        self._layers.events.removed.connect(self._on_removed)
        self._layers.events.inserted.connect(self._on_changed)
        self._layers.events.renamed.connect(self._on_changed)
        self._window = _watch_window(state.viewer, closed)

    def close(self) -> None:
        """Let the viewer go."""
        with contextlib.suppress(ValueError, KeyError):
            self._layers.events.removing.disconnect(self._on_removing)
            self._layers.events.removed.disconnect(self._on_removed)
            self._layers.events.inserted.disconnect(self._on_changed)
            self._layers.events.renamed.disconnect(self._on_changed)
        self._window = None

    def _on_removing(self, event: Any) -> None:
        self._keeping.flush()  # also what is on a layer that goes

    def _on_removed(self, event: Any) -> None:
        gone, state = event.value, self._state
        for job in state.runner.jobs:
            layers = (*job.layers, *self._propagating.layers_of(job))
            if any(layer is gone for layer in layers):
                job.cancel()
        with self._keeping.hold():
            state.runner.tick()
        self._propagating.forget(gone)
        self._corrections.let_go(gone)
        self._keeping.let_go(gone)
        entries = [e for e in state.entries if gone is not e.image and gone is not e.labels]
        if len(entries) != len(state.entries):
            state.entries[:] = entries
            state.events.templates.emit()
        for key, result in list(state.results.items()):
            if result.image is gone:
                del state.results[key]
            elif result.labels is gone:
                result.labels = None
                state.forget_scores(result.image)
        state.forget_scores(gone)
        state.events.layers.emit()
        state.events.slices.emit()

    def _on_changed(self, event: Any = None) -> None:
        self._state.events.layers.emit()


def _watch_window(viewer: Any, closed: Callable[[], None]) -> Any:
    """Call ``closed`` when the window of a viewer closes; None for a viewer without one."""
    window = getattr(viewer, "window", None)
    main = getattr(window, "_qt_window", None)
    if main is None:
        return None
    from qtpy.QtCore import QEvent, QObject

    class CloseFilter(QObject):
        asking = False

        def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
            if event.type() != QEvent.Type.Close or self.asking:
                return False
            self.asking = True
            try:
                watched.event(event)  # it may ask, and stay open
            finally:
                self.asking = False
            if event.isAccepted():
                closed()
            return True

    found = CloseFilter(main)
    main.installEventFilter(found)
    return found
