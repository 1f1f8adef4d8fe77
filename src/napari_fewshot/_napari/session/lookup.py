"""Layers that a caller names, or means without naming them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import InputError, UnknownNameError
from .provenance import is_result

__all__ = ["the_image", "the_layer"]


def the_layer(viewer: Any, given: Any, types: Sequence[str], parameter: str) -> Any:
    """Layer of a viewer, given itself or by name.

    Raises
    ------
    UnknownNameError
        If no layer has the name.
    InputError
        If it is of another type, or is not in the viewer.
    """
    if isinstance(given, str):
        if given not in viewer.layers:
            raise UnknownNameError(parameter, given, [layer.name for layer in viewer.layers])
        given = viewer.layers[given]
    given = getattr(given, "__wrapped__", given)
    kinds = " or ".join(types)
    if getattr(given, "_type_string", None) not in types:
        raise InputError(parameter, f"be a layer of type {kinds}, or its name", given)
    if given not in viewer.layers:
        raise InputError(parameter, "be in this viewer", given.name)
    return given


def the_image(viewer: Any, given: Any) -> Any:
    """The given image layer, else the active one, else the topmost that is visible.

    Raises
    ------
    InputError
        If there is none.
    """
    if given is not None:
        return the_layer(viewer, given, ("image",), "image")
    active = viewer.layers.selection.active
    images = [
        layer
        for layer in reversed(viewer.layers)
        if layer._type_string == "image" and not is_result(layer)
    ]
    if active in images:
        return active
    for layer in [layer for layer in images if layer.visible] or images:
        return layer
    raise InputError("image", "be an image layer of the viewer", "none", "Open an image.")
