"""Layers that go, and the viewer that closes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from .autosave.storage import SessionStorage
from .jobs import JobRunner
from .propagation import PropagationController
from .state import State
from .teaching import provenance_of
from .view import View

__all__ = ["LayerWatch"]


class LayerWatch:
    """Keeps a session in step with the layers of its viewer.

    ``closed`` is told when the window closes.
    """

    def __init__(
        self,
        state: State,
        runner: JobRunner,
        view: View,
        propagation: PropagationController,
        storage: SessionStorage,
        closed: Callable[[], None],
    ) -> None:
        self._state, self._runner = state, runner
        self._propagation, self._storage = propagation, storage
        events = view.viewer.layers.events
        self._followed = (
            (events.removing, self._on_removing),
            (events.removed, self._on_removed),
            (events.inserted, self._on_changed),
            (events.renamed, self._on_changed),
        )
        for emitter, act in self._followed:
            emitter.connect(act)
        self._window = _watch_window(view.viewer, closed)

    def close(self) -> None:
        """Let the viewer go."""
        for emitter, act in self._followed:
            with contextlib.suppress(ValueError, KeyError):
                emitter.disconnect(act)
        self._window = None

    def _on_removing(self, event: Any) -> None:
        self._storage.flush()  # also what is on a layer that goes

    def _on_removed(self, event: Any) -> None:
        gone, state = event.value, self._state
        for job in self._runner.jobs:
            if any(layer is gone for layer in job.layers):
                job.cancel(f"{gone.name} was removed")
        with self._storage.paused():
            self._runner.tick()
        self._propagation.forget(gone)
        self._storage.let_go(gone)
        for labels in state.labels_of(gone):
            if (known := provenance_of(labels)) is not None:
                known.gone = gone.name
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
        state.channels.forget(gone)
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
