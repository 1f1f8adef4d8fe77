"""Who made what in a labels layer: painted, predicted, reviewed, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from ...types import Array
from ..layers import array_of
from .slicing import Key, Slicing
from .undo import Made, UndoStep

__all__ = ["CONFIDENCE", "KEY", "Provenance", "is_result", "provenance_of"]

KEY = "napari-fewshot"
"""Key in the metadata of a layer."""
CONFIDENCE = "confidence"
"""Stands in the metadata of confidence layers."""
_NOT = np.iinfo(np.int32).min
Status = Literal["painted", "reviewed", "predicted", "empty"]


def provenance_of(layer: Any) -> Provenance | None:
    """Provenance of a labels layer that takes part in a session, or None."""
    found = layer.metadata.get(KEY)
    return found if isinstance(found, Provenance) else None


def is_result(layer: Any) -> bool:
    """Whether propagation made a layer."""
    found = layer.metadata.get(KEY)
    return found == CONFIDENCE or (isinstance(found, Provenance) and found.is_result)


class Provenance:
    """What is known of the slices of one labels layer.

    A slice with paint that no prediction was written to is *painted*. On a predicted slice the
    strokes of a person are kept voxel by voxel; the slice as a whole becomes known when it is
    accepted or reviewed. So it is where the prediction lies in another layer and the strokes in
    this one: all that is painted on such a slice are strokes.

    Parameters
    ----------
    layer : napari.layers.Labels
        Its ``metadata["napari-fewshot"]`` becomes this.
    slicing : Slicing
    is_result : bool
        Whether propagation made the layer.

    Attributes
    ----------
    predicted, copied, accepted, reviewed : set of Key
        Slices that propagation wrote; copies of template slices; predictions that a person
        took for right; slices that a person said to be complete.
    copied_from : dict of Key to UUID
        Identity of the template layer that a slice was copied from last, in this session.
    partial : set of Key
        Slices that were empty here, and predicted in another layer, when a person painted on them.
    """

    def __init__(self, layer: Any, slicing: Slicing, *, is_result: bool = False) -> None:
        self.slicing = slicing
        self.is_result = is_result
        self.predicted: set[Key] = set()
        self.copied: set[Key] = set()
        self.copied_from: dict[Key, Any] = {}
        self.accepted: set[Key] = set()
        self.reviewed: set[Key] = set()
        self.partial: set[Key] = set()
        self._layer = layer
        self._strokes: dict[Key, Array] = {}
        self._filled: dict[Key, bool] = {}
        self._history = (0, 0)
        self._last: Any = None  # item of the history
        self._steps: list[tuple[Any, UndoStep]] = []
        before = provenance_of(layer)
        if before is not None:
            before.close()
        layer.metadata[KEY] = self
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._on_shown)
        layer.events.data.connect(self.forget)

    def __deepcopy__(self, memo: Any) -> None:
        """A copy of the layer is a layer of its own: it starts without."""
        return None

    @property
    def data(self) -> Array:
        """Array of the layer; the finest of a multiscale one."""
        array: Array = array_of(self._layer)
        return array

    @property
    def fits(self) -> bool:
        """Whether the layer still has the shape that its slices were counted in."""
        return np.shape(self.data) == self.slicing.shape

    @property
    def in_stroke(self) -> bool:
        """Whether a stroke has not ended."""
        return bool(getattr(self._layer, "_staged_history", ()))

    def close(self) -> None:
        """Let the layer go."""
        self._layer.events.paint.disconnect(self._on_paint)
        self._layer.events.set_data.disconnect(self._on_shown)
        self._layer.events.data.disconnect(self.forget)
        self._layer.metadata.pop(KEY, None)

    # What a slice is

    def is_filled(self, key: Key) -> bool:
        """Whether a slice has any label."""
        self._follow_undo()
        if key not in self._filled:
            staged = getattr(self._layer, "_staged_history", ())  # is paint when it has ended
            self._filled[key] = self.fits and bool(self._before(staged, key).any())
        return self._filled[key]

    def made(self, key: Key) -> Made:
        """How a slice was made: by a prediction, as a copy of a template, or by neither."""
        self._follow_undo()
        if key in self.predicted:
            return "predicted"
        return "copied" if key in self.copied else None

    def is_painted(self, key: Key) -> bool:
        """Whether a slice is paint of a person, in this layer first."""
        return self.made(key) is None and key not in self.partial and self.is_filled(key)

    def is_known(self, key: Key) -> bool:
        """Whether all of a slice is known by this layer: it teaches, and is never written to."""
        return key in self.accepted or key in self.reviewed or self.is_painted(key)

    def status(self, key: Key) -> Status:
        """What a slice is, for people."""
        self._follow_undo()
        if key in self.reviewed:
            return "reviewed"
        if key in self.accepted or key in self.copied or self.is_painted(key):
            return "painted"
        return "predicted" if key in self.predicted else "empty"

    def known(self, lead: Key) -> list[Key]:
        """Known slices at one place of the leading axes."""
        return [key for key in self.slicing.keys(lead) if self.is_known(key)]

    def stroked(self, lead: Key) -> list[Key]:
        """Slices that are not known as a whole, but have strokes of a person."""
        keys = {*self._strokes, *self.partial}
        wanted = [key for key in keys if key[:-1] == lead and not self.is_known(key)]
        return sorted(key for key in wanted if self.strokes(key).any())

    def teaches(self) -> bool:
        """Whether a person painted, accepted or reviewed anything here."""
        return any(self.known(lead) or self.stroked(lead) for lead in self.slicing.leads())

    def strokes(self, key: Key) -> Array:
        """Voxels of a slice known in part that a person painted, bool (rows, columns)."""
        found = self.being_drawn(key)
        painted = self._strokes.get(key)
        if painted is not None:
            # What was undone since has another value again.
            found |= np.asarray(painted == self.slicing.plane(self.data, key))
        if key in self.partial and self.made(key) is None:
            found |= np.asarray(self.slicing.plane(self.data, key)) != 0
        return found

    def being_drawn(self, key: Key) -> Array:
        """Voxels of a stroke that has not ended: napari tells of it when the button is released."""
        found = np.zeros(self.slicing.plane_shape, dtype=bool)
        for atom in getattr(self._layer, "_staged_history", ()):
            for other, voxels, _, values in _changed(atom, self.slicing):
                if other == key:
                    found |= voxels & np.asarray(self.slicing.plane(self.data, key) == values)
        return found

    # What changes it

    def mark_predicted(self, key: Key) -> None:
        """A prediction was written to a slice."""
        self.predicted.add(key)
        self.copied.discard(key)
        self._filled.pop(key, None)

    def mark_copied(self, key: Key) -> None:
        """A template slice was copied to here."""
        self.copied.add(key)
        self.predicted.discard(key)
        self._filled.pop(key, None)

    def note_scribbles(self, atoms: Sequence[Any], is_predicted: Callable[[Key], bool]) -> None:
        """Note slices on which a stroke is the first paint, and lies over a prediction.

        ``atoms`` are those of the stroke; ``is_predicted`` tells whether another layer shows a
        prediction of a slice.
        """
        for key in {key for atom in atoms for key, *_ in _changed(atom, self.slicing)}:
            if not self._before(atoms, key).any():
                (self.partial.add if is_predicted(key) else self.partial.discard)(key)
                self._filled.pop(key, None)

    def keep_strokes(self, key: Key, voxels: Array, values: Array | None = None) -> None:
        """Take voxels, bool (rows, columns), for strokes of a person.

        ``values``, of the shape of the slice, are what was painted; None: what is there now.
        """
        plane = self.slicing.plane(self.data, key) if values is None else values
        kept = self._strokes.setdefault(key, np.full(self.slicing.plane_shape, _NOT, np.int32))
        kept[voxels] = plane[voxels]

    def note_step(self, step: UndoStep) -> None:
        """Make what a run did one step of the undo history, and follow when it is undone."""
        atoms = step.push()
        if atoms:
            self._steps.append((atoms[0], step))
            self._follow_undo()

    def forget(self, event: Any = None) -> None:
        """Look at all slices anew."""
        self._filled.clear()

    def _follow_undo(self, *, painted: bool = False) -> None:
        """Tell what napari does not: of paint it tells, but not of undo and redo.

        ``painted``: right after a stroke, with which napari forgets what was undone.
        """
        layer = self._layer
        undo: Any = getattr(layer, "_undo_history", ())
        redo: Any = getattr(layer, "_redo_history", ())
        now = (len(undo), len(redo))
        if now == self._history and not painted:
            return
        before, self._last = self._last, undo[-1] if undo else None
        self._history = now
        if painted and (undo[-2] if len(undo) > 1 else None) is before:
            return  # only this stroke is new
        self._filled.clear()
        done = {id(atom) for item in undo for atom in item}
        undone = {id(atom) for item in redo for atom in item}
        for first, step in reversed(self._steps):
            if id(first) not in done and (painted or id(first) in undone):
                self._turn(step, done=False)
        for first, step in self._steps:
            if id(first) in done:
                self._turn(step, done=True)
        # What is in neither has been settled for good.
        self._steps = [(first, s) for first, s in self._steps if id(first) in done | undone]

    def _turn(self, step: UndoStep, *, done: bool) -> None:
        """Follow a step that was undone or redone; what a person did since is not touched."""
        if step.done == done:
            return
        step.turn(done=done)
        for key, made in step.made.items():
            self.predicted.discard(key)
            self.copied.discard(key)
            if made[done] is not None:
                (self.predicted if made[done] == "predicted" else self.copied).add(key)

    def _before(self, atoms: Sequence[Any], key: Key) -> Array:
        """Where a slice had a label before the changes of a stroke, bool (rows, columns)."""
        filled: Array = np.asarray(self.slicing.plane(self.data, key)) != 0
        for atom in reversed(atoms):
            for other, voxels, old, _ in _changed(atom, self.slicing):
                if other == key:
                    filled[voxels] = old[voxels] != 0
        return filled

    def _on_shown(self, event: Any = None) -> None:
        """Something was undone, perhaps: napari draws the layer anew, and tells no more of it."""
        self._follow_undo()

    def _on_paint(self, event: Any) -> None:
        self._follow_undo(painted=True)
        for atom in event.value:
            for key, voxels, _, values in _changed(atom, self.slicing):
                self._filled.pop(key, None)
                if key in self.copied:  # now it is paint of this layer
                    self.copied.discard(key)
                elif key in self.predicted:
                    self.keep_strokes(key, voxels, values)

    # Files

    def to_json(self) -> dict[str, Any]:
        """State without strokes, ready for JSON."""
        self._follow_undo()
        names = ("predicted", "copied", "accepted", "reviewed", "partial")
        sets = {name: sorted(list(key) for key in getattr(self, name)) for name in names}
        return {"axis": self.slicing.axis, "is_result": self.is_result, **sets}

    def stroke_planes(self) -> dict[Key, Array]:
        """Painted values of slices with strokes; the least int32 where there is no stroke."""
        return dict(self._strokes)

    def from_json(self, state: dict[str, Any], strokes: dict[Key, Array]) -> None:
        """Become what :meth:`to_json` and :meth:`stroke_planes` gave."""
        for name in ("predicted", "copied", "accepted", "reviewed"):
            setattr(self, name, {tuple(int(k) for k in key) for key in state[name]})
        self.partial = {tuple(int(k) for k in key) for key in state.get("partial", ())}
        self._strokes = dict(strokes)
        self.forget()


def _changed(atom: Any, slicing: Slicing) -> Iterator[tuple[Key, Array, Array, Array]]:
    """Slices that an atom of napari's history changes: voxels, their old and their new values.

    The values are those of the atom: napari tells of some tools before the array is written.
    """
    if hasattr(atom, "slice_key"):
        starts = [part.start or 0 for part in atom.slice_key]
        mask = atom.mask if atom.mask is not None else np.ones(np.shape(atom.old_values), bool)
        places = tuple(p + s for p, s in zip(np.nonzero(mask), starts, strict=True))
        old, painted = atom.old_values, atom.new_value
    else:
        if not all(isinstance(part, np.ndarray) for part in atom[0]):
            return  # one of our own steps
        places = tuple(np.asarray(part).reshape(-1) for part in atom[0])
        old, painted = atom[1], atom[2]
    if not places or not len(places[0]):
        return
    before, after = (
        np.broadcast_to(np.asarray(values).reshape(-1), places[0].shape)
        for values in (old, painted)
    )
    keys, rows, columns = slicing.split(places)
    stacked = np.stack(keys, axis=1)
    for key in np.unique(stacked, axis=0):
        here = (stacked == key).all(axis=1)
        voxels = np.zeros(slicing.plane_shape, dtype=bool)
        voxels[rows[here], columns[here]] = True
        planes = []
        for values in (before, after):
            plane = np.zeros(slicing.plane_shape, dtype=np.int64)
            plane[rows[here], columns[here]] = values[here]
            planes.append(plane)
        yield tuple(int(k) for k in key), voxels, planes[0], planes[1]
