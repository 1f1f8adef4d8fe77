"""One sparse undo step for a whole run, in napari's own history of a labels layer.

napari's own ``data_setitem`` holds about 28 bytes for each written voxel; a run keeps the box of
what changed on each slice, before and after.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...types import Array
from .slicing import Key, Slicing

__all__ = ["Made", "UndoStep"]

Made = Literal["predicted", "copied"] | None
"""How a slice was made: by a prediction, as a copy of a template, or by neither."""

_MOST_BYTES = 512 * 2**20


class UndoStep:
    """What one run changed in a labels layer, and in the confidence layer beside it.

    napari undoes the labels; :meth:`turn` follows with the confidence.

    Parameters
    ----------
    layer : napari.layers.Labels
    slicing : Slicing

    Attributes
    ----------
    made : dict of Key to (str or None, str or None)
        How slices were made, before the run and by it: see :meth:`.Provenance.made`.
    done : bool
        False while the step is undone.
    """

    def __init__(self, layer: Any, slicing: Slicing) -> None:
        self._layer = layer
        self._slicing = slicing
        self._boxes: dict[Key, tuple[Any, Array, Array]] = {}
        self._sure = _Sure(slicing)
        self.made: dict[Key, tuple[Made, Made]] = {}
        self.done = True

    @property
    def layer(self) -> Any:
        """What was written to."""
        return self._layer

    @property
    def nbytes(self) -> int:
        """Memory that the step takes."""
        boxes = sum(before.nbytes + after.nbytes for _, before, after in self._boxes.values())
        return boxes + self._sure.nbytes

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

    def note_made(self, key: Key, before: Made, after: Made) -> None:
        """Note how a slice was made before it was written, and how it is now."""
        self.made[key] = (self.made.get(key, (before, before))[0], after)

    def note_confidence(self, key: Key, confidence: Any) -> None:
        """Note a slice of the confidence layer before it is written."""
        self._sure.note(key, confidence)

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
        self._sure.shrink()
        history = self._layer._undo_history
        item = _Step(self._boxes.values())
        item.nbytes = self.nbytes
        history.append(item)
        self._layer._redo_history.clear()
        steps = [step for step in history if isinstance(step, _Step)]
        while len(steps) > 1 and sum(step.nbytes for step in steps) > _MOST_BYTES:
            oldest = steps.pop(0)
            # An earlier state can only be reached through it, so what is before goes too.
            while history and history.popleft() is not oldest:
                pass
        return item

    def turn(self, *, done: bool) -> None:
        """Bring the confidence to what the labels are: as this run left it, or as before it."""
        self.done = done
        self._sure.turn(done)


class _Step(list[Any]):
    """Item of the history: (box, before, after) of each slice."""

    nbytes = 0


class _Sure:
    """What a run overwrote in the confidence layer; once undone, what the run wrote."""

    def __init__(self, slicing: Slicing) -> None:
        self._slicing = slicing
        self._layer: Any = None
        self._planes: dict[Key, Array | None] = {}  # None: zero everywhere
        self._boxes: list[tuple[Any, Array | None]] = []
        self._done = True
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Memory that the boxes take."""
        return sum(0 if box is None else box.nbytes for _, box in self._boxes)

    def note(self, key: Key, layer: Any) -> None:
        """Note a plane before it is written, for the first time in this run."""
        if self._layer is None:
            self._layer = layer
        if layer is not self._layer or key in self._planes or self._bytes > _MOST_BYTES:
            return
        plane = np.array(self._slicing.plane(layer.data, key))
        self._planes[key] = plane if plane.any() else None
        self._bytes += plane.nbytes if plane.any() else 0
        if self._bytes > _MOST_BYTES:  # the labels alone are undone
            self._planes.clear()

    def shrink(self) -> None:
        """Keep the boxes in which something changed."""
        for key, plane in self._planes.items() if self._is_there() else ():
            changed = self._slicing.plane(self._layer.data, key) != (0 if plane is None else plane)
            if not changed.any():
                continue
            rows, columns = (_span(changed.any(axis=axis)) for axis in (1, 0))
            place = self._slicing.box(key, rows, columns)
            shape = self._layer.data[place].shape
            box = None if plane is None else plane[rows, columns].reshape(shape).copy()
            self._boxes.append((place, box))
        self._planes.clear()

    def turn(self, done: bool) -> None:
        """Change what is kept for what is in the layer."""
        if done == self._done:
            return
        self._done = done
        if not self._boxes or not self._is_there():
            return
        data = self._layer.data
        turned: list[tuple[Any, Array | None]] = []
        for place, box in self._boxes:
            turned.append((place, np.array(data[place])))
            data[place] = 0 if box is None else box
        self._boxes = turned
        self._layer.refresh()

    def _is_there(self) -> bool:
        return self._layer is not None and np.shape(self._layer.data) == self._slicing.shape


def _span(used: Array) -> slice:
    places = np.flatnonzero(used)
    return slice(int(places[0]), int(places[-1]) + 1)
