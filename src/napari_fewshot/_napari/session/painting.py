"""What a person paints with: the labels of all images, their names, and the layers to paint in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError
from ..layers import array_of, columns_of, geometry_of, label_names, level_like, shape_of
from .pairs import PairController
from .state import State
from .teaching import is_result
from .templates import TemplateEntry
from .view import View

__all__ = ["PaintController", "PaintLabel"]

_COUNTED = 2**16
_MAX_ERASED = 5_000_000
"""Voxels; each takes about 28 bytes of napari's undo history."""


@dataclass(frozen=True)
class PaintLabel:
    """A label to paint with: value, name (empty: none was given), colour (R, G, B, A in 0..1)."""

    value: int
    name: str
    colour: tuple[float, ...]

    @property
    def title(self) -> str:
        """The name, else the value, for people."""
        return self.name or f"label {self.value}"


class PaintController:
    """The labels of a session as one list, whichever image is in view: ``session.painting``.

    A label that is chosen can be painted at once: the layer for it is made where there is none.
    """

    def __init__(self, state: State, view: View, pairs: PairController) -> None:
        self._state, self._view, self._pairs = state, view, pairs
        self._added: set[int] = set()  # and not painted yet
        self._known: dict[int, tuple[tuple[int, ...], frozenset[int]]] = {}  # values of layers

    # Layers

    def layer_of(self, image: Any) -> Any:
        """Layer in which an image is painted: its result, else the one that teaches, or None."""
        result = self._state.result_of(image)
        if result is not None and result.has_labels:
            return result.labels
        entries = [one.labels for one in self._state.entries_of(image) if one.kind != "points"]
        return entries[-1] if entries else self._found(image)

    def layer_to_paint(self, image: Any) -> Any:
        """As :meth:`layer_of`; made, and added to what is learned from, where there is none."""
        layer = self.layer_of(image)
        if layer is None:
            layer = self._made(image)
        result, known = self._state.result_of(image), self._state.entries_of(image)
        own = result is not None and result.labels is layer
        if not own and all(one.labels is not layer for one in known):
            self._pairs.add(image, layer, None, None)
        return layer

    @property
    def has_paint(self) -> bool:
        """Whether anything is painted in layers of open images."""
        return any(self._values_in(layer) for layer in self._hand_layers())

    def adopt(self) -> list[TemplateEntry]:
        """Learn from now on from open labels that were painted for open images; new entries."""
        return [self._pairs.add(image, layer, None, None) for image, layer in self.to_adopt()]

    def to_adopt(self) -> list[tuple[Any, Any]]:
        """Images and their labels that :meth:`adopt` would learn from."""
        state, layers, found = self._state, self._view.viewer.layers, []
        for image in [one for one in layers if one._type_string == "image" and not is_result(one)]:
            leader = state.channels.leader_of(image)
            if state.entries_of(leader) or state.result_of(leader) is not None:
                continue
            layer = self._found(image)
            if layer is not None and self._values_in(layer):
                found.append((leader, layer))
        return found

    def points_layer(self, image: Any) -> Any:
        """Points layer in which landmarks of an image are marked; made where there is none."""
        for entry in self._state.entries_of(image):
            if entry.kind == "points":
                return entry.labels
        viewer = self._view.viewer
        result = self._state.result_of(image)
        found = None if result is None else result.landmarks
        named = [
            one
            for one in viewer.layers
            if one._type_string == "points"
            and one.visible
            and one is not found
            and not is_result(one)
            and one.name.startswith(image.name)
            and not self._pairs.doubt(image, one)
        ]
        layer = named[-1] if named else self._made_points(image)
        self._pairs.add(image, layer, "points", None)
        return layer

    def _found(self, image: Any) -> Any:
        """Labels layer that a person made for an image: by its name, or the only one that fits."""
        layers = self._view.viewer.layers
        shape = shape_of(image, level_like(image))
        others = [
            one
            for one in layers
            if one._type_string == "image" and one is not image and not is_result(one)
        ]
        alone = all(shape_of(one, level_like(one)) != shape for one in others)
        for layer in reversed(layers):
            if layer._type_string != "labels" or is_result(layer) or not layer.visible:
                continue
            if layer.multiscale or shape_of(layer) not in (shape, shape[-3:]):
                continue
            if (alone or layer.name.startswith(image.name)) and not self._pairs.doubt(image, layer):
                return layer
        return None

    def _made(self, image: Any) -> Any:
        level, viewer = level_like(image), self._view.viewer
        options, like = geometry_of(image, level), self._state.labels_like(image)
        values = self.values()
        dtype = np.dtype(np.uint8 if max(values, default=0) < 255 else np.int32)
        if like is not None:
            dtype = np.promote_types(dtype, like.data.dtype)
            options |= {"features": like.features, "colormap": like.colormap}
        data = np.zeros(shape_of(image, level), dtype)
        return viewer.add_labels(data, name=f"{image.name} labels", **options)

    def _made_points(self, image: Any) -> Any:
        level = level_like(image)
        return self._view.viewer.add_points(
            ndim=len(shape_of(image, level)),
            name=f"{image.name} landmarks",
            size=3,
            face_color="transparent",
            border_color="yellow",
            **geometry_of(image, level),
        )

    # Labels

    def values(self) -> list[int]:
        """Values of all labels that are known, painted, or added, sorted."""
        model = self._state.model
        points = frozenset() if model is None else model.point_labels_
        found = {*self._added, *self._state.label_names()} - points
        if model is not None:
            found |= set(model.label_values_) - points
        for layer in self._hand_layers():
            found |= self._values_in(layer)
        return sorted(found - {0})

    def labels(self) -> list[PaintLabel]:
        """All labels, with names and colours."""
        layers = list(self._hand_layers())
        names = self._state.label_names()
        for layer in layers:
            names = label_names(layer.features) | names
        like = layers[0] if layers else self._state.labels_like(None)
        return [PaintLabel(v, names.get(v, ""), _colour(like, v)) for v in self.values()]

    def chosen(self, image: Any) -> int:
        """Label that is painted with on an image; 0: none."""
        layer = None if image is None else self.layer_of(image)
        return 0 if layer is None else int(layer.selected_label)

    def add_label(self, image: Any, name: str = "") -> int:
        """Add a label, and paint with it; its value."""
        value = max(self.values(), default=0) + 1
        self._added.add(value)
        layer = self.choose(image, value)
        if name:
            self.rename(value, name)
        self._state.events.templates.emit()
        return int(layer.selected_label)

    def choose(self, image: Any, value: int) -> Any:
        """Paint on an image with a label from now on; the layer to paint in."""
        layer = self.layer_to_paint(image)
        if value > np.iinfo(layer.data.dtype).max:
            raise InputError(
                f"layer {layer.name}",
                f"hold labels up to {value}",
                f"dtype {layer.data.dtype}",
                "Convert it (right click, Convert data type).",
            )
        layer.visible = True
        self._view.viewer.layers.selection.active = layer
        layer.selected_label = value
        layer.mode = "paint"
        return layer

    def mark_landmarks(self, image: Any) -> Any:
        """Mark landmarks of an image from now on, each by a click; the layer of the points."""
        layer = self.points_layer(image)
        layer.visible = True
        self._view.viewer.layers.selection.active = layer
        layer.mode = "add"
        return layer

    def rename(self, value: int, name: str) -> None:
        """Name a label in all layers that have it; an empty name takes it back."""
        results = [one.labels for one in self._state.results.values() if one.has_labels]
        for layer in {id(one): one for one in (*self._hand_layers(), *results)}.values():
            layer.features = _renamed(layer.features, value, name.strip())
        self._state.events.templates.emit()

    def remove(self, value: int) -> None:
        """Forget a label, and erase its paint in the layers that teach: one step to undo in each.

        InputError, and nothing is changed, where too much is painted to be erased at once.
        """
        places = [
            (layer, np.nonzero(np.asarray(array_of(layer)) == value))
            for layer in self._hand_layers()
            if value in self._values_in(layer)
        ]
        for layer, voxels in places:
            if len(voxels[0]) > _MAX_ERASED:
                most = f"be painted on at most {_MAX_ERASED:,} voxels to be removed"
                remedy = "Erase it in the layer."
                raise InputError(f"label {value} of {layer.name}", most, len(voxels[0]), remedy)
        self._added.discard(value)
        for layer, voxels in places:
            layer.data_setitem(voxels, 0)
            self._known.pop(id(layer), None)
        self.rename(value, "")
        self._state.events.slices.emit()

    def _hand_layers(self) -> Iterator[Any]:
        """Labels layers that a person painted, those that teach and those that may."""
        seen: set[int] = set()
        layers = [one.labels for one in self._state.entries if one.kind != "points"]
        for image in self._view.viewer.layers:
            if image._type_string == "image" and not is_result(image):
                found = None if self._state.entries_of(image) else self._found(image)
                layers += [] if found is None else [found]
        for layer in layers:
            if id(layer) not in seen and not is_result(layer):
                seen.add(id(layer))
                yield layer

    def _values_in(self, layer: Any) -> frozenset[int]:
        """Label values in a layer. After a stroke only those of it are new: all is read once."""
        data, history = array_of(layer), layer._undo_history
        state = id(data), len(history), len(layer._redo_history), id(history[-1]) if history else 0
        known = self._known.get(id(layer))
        if known is not None and known[0] == state:
            return known[1]
        grown = known is not None and history and len(history) >= known[0][1]
        if known is not None and grown and known[0][0] == id(data):
            values = known[1] | _written(history[-1])
        else:  # another array, or something was undone
            values = frozenset(_values(data))
        self._known[id(layer)] = state, values
        return values


