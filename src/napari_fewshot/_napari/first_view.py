"""What is in view when a sample was opened: a slice that is painted."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import Array

__all__ = ["show_when_added"]


def show_when_added(labels: Array) -> None:
    """When a layer of these labels (Z, Y, X) is added, show the slice with most paint."""
    import napari

    viewer = napari.current_viewer()
    if viewer is None or not labels.any():
        return
    inserted = viewer.layers.events.inserted

    def show(event: Any) -> None:
        if event.value.data is not labels:
            return
        inserted.disconnect(show)
        index = int(np.count_nonzero(labels, axis=(1, 2)).argmax())
        place = event.value.data_to_world((index, 0, 0))[0]
        viewer.dims.set_point(viewer.dims.ndim - labels.ndim, place)

    inserted.connect(show, position="last")  # the viewer counts its axes first
