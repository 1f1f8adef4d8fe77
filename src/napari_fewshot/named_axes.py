"""Arrays whose axes have names and coordinates, as those of xarray; which need not be installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError

__all__ = ["NamedAxes", "has_named_axes"]

Array = npt.NDArray[Any]

_SPACE = {
    "z": ("z", "k", "slice", "slices", "plane", "planes", "depth"),
    "y": ("y", "j", "row", "rows", "height"),
    "x": ("x", "i", "col", "cols", "column", "columns", "width"),
}
_CHANNELS = ("c", "ch", "channel", "channels", "rgb", "band", "bands", "s", "sample", "samples")
_MM = {
    "m": 1000.0,
    "cm": 10.0,
    "mm": 1.0,
    "um": 1e-3,
    "µm": 1e-3,  # micro sign
    "μm": 1e-3,  # mu
    "nm": 1e-6,
    "meter": 1000.0,
    "metre": 1000.0,
    "centimeter": 10.0,
    "centimetre": 10.0,
    "millimeter": 1.0,
    "millimetre": 1.0,
    "micrometer": 1e-3,
    "micrometre": 1e-3,
    "micron": 1e-3,
    "nanometer": 1e-6,
    "nanometre": 1e-6,
}
_UNEVEN = 0.01
"""Steps that differ by more than this share of their mean are no regular grid."""


def has_named_axes(array: object) -> bool:
    """Whether an array has dimensions with names, and coordinates."""
    return all(hasattr(array, name) for name in ("dims", "coords", "isel", "transpose"))


@dataclass(frozen=True)
class NamedAxes:
    """Which axes of an array are space and channels, in file order.

    Parameters
    ----------
    space : tuple of str
        Names of the axes (Z, Y, X) or (Y, X).
    channels : str or None
        Name of the axis of channels, if there is one of several.
    single : tuple of str
        Names of all others, each of length 1.
    """

    space: tuple[str, ...]
    channels: str | None
    single: tuple[str, ...]

    @classmethod
    def of(cls, array: Any) -> NamedAxes | None:
        """Find them by their names; None where two axes of space are not known by theirs.

        Raises
        ------
        InputError
            If an axis that is neither space nor channels is longer than 1.
        """
        names = {str(name): str(name).lower() for name in array.dims}
        space = {
            axis: name
            for axis, known in _SPACE.items()
            for name, plain in names.items()
            if plain in known
        }
        if "y" not in space or "x" not in space or len({*space.values()}) < len(space):
            return None
        chosen = tuple(space[axis] for axis in _SPACE if axis in space)
        sizes = {str(name): int(size) for name, size in zip(array.dims, array.shape, strict=True)}
        rest = [name for name in names if name not in chosen]
        channels = next((n for n in rest if names[n] in _CHANNELS and sizes[n] > 1), None)
        single = tuple(name for name in rest if name != channels)
        for name in single:
            if sizes[name] > 1:
                raise InputError(
                    "image",
                    "have no axes but those of space and of channels",
                    f"{name} of length {sizes[name]}",
                    f"Choose one first: image.isel({name}=0).",
                )
        return cls(chosen, channels, single)

    def arranged(self, array: Any) -> Any:
        """The array in file order, (Z, Y, X) or (Y, X), channels last."""
        plain = array.isel(dict.fromkeys(self.single, 0), drop=True)
        order = self.space if self.channels is None else (*self.space, self.channels)
        return plain.transpose(*order)

    def spacing(self, array: Any) -> tuple[float, ...]:
        """Distance of neighbours in mm along each axis of space; 1 without coordinates.

        Coordinates are in mm unless an attribute ``units`` of theirs says otherwise.

        Raises
        ------
        InputError
            If they are not evenly spaced, or of a unit that is no length.
        """
        return tuple(_step(array, name) for name in self.space)

    def like(self, array: Any, values: Array, name: str) -> Any:
        """Values (Z, Y, X) or (Y, X) as an array with the axes of space of another one."""
        first = dict.fromkeys(self.single if self.channels is None else
                              (*self.single, self.channels), 0)  # fmt: skip
        plain = array.isel(first, drop=True)
        order = plain.dims
        found = plain.transpose(*self.space).copy(data=values).transpose(*order)
        found.name, found.attrs = name, {}
        return found


def _step(array: Any, name: str) -> float:
    if name not in array.coords:
        return 1.0
    coordinates = array.coords[name]
    places = np.asarray(coordinates.values)
    if places.dtype.kind not in "iuf" or len(places) < 2:
        return 1.0
    steps = np.diff(places.astype(np.float64))
    mean = float(steps.mean())
    if not np.isfinite(steps).all() or np.abs(steps - mean).max() > _UNEVEN * abs(mean):
        raise InputError(
            f"image.coords[{name!r}]",
            "be evenly spaced",
            f"steps of {steps.min():g} to {steps.max():g}",
            "Resample the image to a regular grid first (xarray: image.interp).",
        )
    unit = str(coordinates.attrs.get("units", coordinates.attrs.get("unit", "mm"))).strip()
    factor = _MM.get(unit, _MM.get(unit.lower().removesuffix("s")))
    if factor is None and unit.lower() in ("", "px", "pixel", "pixels"):
        return abs(mean)
    if factor is None:
        raise InputError(
            f"image.coords[{name!r}]", "have a length as its unit", unit, "Give mm or um."
        )
    return abs(mean) * factor