def _values(data: Any) -> set[int]:
    """Values of a label map but 0; none of one that is read as it is indexed."""
    found: set[int] = set()
    if not isinstance(data, np.ndarray):
        return found
    for plane in data if data.ndim > 2 else [data]:
        most = int(plane.max(initial=0))
        if plane.min(initial=0) >= 0 and most < _COUNTED:
            found.update(np.flatnonzero(np.bincount(plane.ravel())).tolist() if most else ())
        else:
            found.update(np.unique(plane).tolist())
    return found - {0}


def _written(step: Sequence[Any]) -> frozenset[int]:
    """Values that a step of napari's history, or of ours, has written."""
    found: set[int] = set()
    for atom in step:
        values = atom.new_value if hasattr(atom, "new_value") else atom[2]
        found.update(np.unique(np.asarray(values)).tolist())
    return frozenset(int(value) for value in found if value)


def _colour(layer: Any, value: int) -> tuple[float, ...]:
    if layer is None:
        return (0.5, 0.5, 0.5, 1.0)
    return tuple(float(c) for c in layer.get_color(value))


def _renamed(features: Any, value: int, name: str) -> Any:
    """Features of a labels layer with another name for a value; all else stays."""
    import pandas

    table = pandas.DataFrame(columns_of(features))
    if "index" not in table:
        table.insert(0, "index", range(len(table)))
    if "name" not in table:
        table["name"] = [""] * len(table)
    if not (table["index"] == value).any():
        table = pandas.concat([table, pandas.DataFrame({"index": [value]})], ignore_index=True)
    table["name"] = table["name"].astype(object).where(table["name"].notna(), "")
    table.loc[table["index"] == value, "name"] = name
    return table
