"""One sparse undo step for a whole run, in napari's own history of a labels layer.

napari's own ``data_setitem`` holds about 28 bytes for each written voxel; a run keeps the box of
what changed on each slice, before and after.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...types import Array
from .slicing import Key, Slicing

__all__ = ["UndoStep"]

_MOST_BYTES = 512 * 2**20


class UndoStep:
    """What one run changed in a labels layer.

    Parameters
    ----------
    layer : napari.layers.Labels
    slicing : Slicing

    Attributes
    ----------
    predicted, copied : set of Key
        Slices that were not so before the run.
    """

    def __init__(self, layer: Any, slicing: Slicing) -> None:
        self._layer = layer
        self._slicing = slicing
        self._boxes: dict[Key, tuple[Any, Array, Array]] = {}
        self.predicted: set[Key] = set()
        self.copied: set[Key] = set()

    @property
    def layer(self) -> Any:
        """What was written to."""
        return self._layer

    @property
    def nbytes(self) -> int:
        """Memory that the step takes."""
        return sum(before.nbytes + after.nbytes for _, before, after in self._boxes.values())

    def note(self, key: Key, before: Array, after: Array) -> None:
        """Note a slice (rows, columns) before and after it was written."""
        before = self.before(key, before)
        changed = before != after
        self._boxes.pop(key, None)
        if not changed.any():
            return
        rows, columns = (_span(changed.any(axis=axis)) for axis in (1, 0))
        box = self._slicing.box(key, rows, columns)
        shape = self._layer.data[box].shape
        old, new = (plane[rows, columns].reshape(shape).copy() for plane in (before, after))
        self._boxes[key] = (box, old, new)

    def before(self, key: Key, plane: Array) -> Array:
        """A slice as it was before this run, from what it is now."""
        if key not in self._boxes:
            return plane
        box, old, new = self._boxes[key]
        rows, columns = (part for k, part in enumerate(box) if k in self._plane_axes())
        earlier = plane.copy()
        now = earlier[rows, columns]
        written = now == new.reshape(now.shape)  # all else was painted since
        earlier[rows, columns] = np.where(written, old.reshape(now.shape), now)
        return earlier

    def _plane_axes(self) -> list[int]:
        slicing = self._slicing
        return [k for k in range(slicing.leading, len(slicing.shape)) if k != slicing.layer_axis]

    def push(self) -> list[Any]:
        """Make the run one step of the layer's undo history, and return it (empty: no change).

        Steps of earlier runs go when all together take more than 512 MB.
        """
        if not self._boxes or np.shape(self._layer.data) != self._slicing.shape:
            return []
        for box, before, after in self._boxes.values():
            now = np.asarray(self._layer.data[box])
            painted = now != after  # while it ran: to undo the run is not to undo strokes
            before[painted] = after[painted] = now[painted]
        history = self._layer._undo_history
        item = _Step(self._boxes.values())
        history.append(item)
        self._layer._redo_history.clear()
        steps = [step for step in history if isinstance(step, _Step)]
        while len(steps) > 1 and sum(step.nbytes for step in steps) > _MOST_BYTES:
            oldest = steps.pop(0)
            # An earlier state can only be reached through it, so what is before goes too.
            while history and history.popleft() is not oldest:
                pass
        return item


class _Step(list[Any]):
    """Item of the history: (box, before, after) of each slice."""

    @property
    def nbytes(self) -> int:
        return sum(before.nbytes + after.nbytes for _, before, after in self)


def _span(used: Array) -> slice:
    places = np.flatnonzero(used)
    return slice(int(places[0]), int(places[-1]) + 1)
