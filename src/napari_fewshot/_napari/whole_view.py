"""What is whole in view stays so: napari fits the first image alone, and never again.

Its own controls, and then a dock, take room from the canvas that the image was fitted to, and a
second image may lie out of view. The camera of a person who zoomed or moved it is left alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["WholeView", "show_next_whole"]

SETTLED_MS = 3000
"""After that the window has made room for what was opened."""


class WholeView:
    """A view that showed all visible layers whole, and is to do so again.

    It acts in 2D only, and only while the camera is where it was, or where this class put it.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._camera = self._place() if _is_whole(viewer) else None

    def restore(self, *_: object) -> None:
        """Show all visible layers whole again, if they are not, and nobody moved the camera."""
        if self._camera is None or self._camera != self._place() or _is_whole(self._viewer):
            return
        self._viewer.reset_view(layers=_visible(self._viewer))
        self._camera = self._place()

    def keep(self) -> None:
        """Restore it whenever the canvas changes its size, until the window has settled."""
        from qtpy.QtCore import QTimer

        resized = self._viewer.canvas.events.size
        resized.connect(self.restore)
        QTimer.singleShot(SETTLED_MS, lambda: resized.disconnect(self.restore))

    def _place(self) -> tuple[Any, ...]:
        camera = self._viewer.scene.camera
        return tuple(camera.center), camera.zoom


def show_next_whole() -> None:
    """Show the layer that is added next to the current viewer whole, if all others are so now."""
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        return
    before, inserted = WholeView(viewer), viewer.layers.events.inserted

    def show(event: Any) -> None:
        inserted.disconnect(show)
        if len(viewer.layers) > 1:
            before.restore()
        else:  # napari has fitted it, but then makes room for the controls of layers
            WholeView(viewer).keep()

    inserted.connect(show, position="last")  # the viewer counts its axes first


def _visible(viewer: Any) -> list[Any]:
    return [layer for layer in viewer.layers if layer.visible]


def _is_whole(viewer: Any) -> bool:
    """Whether all visible layers lie within the canvas, in 2D; without any there is no view."""
    layers, dims, camera = _visible(viewer), viewer.dims, viewer.scene.camera
    if not layers or dims.ndisplay != 2 or viewer.canvas.grid.enabled:
        return False
    extent = np.asarray(viewer.layers.get_extent(layers).world, float)
    shown = [axis - dims.ndim for axis in dims.displayed]  # those seen may lack the first axes
    if -min(shown) > extent.shape[1]:
        return False
    low, high = extent[:, shown]
    half = np.asarray(viewer.canvas.size, float) / camera.zoom / 2
    centre = np.asarray(camera.center, float)[-2:]
    return bool((low >= centre - half).all() and (high <= centre + half).all())
