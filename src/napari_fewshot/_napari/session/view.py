"""What the viewer shows of an image: sliced axis, slice in view, and how to go elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...types import Array
from ..layers import shape_of
from .slicing import Key, Slicing

__all__ = ["axis_names", "go_to", "lead_in_view", "slice_in_view", "sliced_axis"]


def axis_names(image: Any) -> tuple[str, ...]:
    """Names of the spatial axes of a layer."""
    spatial = min(3, len(shape_of(image)))
    return tuple(str(name) for name in image.axis_labels)[-spatial:]


def sliced_axis(viewer: Any, image: Any) -> int:
    """Spatial axis of an image that the viewer slices now; the first one where it slices none."""
    shape = shape_of(image)
    spatial = min(3, len(shape))
    if spatial == 2:
        return 0
    displayed = set(viewer.dims.order[-2:])
    offset = viewer.dims.ndim - spatial
    hidden = [axis for axis in range(spatial) if axis + offset not in displayed]
    return hidden[0] if hidden else 0


def lead_in_view(viewer: Any, image: Any) -> Key:
    """Place in view on the axes of an image before the spatial ones."""
    shape = shape_of(image)
    leading = len(shape) - min(3, len(shape))
    place = _place(viewer, image)
    return tuple(int(np.clip(place[k], 0, shape[k] - 1)) for k in range(leading))


def slice_in_view(viewer: Any, image: Any, slicing: Slicing) -> int | None:
    """Slice of an image in view along the working axis; None beyond its ends.

    In a 3D view, or where another axis is sliced, it is the slice at the place of the slider.
    """
    if slicing.layer_axis is None:
        return 0
    full = shape_of(image)[slicing.layer_axis]
    place = _place(viewer, image)[slicing.layer_axis]
    if not -0.5 <= place < full - 0.5:
        return None
    return min(int((place + 0.5) * slicing.count / full), slicing.count - 1)


def go_to(viewer: Any, image: Any, slicing: Slicing, index: int) -> None:
    """Move the sliders to a slice of an image."""
    axis = slicing.layer_axis
    if axis is None:
        return
    place = _place(viewer, image)
    place[axis] = (index + 0.5) * shape_of(image)[axis] / slicing.count - 0.5
    world = np.asarray(image.data_to_world(tuple(place))) / _units(viewer, image)
    offset = viewer.dims.ndim - len(place)
    viewer.dims.set_point(axis + offset, world[axis])


def _place(viewer: Any, image: Any) -> Array:
    """Place of the sliders in data coordinates of a layer, rounded as napari slices."""
    ndim = len(shape_of(image))
    point = np.asarray(viewer.dims.point[-ndim:]) * _units(viewer, image)
    return np.round(np.asarray(image.world_to_data(point), float)[-ndim:])


def _units(viewer: Any, image: Any) -> Array:
    """Units of the sliders in those of a layer: napari counts in the finest unit of all layers."""
    factors = np.ones(image.ndim)
    if viewer.dims.units is None:  # units that do not go together: napari takes numbers alone
        return factors
    import pint

    registry: Any = pint.get_application_registry()  # type: ignore[no-untyped-call]
    pairs = zip(viewer.dims.units[-image.ndim :], image.units, strict=True)
    for axis, (shared, own) in enumerate((str(a), str(b)) for a, b in pairs):
        if shared != own:
            factors[axis] = registry.Quantity(1.0, shared).to(own).magnitude
    return factors
