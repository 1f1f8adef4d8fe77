"""Layers to click into, and the one that shows what the clicks may mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layers import geometry_of, shape_of
from .answers import Asked, ClickChoice
from .teaching import KEY, Aid

__all__ = ["ClickLayers"]

_COLOURS = {"inside": "#3fbf5f", "outside": "#e05050"}
_ROWS_PER_POINT = 60


class ClickLayers:
    """Layers of clicks on an image, added to a viewer: one, and others when they are needed.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    into : napari.layers.Labels
        Layer that takes the paint.
    method : str
        What answers.
    level : int
        Of a multiscale image.

    Attributes
    ----------
    asked : Asked, optional
        What the choices that are shown answer.
    """

    def __init__(self, viewer: Any, image: Any, into: Any, method: str, level: int) -> None:
        self._viewer, self._level = viewer, level
        self.image, self.into, self.method = image, into, method
        self.outside: Any = None
        self.boxes: Any = None
        self.shown: Any = None
        self.asked: Asked | None = None
        self.inside = self._points("inside")

    def _points(self, what: str) -> Any:
        shape = shape_of(self.image, self._level)
        return self._viewer.add_points(
            np.zeros((0, len(shape))),
            face_color=_COLOURS[what],
            border_color="white",
            size=max(4, round(max(shape[-2:]) / _ROWS_PER_POINT)),
            **self._options(what, geometry_of(self.image, self._level)),
        )

    def _options(self, what: str, place: dict[str, Any]) -> dict[str, Any]:
        metadata = {**place.get("metadata", {}), KEY: Aid(self.image)}
        return {**place, "name": f"{self.image.name} {what}", "metadata": metadata}

    @property
    def layers(self) -> list[Any]:
        """All of them; they go when clicking ends."""
        return [one for one in (*self.clicked, self.shown) if one is not None]

    @property
    def clicked(self) -> list[Any]:
        """Those that hold clicks and boxes."""
        return [one for one in (self.inside, self.outside, self.boxes) if one is not None]

    def add_outside(self) -> Any:
        """Add the layer of clicks outside of the structure, and give it."""
        self.outside = self._points("outside")
        return self.outside

    def add_boxes(self) -> Any:
        """Add the layer of boxes, and give it."""
        self.boxes = self._viewer.add_shapes(
            ndim=self.inside.ndim,
            face_color="transparent",
            edge_color=_COLOURS["inside"],
            **self._options("box", geometry_of(self.image, self._level)),
        )
        return self.boxes

    def choose(self, kind: str) -> None:
        """Select the layer for the next click: ``"inside"``, ``"outside"`` or ``"box"``."""
        layer = {"inside": self.inside, "outside": self.outside, "box": self.boxes}[kind]
        layer.visible = True
        self._viewer.layers.selection.active = layer
        layer.mode = "add_rectangle" if kind == "box" else "add"

    def show(self, choice: ClickChoice | None) -> None:
        """Show a mask (None: none) in a layer of its own, which is nothing to learn from."""
        if self.shown is None or self.shown not in self._viewer.layers:
            if choice is None:
                return
            from napari.utils.colormaps import DirectLabelColormap

            active = self._viewer.layers.selection.active
            empty = np.zeros(self.into.data.shape, np.uint8)
            options = self._options("choice", geometry_of(self.into))
            colours = {None: "transparent", 1: _COLOURS["inside"], 2: _COLOURS["outside"]}
            shades = DirectLabelColormap(color_dict=colours)  # not those of the labels
            self.shown = self._viewer.add_labels(empty, opacity=0.6, colormap=shades, **options)
            self.shown.editable = False
            self._viewer.layers.selection.active = active
        before = self.shown.metadata.pop("slice", None)
        if before is not None:
            self.shown.data[before] = 0
        if choice is not None and self.asked is not None:
            place = self.asked.slicing.index(self.asked.key)
            self.shown.data[place] = choice.added + 2 * choice.removed.astype(np.uint8)
            self.shown.metadata["slice"] = place
        self.shown.refresh()
