"""Keys of the viewer for what is done once a slice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["bind_keys"]


def bind_keys(
    viewer: ViewerModel, actions: Mapping[str, Callable[[], Any]], owner: QObject
) -> tuple[str, ...]:
    """Bind keys for as long as ``owner`` lives, but none that is taken.

    Taken by the viewer, by a plugin, or by the user in the preferences; nobody's key is
    replaced. Keys of layers come before those of the viewer, so a key that some layer uses
    does there what it always did.

    Parameters
    ----------
    viewer : ViewerModel
        Whose keys.
    actions : mapping of str to callable
        Key, e.g. ``"K"``, and what it does.
    owner : QObject
        With it the keys go.

    Returns
    -------
    tuple of str
        The keys that were bound.
    """
    taken = {str(key) for key in (*viewer.keymap, *viewer.class_keymap, *_of_preferences())}
    bound = {key: _without_viewer(act) for key, act in actions.items() if key not in taken}
    for key, act in bound.items():
        viewer.bind_key(key, act)
    owner.destroyed.connect(partial(_unbind, viewer, bound))
    return tuple(bound)


def _of_preferences() -> list[Any]:
    """Keys that napari or the user gave to napari's own actions."""
    from napari.settings import get_settings

    return [key for keys in get_settings().shortcuts.shortcuts.values() for key in keys]


def _without_viewer(act: Callable[[], Any]) -> Callable[[Any], None]:
    def on_key(viewer: Any) -> None:
        act()

    return on_key


def _unbind(viewer: ViewerModel, bound: Mapping[str, Callable[[Any], None]], *_: object) -> None:
    for key, act in bound.items():
        mine = [k for k, value in viewer.keymap.items() if value is act and str(k) == key]
        for k in mine:
            with contextlib.suppress(KeyError):
                del viewer.keymap[k]
