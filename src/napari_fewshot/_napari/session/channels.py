"""Channels of one image that are layers each, and are worked on together."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...arrays import is_lazy
from ...errors import InputError
from ...types import Array, Volume
from ..layers import image_volume, shape_of

__all__ = ["ChannelSets"]

_COLOURS = 3
_MAX_BYTES = 2**30
"""Channels in memory up to this size together are copied side by side; others are read lazily."""


class ChannelSets:
    """Which image layers are channels of one image: of each set the first stands for it.

    ``told`` is called when sets have changed, and told whether one has as many as there are
    colours, which these are not.
    """

    def __init__(self) -> None:
        self._sets: list[tuple[Any, ...]] = []
        self.told: Callable[[bool], None] = lambda like_colours: None
        self._stacks: dict[tuple[int, ...], tuple[list[weakref.ref[Any]], Array]] = {}

    @property
    def sets(self) -> tuple[tuple[Any, ...], ...]:
        """The channels of each image, the one that stands for it first."""
        return tuple(self._sets)

    def of(self, image: Any) -> tuple[Any, ...]:
        """All channels of the image that a layer is one of; the layer alone if it is in no set."""
        return next((one for one in self._sets if any(image is x for x in one)), (image,))

    def leader_of(self, image: Any) -> Any:
        """The layer that stands for the image that a layer is a channel of."""
        return self.of(image)[0]

    def join(self, layers: Sequence[Any]) -> None:
        """Work on layers as one image from now on; on a single one alone.

        InputError, and nothing is changed, if they do not lie on one grid.
        """
        first, *others = layers
        for layer in layers:
            if layer.rgb or layer.multiscale:
                kind = "colour" if layer.rgb else "several levels"
                raise InputError(f"channel {layer.name}", "be a grey image of one level", kind)
        for other in others:
            if shape_of(other) != shape_of(first):
                wanted = f"have the shape {shape_of(first)} of {first.name}"
                raise InputError(f"channel {other.name}", wanted, shape_of(other))
        for layer in layers:
            self._drop(layer)
        if others:
            self._sets.append(tuple(layers))
        self._tell()

    def forget(self, layer: Any) -> None:
        """A layer is no channel any more, and neither are those that were with it."""
        if len(self.of(layer)) > 1:
            self._drop(layer)
            self._tell()

    def _tell(self) -> None:
        self.told(any(len(one) == _COLOURS for one in self._sets))

    def _drop(self, layer: Any) -> None:
        self._sets = [one for one in self._sets if not any(layer is x for x in one)]
        self._stacks.clear()

    def volume(self, image: Any, lead: tuple[int, ...] = (), level: int = 0) -> Volume:
        """As :func:`image_volume`, with all channels of the image on a last axis."""
        channels = self.of(image)
        found = image_volume(channels[0], lead, level)
        if len(channels) == 1:
            return found
        arrays = [image_volume(one, lead, level).data for one in channels]
        return replace(found, data=self._stacked(channels, lead, arrays), has_channels=True)

    def _stacked(
        self, channels: Sequence[Any], lead: tuple[int, ...], arrays: Sequence[Array]
    ) -> Array:
        """Arrays on a last axis; those in memory are copied once, until one is exchanged."""
        if any(is_lazy(one) for one in arrays) or sum(a.nbytes for a in arrays) > _MAX_BYTES:
            import dask.array

            stacked: Array = dask.array.stack([dask.array.asarray(one) for one in arrays], axis=-1)
            return stacked
        key = (*(id(one.data) for one in channels), *lead)
        known = self._stacks.get(key)
        if known is not None and all(
            reference() is one.data for reference, one in zip(known[0], channels, strict=True)
        ):
            return known[1]
        found = np.stack(arrays, axis=-1)
        self._stacks[key] = ([weakref.ref(one.data) for one in channels], found)
        return found
