"""One sparse undo step for a whole run, in napari's own history of a labels layer.

napari's own ``data_setitem`` holds about 28 bytes for each written voxel; a run keeps the box of
what changed on each slice, before and after.
"""

from __future__ import annotations

from itertools import count
from typing import Any, Literal

import numpy as np

from ...types import Array
from .slicing import Key, Slicing

__all__ = ["MAX_BYTES", "Made", "UndoStep"]

Made = Literal["predicted", "copied"] | None
"""How a slice was made: by a prediction, as a copy of a template, or by neither."""

MAX_BYTES = 512 * 2**20
"""Most memory of the steps of one layer; the oldest go first."""


class UndoStep:
    """What one run changed in a labels layer, and in the confidence layer beside it.

    napari undoes the labels; :meth:`turn` follows with the confidence. ``made`` tells how slices
    were made before the run and by it; ``done`` is False while the step is undone; ``number``
    counts the steps as they are begun.
    """

    _numbers = count()

    def __init__(self, layer: Any, slicing: Slicing) -> None:
        self.layer = layer
        self.made: dict[Key, tuple[Made, Made]] = {}
        self.done = True
        self.number = next(self._numbers)
        self._slicing = slicing
        self._boxes: dict[Key, tuple[slice, slice, Array, Array]] = {}  # old and new labels
        self._confidence = _Confidence(slicing)

    @property
    def nbytes(self) -> int:
        """Memory that the step takes."""
        boxes = sum(old.nbytes + new.nbytes for *_, old, new in self._boxes.values())
        return boxes + self._confidence.nbytes

    def note(self, key: Key, before: Array, after: Array) -> None:
        """Note a slice (rows, columns) before and after it was written."""
        before = self.before(key, before)
        self._boxes.pop(key, None)
        changed = before != after
        if changed.any():
            rows, columns = _extent(changed)
            old, new = (plane[rows, columns].copy() for plane in (before, after))
            self._boxes[key] = (rows, columns, old, new)

    def note_made(self, key: Key, before: Made, after: Made) -> None:
        """Note how a slice was made before it was written, and how it is now."""
        self.made[key] = (self.made.get(key, (before, before))[0], after)

    def note_confidence(self, key: Key, confidence: Any) -> None:
        """Note a slice of the confidence layer before it is written."""
        self._confidence.note(key, confidence)

    def before(self, key: Key, plane: Array) -> Array:
        """A slice as it was before this run, from what it is now."""
        if key not in self._boxes:
            return plane
        rows, columns, old, new = self._boxes[key]
        earlier = plane.copy()
        now = earlier[rows, columns]
        earlier[rows, columns] = np.where(now == new, old, now)  # all else was painted since
        return earlier

    def confidence_before(self, key: Key, plane: Array) -> Array:
        """The confidence of a slice as it was before this run, from what it is now."""
        return self._confidence.before(key, plane)

    def push(self) -> list[Any]:
        """Make the run one step of the layer's undo history, and return it (empty: no change).

        Steps of earlier runs go when all together take more than 512 MB.
        """
        if not self._boxes or np.shape(self.layer.data) != self._slicing.shape:
            return []
        item: list[Any] = []
        for key, (rows, columns, old, new) in self._boxes.items():
            place = self._slicing.box(key, rows, columns)
            now = np.asarray(self.layer.data[place])
            # What was painted while it ran: to undo the run is not to undo strokes.
            painted = now.reshape(new.shape) != new
            old[painted] = new[painted] = now.reshape(new.shape)[painted]
            item.append(_Atom((place, old.reshape(now.shape), new.reshape(now.shape))))
        self._confidence.shrink()
        item[0].nbytes = self.nbytes
        history = self.layer._undo_history
        history.append(item)
        self.layer._redo_history.clear()
        steps = [step for step in history if _size(step)]
        while len(steps) > 1 and sum(map(_size, steps)) > MAX_BYTES:
            oldest = steps.pop(0)
            # An earlier state can only be reached through it, so what is before goes too.
            while history and history.popleft() is not oldest:
                pass
        return item

    def turn(self, *, done: bool) -> None:
        """Bring the confidence to what the labels are: as this run left it, or as before it."""
        self.done = done
        self._confidence.turn(done)


class _Atom(tuple[Any, ...]):
    """Box, before and after of a slice; the first one knows the memory of its whole step.

    Undo and redo make new lists of a step, but keep its atoms.
    """

    nbytes = 0


def _size(step: list[Any]) -> int:
    """Memory of a step of the history that a run made; 0 of a stroke."""
    return sum(atom.nbytes for atom in step if isinstance(atom, _Atom))


class _Confidence:
    """What a run overwrote in the confidence layer; once undone, what the run wrote.

    Whole planes while it runs, then the boxes that changed; None stands for zero everywhere.
    """

    def __init__(self, slicing: Slicing) -> None:
        self._slicing = slicing
        self._layer: Any = None
        self._planes: dict[Key, Array | None] = {}
        self._boxes: dict[Key, tuple[slice, slice, Array | None]] = {}
        self._done = True
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Memory that the boxes take."""
        return sum(0 if box is None else box.nbytes for *_, box in self._boxes.values())

    def note(self, key: Key, layer: Any) -> None:
        """Note a plane before it is written, for the first time in this run."""
        if self._layer is None:
            self._layer = layer
        if layer is not self._layer or key in self._planes or self._bytes > MAX_BYTES:
            return
        plane = np.array(self._slicing.plane(layer.data, key))
        self._planes[key] = plane if plane.any() else None
        self._bytes += plane.nbytes if plane.any() else 0
        if self._bytes > MAX_BYTES:  # the labels alone are undone
            self._planes.clear()

    def before(self, key: Key, plane: Array) -> Array:
        """A plane as it was before the run, from what it is now."""
        earlier = plane.copy()
        if key in self._planes:
            earlier[:] = _values(self._planes[key])
        elif key in self._boxes and self._done:
            rows, columns, box = self._boxes[key]
            earlier[rows, columns] = _values(box)
        return earlier

    def shrink(self) -> None:
        """Keep the boxes in which something changed."""
        for key, plane in self._planes.items() if self._is_there() else ():
            changed = self._slicing.plane(self._layer.data, key) != _values(plane)
            if changed.any():
                rows, columns = _extent(changed)
                box = None if plane is None else plane[rows, columns].copy()
                self._boxes[key] = (rows, columns, box)
        self._planes.clear()

    def turn(self, done: bool) -> None:
        """Change what is kept for what is in the layer."""
        if done == self._done:
            return
        self._done = done
        if not self._boxes or not self._is_there():
            return
        for key, (rows, columns, box) in self._boxes.items():
            plane = np.array(self._slicing.plane(self._layer.data, key))
            self._boxes[key] = (rows, columns, plane[rows, columns].copy())
            plane[rows, columns] = _values(box)
            self._layer.data[self._slicing.index(key)] = plane
        self._layer.refresh()

    def _is_there(self) -> bool:
        return self._layer is not None and np.shape(self._layer.data) == self._slicing.shape


def _values(plane: Array | None) -> Array | int:
    return 0 if plane is None else plane


def _extent(changed: Array) -> tuple[slice, slice]:
    """Rows and columns of the smallest box round what is True."""
    places = [np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0)]
    rows, columns = (slice(int(p[0]), int(p[-1]) + 1) for p in places)
    return rows, columns
