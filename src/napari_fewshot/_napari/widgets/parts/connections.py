"""Connections to the viewer that outlive a widget, dropped together with it."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from qtpy.QtCore import QObject

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
    viewer: Any, actions: Mapping[str, Callable[[], Any]], owner: QObject
) -> tuple[str, ...]:
    """Bind keys (``"K"``) of the viewer for as long as the owner lives; returns those bound.

    None is taken from the viewer, a plugin or the preferences; keys of layers come before.
    """
    from napari.settings import get_settings

    of_napari = (key for keys in get_settings().shortcuts.shortcuts.values() for key in keys)
    taken = {str(key) for key in (*viewer.keymap, *viewer.class_keymap, *of_napari)}
    bound = {key: _without_viewer(act) for key, act in actions.items() if key not in taken}
    for key, act in bound.items():
        viewer.bind_key(key, act)
    owner.destroyed.connect(partial(_unbind, viewer, bound))
    return tuple(bound)


def _without_viewer(act: Callable[[], Any]) -> Callable[[Any], None]:
    def on_key(viewer: Any) -> None:
        act()

    return on_key


def _unbind(viewer: Any, bound: Mapping[str, Callable[[Any], None]], *_: object) -> None:
    for key in [k for k, act in viewer.keymap.items() if bound.get(str(k)) is act]:
        del viewer.keymap[key]
