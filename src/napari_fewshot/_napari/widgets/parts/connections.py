"""Connections to emitters that outlive a widget, dropped together with it."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QObject

__all__ = ["Connections"]


class Connections:
    """Connections of a widget to events of layers, the viewer and the session.

    Python may keep a widget for a while after Qt has deleted it; an event that reached it then
    would raise. So all connections are dropped when Qt destroys the owner.

    Parameters
    ----------
    owner : QObject
    """

    def __init__(self, owner: QObject) -> None:
        self._made: list[tuple[Any, Any]] = []
        owner.destroyed.connect(partial(_drop, self._made))

    def add(self, emitter: Any, slot: Callable[..., Any]) -> None:
        """Connect ``slot``, a bound method, to an emitter of psygnal or napari."""
        emitter.connect(slot)
        self._made.append((emitter, weakref.WeakMethod(slot)))

    def remove(self, emitter: Any) -> None:
        """Drop the connections to one emitter."""
        mine = [entry for entry in self._made if entry[0] is emitter]
        for entry in mine:
            self._made.remove(entry)
        _drop(mine)

    def clear(self) -> None:
        """Drop all connections."""
        _drop(self._made)


def _drop(made: list[tuple[Any, Any]], *_: object) -> None:
    while made:
        emitter, reference = made.pop()
        slot = reference()
        if slot is not None:
            # An emitter may have dropped it by itself.
            with contextlib.suppress(ValueError, KeyError):
                emitter.disconnect(slot)
