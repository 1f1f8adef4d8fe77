"""What of a labels layer teaches, and who made it: slices painted, predicted, reviewed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...types import Array
from ..layers import array_of
from .slicing import Key, Slicing
from .undo import Made, UndoStep

__all__ = [
    "CONFIDENCE",
    "KEY",
    "Aid",
    "Provenance",
    "Status",
    "Teaches",
    "is_result",
    "provenance_of",
]

KEY = "napari-fewshot"
"""Key in the metadata of a layer."""
CONFIDENCE = "confidence"
"""Stands in the metadata of confidence layers."""
_NOT = np.iinfo(np.int32).min
_MARKS = ("accepted", "reviewed", "partial")

Status = Literal["painted", "reviewed", "predicted", "empty"]
Teaches = Literal["whole", "part"] | None
"""What is known of a slice: all of it, what a person painted on it, or nothing."""


def provenance_of(layer: Any) -> Provenance | None:
    """Provenance of a labels layer that takes part in a session, or None."""
    found = layer.metadata.get(KEY)
    return found if isinstance(found, Provenance) else None


@dataclass(frozen=True, eq=False)
class Aid:
    """Stands in the metadata of layers to click into: nothing of them is of the image itself."""

    image: Any


def is_result(layer: Any) -> bool:
    """Whether propagation made a layer, or it only helps with another."""
    found = layer.metadata.get(KEY)
    if isinstance(found, Provenance):
        return found.is_result
    return found == CONFIDENCE or isinstance(found, Aid)


class Provenance:
    """What is known of the slices of one labels layer, whose metadata hold it.

    A slice with paint that no prediction was written to is *painted*. On a predicted slice the
    strokes of a person are kept voxel by voxel; the slice as a whole becomes known when it is
    accepted or reviewed. So it is where the prediction lies in another layer and the strokes in
    this one: all that is painted on such a slice are strokes.

    ``is_result``: propagation made the layer. ``accepted``: predictions that a person took for
    right. ``reviewed``: slices that a person said to be complete. ``partial``: slices that were
    empty here, and predicted in another layer, when a person painted on them. ``copied_from``:
    identity of the template layer that a slice was copied from last, in this session.
    ``gone`` is the name of the image that the layer was of, once that image was removed.
    ``on_undo`` is called when something was undone or redone, or a run made a step.
    """

    def __init__(self, layer: Any, slicing: Slicing, *, is_result: bool = False) -> None:
        self.slicing = slicing
        self.is_result = is_result
        self.copied_from: dict[Key, Any] = {}
        self.accepted: set[Key] = set()
        self.reviewed: set[Key] = set()
        self.partial: set[Key] = set()
        self._made: dict[Key, Made] = {}
        self._layer = layer
        self._strokes: dict[Key, Array] = {}
        self._filled: dict[Key, bool] = {}
        self._lengths = (0, 0)  # of the history
        self._last: Any = None  # item of the history
        self._atoms: dict[int, Any] = {}  # of the history, by identity
        self._steps: list[tuple[Any, UndoStep]] = []
        self.gone = ""
        self.on_undo: Callable[[], None] = lambda: None
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

    def plane(self, key: Key) -> Array:
        """The (rows, columns) of a slice, a view where the array is in memory."""
        return np.asarray(self.slicing.plane(self.data, key))

    def close(self) -> None:
        """Let the layer go."""
        self._layer.events.paint.disconnect(self._on_paint)
        self._layer.events.set_data.disconnect(self._on_shown)
        self._layer.events.data.disconnect(self.forget)
        self._layer.metadata.pop(KEY, None)

    # What a slice is

    def made(self, key: Key) -> Made:
        """How a slice was made: by a prediction, as a copy of a template, or by neither."""
        self._follow_undo()
        return self._made.get(key)

    def slices_made(self, how: Made) -> list[Key]:
        """Slices that were made so."""
        return [key for key, made in self._made.items() if made == how]

    def is_painted(self, key: Key) -> bool:
        """Whether a slice is paint of a person, in this layer first."""
        return self.made(key) is None and key not in self.partial and self.is_filled(key)

    def status(self, key: Key) -> Status:
        """What a slice is, for people."""
        if key in self.reviewed:
            return "reviewed"
        if key in self.accepted or self.made(key) == "copied" or self.is_painted(key):
            return "painted"
        return "predicted" if key in self._made else "empty"

    def teaches(self, key: Key, *, scribbles: bool = False) -> Teaches:
        """What is known of a slice by this layer; one known as a whole is never written to.

        ``scribbles``: what is not painted stays unknown on any slice.
        """
        painted = self.is_painted(key)
        if painted and scribbles:
            return "part"
        if painted or key in self.accepted or key in self.reviewed:
            return None if scribbles else "whole"
        stroked = (key in self._strokes or key in self.partial) and self.strokes(key).any()
        return "part" if stroked else None

    def teaching(self, lead: Key, *, scribbles: bool = False) -> dict[Key, Teaches]:
        """Slices that teach at one place of the leading axes, and what."""
        found = {key: self.teaches(key, scribbles=scribbles) for key in self.slicing.keys(lead)}
        return {key: what for key, what in found.items() if what is not None}

    @property
    def is_taught(self) -> bool:
        """Whether a person painted, accepted or reviewed anything here."""
        return any(self.teaching(lead) for lead in self.slicing.leads())

    def strokes(self, key: Key) -> Array:
        """Voxels of a slice known in part that a person painted, bool (rows, columns)."""
        found = self.being_drawn(key)
        painted = self._strokes.get(key)
        if painted is not None:
            # What was undone since has another value again.
            found |= painted == self.plane(key)
        if key in self.partial and self.made(key) is None:
            found |= self.plane(key) != 0
        return found

    def being_drawn(self, key: Key) -> Array:
        """Voxels of a stroke that has not ended: napari tells of it when the button is released."""
        found = np.zeros(self.slicing.plane_shape, dtype=bool)
        for atom in self.staged:
            for other, voxels, _, values in _changed(atom, self.slicing):
                if other == key:
                    found |= voxels & (self.plane(key) == values)
        return found

    @property
    def staged(self) -> Sequence[Any]:
        """Atoms of a stroke that has not ended."""
        staged: Sequence[Any] = getattr(self._layer, "_staged_history", ())
        return staged

    def is_filled(self, key: Key) -> bool:
        """Whether a slice has any label; a stroke is paint when it has ended."""
        if key not in self._filled:
            self._filled[key] = self.fits and bool(self._before(self.staged, key).any())
        return self._filled[key]

    def note_filled(self, painted: tuple[Array, ...] | None) -> None:
        """Take which slices of a volume have labels along each of its axes; None: not known."""
        if painted is not None and not self.staged:
            self._filled = {(k,): bool(any_) for k, any_ in enumerate(painted[self.slicing.axis])}

    # What changes it

    def mark_made(self, key: Key, how: Made) -> None:
        """A prediction, or a copy of a template slice, was written to a slice."""
        if how is None:
            self._made.pop(key, None)
        else:
            self._made[key] = how
        self._filled.pop(key, None)

    def note_scribbles(self, atoms: Sequence[Any], is_predicted: Callable[[Key], bool]) -> None:
        """Note slices on which a stroke is the first paint, and lies over a prediction.

        ``atoms`` are those of the stroke; ``is_predicted`` tells whether another layer shows a
        prediction of a slice.
        """
        for key in {key for atom in atoms for key in _touched(atom, self.slicing)}:
            if not self._before(atoms, key).any():
                (self.partial.add if is_predicted(key) else self.partial.discard)(key)
                self._filled.pop(key, None)

    def keep_strokes(self, key: Key, voxels: Array, values: Array | None = None) -> None:
        """Take voxels, bool (rows, columns), for strokes of a person.

        ``values``, of the shape of the slice, are what was painted; None: what is there now.
        """
        plane = self.plane(key) if values is None else values
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
        undo: Any = getattr(self._layer, "_undo_history", ())
        redo: Any = getattr(self._layer, "_redo_history", ())
        lengths = (len(undo), len(redo))
        if lengths == self._lengths and not painted:
            return
        before, self._last = self._last, undo[-1] if undo else None
        earlier, self._atoms = self._atoms, {id(atom): atom for item in undo for atom in item}
        self._lengths = lengths
        if painted and (undo[-2] if len(undo) > 1 else None) is before:
            return  # only this stroke is new
        every = earlier | self._atoms
        for changed in earlier.keys() ^ self._atoms.keys():
            for key in _touched(every[changed], self.slicing):
                self._filled.pop(key, None)
        undone = {id(atom) for item in redo for atom in item}
        for first, step in reversed(self._steps):
            if id(first) not in self._atoms and (painted or id(first) in undone):
                self._turn(step, done=False)
        for first, step in self._steps:
            if id(first) in self._atoms:
                self._turn(step, done=True)
        # What is in neither has been settled for good.
        there = self._atoms.keys() | undone
        self._steps = [(first, step) for first, step in self._steps if id(first) in there]
        if not painted:
            self.on_undo()

    def _turn(self, step: UndoStep, *, done: bool) -> None:
        """Follow a step that was undone or redone; what a person did since is not touched."""
        if step.done == done:
            return
        step.turn(done=done)
        for key, made in step.made.items():
            self.mark_made(key, made[done])

    def _before(self, atoms: Sequence[Any], key: Key) -> Array:
        """Where a slice had a label before the changes of a stroke, bool (rows, columns)."""
        filled: Array = self.plane(key) != 0
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
                made = self._made.get(key)
                if made == "copied":  # now it is paint of this layer
                    self.mark_made(key, None)
                elif made == "predicted":
                    self.keep_strokes(key, voxels, values)

    # Files

    def to_json(self) -> dict[str, Any]:
        """State without strokes, ready for JSON."""
        self._follow_undo()
        sets = {"predicted": self.slices_made("predicted"), "copied": self.slices_made("copied")}
        sets |= {name: list(getattr(self, name)) for name in _MARKS}
        plain = {name: sorted(list(key) for key in keys) for name, keys in sets.items()}
        return {"axis": self.slicing.axis, "is_result": self.is_result, **plain}

    def stroke_planes(self) -> dict[Key, Array]:
        """Painted values of slices with strokes; the least int32 where there is no stroke."""
        return dict(self._strokes)

    def from_json(self, state: dict[str, Any], strokes: dict[Key, Array]) -> None:
        """Become what :meth:`to_json` and :meth:`stroke_planes` gave; ValueError for others."""
        slicing = self.slicing
        there = {key for lead in slicing.leads() for key in slicing.keys(lead)}

        def keys(name: str) -> set[Key]:
            found = {tuple(int(k) for k in key) for key in state.get(name, ())}
            if not found <= there:
                raise ValueError(f"slices that are {name}, and not there")
            return found

        if not there.issuperset(strokes) or any(
            np.shape(plane) != slicing.plane_shape for plane in strokes.values()
        ):
            raise ValueError("strokes on slices that are not there")
        self._made = dict.fromkeys(keys("predicted"), "predicted")
        self._made |= dict.fromkeys(keys("copied"), "copied")
        for name in _MARKS:
            setattr(self, name, keys(name))
        self._strokes = dict(strokes)
        self.forget()


def _touched(atom: Any, slicing: Slicing) -> list[Key]:
    """Slices that an atom of napari's history, or of a step of ours, reaches into."""
    box = atom.slice_key if hasattr(atom, "slice_key") else atom[0]
    if all(isinstance(part, slice) for part in box):
        return slicing.keys_in(box)
    return [key for key, *_ in _changed(atom, slicing)]


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
