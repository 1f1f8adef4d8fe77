"""Connections to the viewer that outlive a widget, dropped together with it."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

__all__ = ["bind_keys", "listen"]


def listen(owner: QObject, emitter: Any, slot: Callable[..., Any]) -> None:
    """Connect a bound method to an emitter of psygnal or napari until Qt destroys its owner.

    Python may keep a widget for a while after that; an event that reached it would raise.
    """
    emitter.connect(slot)
    owner.destroyed.connect(partial(_drop, emitter, weakref.WeakMethod(slot)))


def _drop(emitter: Any, reference: weakref.WeakMethod[Callable[..., Any]], *_: object) -> None:
    slot = reference()
    if slot is not None:
        with contextlib.suppress(ValueError, KeyError):  # it may have dropped it by itself
            emitter.disconnect(slot)


def bind_keys(
    viewer: Any, actions: Mapping[str, Callable[[], Any]], owner: QWidget
) -> tuple[str, ...]:
    """Bind keys (``"K"``) of the viewer for as long as the owner is docked; returns those bound.

    None is taken from the viewer, a plugin or the preferences; keys of layers come before.
    """
    from napari.settings import get_settings

    of_napari = (key for keys in get_settings().shortcuts.shortcuts.values() for key in keys)
    of_viewer = (key for key, act in viewer.keymap.items() if not _is_left(act))
    taken = {str(key) for key in (*of_viewer, *viewer.class_keymap, *of_napari)}
    bound = {key: _KeyAction(act, owner) for key, act in actions.items() if key not in taken}
    for key, act in bound.items():
        viewer.bind_key(key, act, overwrite=True)
    owner.destroyed.connect(partial(_unbind, viewer, bound))
    return tuple(bound)


class _KeyAction:
    """What a key does while its owner is docked: napari keeps the widgets of docks it closes."""

    def __init__(self, act: Callable[[], Any], owner: QWidget) -> None:
        self._act, self._owner = act, weakref.ref(owner)
        self.__name__ = type(self).__name__  # napari looks at the names of all that keys do

    @property
    def is_left(self) -> bool:
        """Whether the owner is in no dock any more."""
        owner = self._owner()
        return owner is None or owner.parentWidget() is None

    def __call__(self, viewer: Any) -> None:
        if not self.is_left:
            self._act()


def _is_left(act: Any) -> bool:
    return isinstance(act, _KeyAction) and act.is_left


def _unbind(viewer: Any, bound: Mapping[str, Callable[[Any], None]], *_: object) -> None:
    for key in [k for k, act in viewer.keymap.items() if bound.get(str(k)) is act]:
        del viewer.keymap[key]
