"""The viewer as a session sees it: layers that a caller means, and what is in view of an image."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import FewShotError, InputError, UnknownNameError
from ...types import Array
from ..layers import level_like, shape_of
from .slicing import Key, Slicing
from .state import State
from .teaching import is_result

__all__ = ["View"]


class View:
    """Reads one viewer, which it does not keep alive."""

    def __init__(self, viewer_reference: weakref.ReferenceType[Any], state: State) -> None:
        self._reference = viewer_reference
        self._state = state

    @property
    def viewer(self) -> Any:
        """The viewer; FewShotError if it was closed."""
        viewer = self._reference()
        if viewer is None:
            raise FewShotError("The viewer of this session was closed.")
        return viewer

    # Layers that a caller means

    def layer(self, given: Any, types: Sequence[str], parameter: str) -> Any:
        """Layer of one of the types, given itself or by name; another one is an InputError."""
        layers = self.viewer.layers
        if isinstance(given, str):
            if given not in layers:
                raise UnknownNameError(parameter, given, [layer.name for layer in layers])
            given = layers[given]
        given = getattr(given, "__wrapped__", given)
        if getattr(given, "_type_string", None) not in types:
            kinds = " or ".join(types)
            raise InputError(parameter, f"be a layer of type {kinds}, or its name", given)
        if given not in layers:
            raise InputError(parameter, "be in this viewer", given.name)
        return given

    def image(self, given: Any) -> Any:
        """The given image, else that of the active layer, else the topmost that is visible."""
        if given is not None:
            return self._state.channels.leader_of(self.layer(given, ("image",), "image"))
        found = self.image_or_none()
        if found is None:
            raise InputError("image", "be an image layer of the viewer", "none", "Open an image.")
        return found

    def image_or_none(self, given: Any = None) -> Any:
        """As :meth:`image`; None where nothing is given and there is no image."""
        if given is not None:
            return self.image(given)
        layers = self.viewer.layers
        images = [
            layer
            for layer in reversed(layers)
            if layer._type_string == "image" and not is_result(layer)
        ]
        active = layers.selection.active
        named = [active] if active in images else self._state.images_of(active)
        visible = [layer for layer in images if layer.visible]
        found = next((one for one in (*named, *visible, *images) if one in layers), None)
        return None if found is None else self._state.channels.leader_of(found)

    def checked(self, slices: Sequence[int] | None, image: Any) -> Sequence[int] | None:
        """Slices that an image has; InputError for others."""
        count = self.slicing_of(image).count
        wrong = [k for k in slices or () if not 0 <= k < count]
        if wrong:
            raise InputError("slices", f"be within 0..{count - 1}", wrong[0])
        return slices

    # What is in view of an image

    def slicing_of(self, image: Any) -> Slicing:
        """How the slices of an image are counted: as its labels, else as set or viewed."""
        result = self._state.result_of(image)
        if result is not None and result.provenance is not None:
            return result.provenance.slicing
        for entry in self._state.entries_of(image):
            return Slicing(shape_of(image, entry.level), entry.slicing.axis)
        return Slicing(shape_of(image, level_like(image)), self.working_axis(image))

    def working_axis(self, image: Any) -> int:
        """Working axis of an image that has no labels yet."""
        axis = self._state.settings.axis
        if axis is None:
            return self.sliced_axis(image) or 0
        return min(axis, len(self.axis_names(image)) - 1)

    def axis_names(self, image: Any) -> tuple[str, ...]:
        """Names of the spatial axes of an image."""
        return tuple(str(name) for name in image.axis_labels)[-min(3, len(shape_of(image))) :]

    def sliced_axis(self, image: Any) -> int | None:
        """Spatial axis that the viewer slices, the first where it slices none; None in 2D."""
        viewer, spatial = self.viewer, min(3, len(shape_of(image)))
        if spatial == 2:
            return None
        displayed = set(viewer.dims.order[-2:])
        offset = viewer.dims.ndim - spatial
        hidden = [axis for axis in range(spatial) if axis + offset not in displayed]
        return hidden[0] if hidden else 0

    def lead(self, image: Any) -> Key:
        """Place in view on the axes of an image before the spatial ones."""
        shape = shape_of(image)
        place = self._place(image)
        leading = len(shape) - min(3, len(shape))
        return tuple(int(np.clip(place[k], 0, shape[k] - 1)) for k in range(leading))

    def slice_of(self, image: Any) -> int | None:
        """Slice in view along the working axis; None beyond its ends.

        In a 3D view, or where another axis is sliced, it is the slice at the place of the slider.
        """
        slicing = self.slicing_of(image)
        if slicing.layer_axis is None:
            return 0
        full = shape_of(image)[slicing.layer_axis]
        place = self._place(image)[slicing.layer_axis]
        if not -0.5 <= place < full - 0.5:
            return None
        return min(int((place + 0.5) * slicing.count / full), slicing.count - 1)

    def go_to(self, image: Any, index: int) -> None:
        """Move the sliders to a slice of an image."""
        slicing = self.slicing_of(image)
        axis = slicing.layer_axis
        if axis is None:
            return
        place = self._place(image)
        place[axis] = (index + 0.5) * shape_of(image)[axis] / slicing.count - 0.5
        world = np.asarray(image.data_to_world(tuple(place))) / self._units(image)
        dims = self.viewer.dims
        dims.set_point(axis + dims.ndim - len(place), world[axis])

    def show_point(self, layer: Any, point: Array) -> None:
        """Move the sliders to a point in data of a layer, and the camera, if it is not in view."""
        world = np.asarray(layer.data_to_world(point)) / self._units(layer)
        dims, camera = self.viewer.dims, self.viewer.scene.camera
        first = dims.ndim - len(world)
        displayed = dims.displayed
        for axis, value in enumerate(world.tolist(), first):
            if axis not in displayed:
                dims.set_point(axis, value)
        low, high = np.asarray(layer.corner_pixels, float)
        seen = [axis - first for axis in displayed if axis >= first]
        away = any(not low[k] <= point[k] <= high[k] for k in seen)
        if away and (high > low)[seen].all():
            camera.center = tuple(world[seen].tolist())

    def _place(self, image: Any) -> Array:
        """Place of the sliders in data coordinates of a layer, rounded as napari slices."""
        ndim = len(shape_of(image))
        point = np.asarray(self.viewer.dims.point[-ndim:]) * self._units(image)
        return np.round(np.asarray(image.world_to_data(point), float)[-ndim:])

    def _units(self, image: Any) -> Array:
        """Units of the sliders in those of a layer: napari counts in the finest of all layers."""
        factors = np.ones(image.ndim)
        units = self.viewer.dims.units
        if units is None:  # units that do not go together: napari takes numbers alone
            return factors
        import pint

        registry: Any = pint.get_application_registry()
        pairs = zip(units[-image.ndim :], image.units, strict=True)
        for axis, (shared, own) in enumerate((str(a), str(b)) for a, b in pairs):
            if shared != own:
                factors[axis] = registry.Quantity(1.0, shared).to(own).magnitude
        return factors
