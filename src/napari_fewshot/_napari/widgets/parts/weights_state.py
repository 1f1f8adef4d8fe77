"""Which backbones can be used now without a download, asked off the GUI thread."""

from __future__ import annotations

from typing import Any

from ....backbones import BackboneSpec, list_backbones, weights_available
from .words import size

__all__ = ["describe", "find_states", "start_lookup", "state_of"]


def find_states() -> dict[str, bool]:
    """Whether the weights of each backbone are on this machine.

    The first call imports the library of the hub, so call it on a worker.
    """
    return {spec.name: weights_available(spec.name) for spec in list_backbones()}


def state_of(spec: BackboneSpec, available: bool | None) -> str:
    """State of a backbone in one word or two; ``available`` is None while it is not known."""
    if spec.source == "built in":
        return "built in"
    if available is None:
        return "looking for weights"
    return "downloaded" if available else "not downloaded"


def describe(spec: BackboneSpec, available: bool | None) -> str:
    """One line: state, size, licence."""
    parts = [state_of(spec, available)]
    if spec.size_mb is not None:
        parts.append(size(spec.size_mb))
    if spec.licence:
        parts.append(spec.licence)
    line = " · ".join(parts)
    line = line[0].upper() + line[1:]
    if available is False:
        line += ". Fetched on first use; or choose a local file."
    return line


def start_lookup(found: Any) -> Any:
    """Ask on a worker thread; ``found(dict)`` is called on the GUI thread."""
    from napari.qt.threading import create_worker

    return create_worker(find_states, _connect={"returned": found})
