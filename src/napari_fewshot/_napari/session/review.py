"""What each slice of an image is, what a person says of it, and strokes."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ...predict.suggestion import painting_values, suggest_slice
from .autosave.storage import SessionStorage
from .jobs import single_shot
from .propagation import PropagationController
from .slicing import Key
from .state import State
from .teaching import Provenance, Status, Teaches, provenance_of
from .templates import TemplateEntry
from .view import View

__all__ = ["ReviewController", "SliceInfo"]

_AFTER_STROKE_MS = 150
_Teaching = dict[Key, Teaches]
_RANK: dict[Status, int] = {"empty": 0, "predicted": 1, "painted": 2, "reviewed": 3}


@dataclass(frozen=True)
class SliceInfo:
    """One slice of an image.

    Parameters
    ----------
    index : int
        Along the working axis.
    status : {"painted", "reviewed", "predicted", "empty"}
    score : float or None
        How much painting it should help, 1 is most; None where it is not predicted or needs
        no more paint.
    strokes : bool
        Whether a person painted a part of it: these strokes teach, the rest is predicted.
    accepted : bool
        Whether a person took its prediction for right.
    """

    index: int
    status: Status
    score: float | None
    strokes: bool = False
    accepted: bool = False


class ReviewController:
    """Tells of slices, marks them, and watches strokes.

    ``live``: a short while after a stroke, or a mark, the slice in view is predicted again.
    """

    def __init__(
        self, state: State, view: View, propagation: PropagationController, storage: SessionStorage
    ) -> None:
        self._state, self._view = state, view
        self._propagation, self._storage = propagation, storage
        self.live = False
        self._timer: Any = None
        self._closed = False
        self._painted: Any = None
        self._drawn: tuple[weakref.ReferenceType[Any], int] | None = None  # with the active layer
        state.events.slices.connect(self._watch)

    # What slices are

    def slices(self, image: Any) -> tuple[SliceInfo, ...]:
        """Status and score of all slices of an image at the place in view of its leading axes."""
        state, slicing, lead = self._state, self._view.slicing_of(image), self._view.lead(image)
        status: dict[int, Status] = dict.fromkeys(range(slicing.count), "empty")
        parts: set[int] = set()
        whole: set[int] = set()
        accepted: set[int] = set()
        for provenance, keys, teaching in self._by_layer(image):
            for key in keys:
                found: Status = "painted" if provenance is None else provenance.status(key)
                if _RANK[found] > _RANK[status.get(key[-1], "reviewed")]:
                    status[key[-1]] = found
            if provenance is not None:
                parts |= {key[-1] for key, what in teaching.items() if what == "part"}
                whole |= {key[-1] for key, what in teaching.items() if what == "whole"}
                accepted |= {key[-1] for key in keys if key in provenance.accepted}
        strokes = parts - whole
        status |= {k: "painted" for k in strokes if status.get(k) == "empty"}
        scores = state.scores_of(image, lead, slicing.axis)
        if "predicted" not in status.values() and self._landmarks_only():
            status |= {k: "predicted" for k in scores if status.get(k) == "empty"}
        known = _known(status)
        values = painting_values(list(scores.values()), known) if scores else {}
        return tuple(
            SliceInfo(
                k,
                found,
                values.get(k) if found == "predicted" else None,
                strokes=k in strokes,
                accepted=k in accepted,
            )
            for k, found in status.items()
        )

    def next_slice(self, image: Any) -> int | None:
        """Slice to paint next: by score where there are predictions, else in the widest gap."""
        status = {info.index: info.status for info in self.slices(image)}
        known = _known(status)
        axis = self._view.slicing_of(image).axis
        scores = self._state.scores_of(image, self._view.lead(image), axis)
        if scores:
            return suggest_slice(list(scores.values()), known)
        left = [k for k in status if k not in known]
        if not known:
            return left[len(left) // 2] if left else None
        return max(left, key=lambda k: min(abs(k - other) for other in known), default=None)

    # What a person says of them

    def mark_reviewed(self, image: Any, index: int | None) -> None:
        """All that is on a slice is painted, even if that is nothing: it teaches from now on."""
        layer, key = self._place(image, index)
        self._take_scribbles(image, layer, self._key(image, index))
        marked = provenance_of(layer)
        if marked is not None:
            marked.reviewed.add(key)
        self._tell()
        self._stroked(image)

    def unmark_reviewed(self, image: Any, index: int | None) -> None:
        """Take :meth:`mark_reviewed` back."""
        key = self._key(image, index)
        for _, found in self._layers(image):
            found.reviewed.discard(found.slicing.own(key))
        result = self._state.result_of(image)
        made = None if result is None else result.provenance
        if made is not None and made.made(key) == "copied" and not self._is_known(image, key):
            made.mark_made(key, "predicted")  # what was copied is no template any more
        self._tell()
        self._storage.soon()

    def review_layer(self, image: Any, index: int | None) -> Any:
        """Labels layer whose slice :meth:`mark_reviewed` takes for complete."""
        return self._place(image, index)[0]

    def accept(self, image: Any, index: int | None) -> None:
        """Take the prediction on a slice, as corrected, for a template."""
        key = self._key(image, index)
        result = self._state.result_of(image)
        provenance = None if result is None else result.provenance
        if result is None or provenance is None or provenance.made(key) != "predicted":
            raise InputError("slice", "have a prediction to accept", key[-1])
        self._take_scribbles(image, result.labels, key)
        provenance.accepted.add(key)
        self._tell()
        self._stroked(image)

    def unaccept(self, image: Any, index: int | None) -> None:
        """Take :meth:`accept` back: the slice is predicted again, strokes on it stay."""
        key = self._key(image, index)
        for _, found in self._layers(image):
            found.accepted.discard(found.slicing.own(key))
        self._tell()
        self._stroked(image)

    def close(self) -> None:
        """Follow no more strokes."""
        self._closed = True
        if self._timer is not None:
            self._timer.stop()

    def _by_layer(self, image: Any) -> list[tuple[Provenance | None, list[Key], _Teaching]]:
        """Layers of an image: provenance (None: points), slices with a status, what they teach."""
        lead, axis = self._view.lead(image), self._view.slicing_of(image).axis
        found: list[tuple[Provenance | None, list[Key], _Teaching]] = []
        for entry in self._state.entries_of(image):
            teaching = entry.teaching(lead) if entry.slicing.axis == axis else {}
            if teaching:
                # a layer that is both template and result shows what was predicted too
                own, provenance = next(iter(teaching))[:-1], entry.provenance
                made = [] if provenance is None else provenance.slices_made("predicted")
                keys = [*teaching, *(key for key in made if key[:-1] == own)]
                found.append((provenance, keys, teaching))
        result = self._state.result_of(image)
        made_by = None if result is None else result.provenance
        if made_by is not None:
            found.append((made_by, made_by.slicing.keys(lead), made_by.teaching(lead)))
        return found

    def _landmarks_only(self) -> bool:
        """Whether predictions show in no labels layer."""
        model = self._state.model
        return model is not None and model.point_labels_ >= set(model.label_values_)

    def _layers(self, image: Any) -> list[tuple[Any, Provenance]]:
        """Labels layers of an image, the result last."""
        layers = [entry.labels for entry in self._state.entries_of(image) if entry.kind != "points"]
        result = self._state.result_of(image)
        if result is not None and result.labels is not None:
            layers.append(result.labels)
        return [(layer, p) for layer in layers if (p := provenance_of(layer)) is not None]

    def _place(self, image: Any, index: int | None) -> tuple[Any, Key]:
        """Layer that a mark belongs to, and its slice.

        The active layer, unless it is empty there and the slice is predicted; else a template with
        strokes over a prediction of the slice, else the result, else the template.
        """
        key, axis = self._key(image, index), self._view.slicing_of(image).axis
        active = self._view.viewer.layers.selection.active
        drawn = self._drawn[0]() if self._drawn and self._drawn[1] == id(active) else None
        result = self._state.result_of(image)
        made = None if result is None else result.provenance
        predicted = made is not None and made.made(key) == "predicted"

        def rank(place: tuple[Any, Provenance]) -> tuple[bool, bool, bool]:
            layer, found = place
            own = found.slicing.own(key)
            part = own in found.partial and bool(found.strokes(own).any())
            chosen = layer is active and (part or not predicted or found.status(own) != "empty")
            return part and layer is drawn, chosen, part

        ours = [one for one in reversed(self._layers(image)) if one[1].slicing.axis == axis]
        if not ours:
            raise InputError(
                "image", "have a template or a prediction", image.name, "Add a template first."
            )
        layer, found = max(ours, key=rank)  # the first of equals
        return layer, found.slicing.own(key)

    def _key(self, image: Any, index: int | None) -> Key:
        count = self._view.slicing_of(image).count
        if index is None:
            index = self._view.slice_of(image)
        if index is None or not 0 <= index < count:
            given = "a place beyond the image" if index is None else index
            raise InputError("slice", f"be within 0..{count - 1}", given)
        return (*self._view.lead(image), index)

    def _take_scribbles(self, image: Any, layer: Any, key: Key) -> None:
        """What is said of a result holds for the strokes beside it, too."""
        result = self._state.result_of(image)
        if result is not None and result.labels is layer:
            result.take_scribbles(key, self._state.entries_of(image))

    def _is_known(self, image: Any, key: Key) -> bool:
        """Whether a template knows all of a slice."""
        axis = self._view.slicing_of(image).axis
        for entry in self._state.entries_of(image):
            found, own = entry.provenance, entry.key_of(key)
            dense = entry.kind == "dense" and entry.slicing.axis == axis
            if dense and found is not None and own and found.teaches(own) == "whole":
                return True
        return False

    def _is_predicted(self, entry: TemplateEntry, key: Key) -> bool:
        """Whether a slice of a template is predicted in the result beside it."""
        result = self._state.result_of(entry.image)
        made = None if result is None else result.provenance
        if result is None or made is None or made is entry.provenance:
            return False
        if (entry.slicing.axis, entry.level) != (made.slicing.axis, result.level):
            return False
        return made.made(key if entry.slicing.leading else (*entry.lead, *key)) == "predicted"

    # Strokes

    def _watch(self) -> None:
        """Follow the strokes in all labels layers of the session."""
        layers = [entry.labels for entry in self._state.entries if entry.kind != "points"]
        layers += [r.labels for r in self._state.results.values() if r.labels is not None]
        for layer in layers:
            layer.events.paint.connect(self._on_paint)  # once, however often
            found = provenance_of(layer)
            if found is not None:
                found.on_undo = self._on_undo

    def _tell(self) -> None:
        self._state.events.slices.emit()
        self._state.events.templates.emit()

    def _on_undo(self) -> None:
        """Something was undone or redone: slices are something else, and it is to be saved."""
        if not self._closed:
            self._tell()
            self._storage.soon()

    def _on_paint(self, event: Any) -> None:
        if self._closed:
            return
        self._painted = layer = event.source
        self._drawn = weakref.ref(layer), id(self._view.viewer.layers.selection.active)
        entries = [e for e in self._state.entries if e.labels is layer and e.kind == "dense"]
        provenance = provenance_of(layer)
        if provenance is not None and entries:
            provenance.note_scribbles(
                event.value, lambda key: any(self._is_predicted(e, key) for e in entries)
            )
        if self._timer is None:
            self._timer = single_shot(_AFTER_STROKE_MS, self._after_stroke)
        self._timer.start()

    def _after_stroke(self) -> None:
        self._tell()
        images = self._state.images_of(self._painted)
        self._painted = None
        if images:
            self._stroked(images[0])

    def _stroked(self, image: Any) -> None:
        state = self._state
        self._storage.soon()
        if self.live and state.model is not None and state.result_of(image) is not None:
            self._propagation.update(image, current_slice_only=True)


def _known(status: dict[int, Status]) -> list[int]:
    """Slices that a person has painted or reviewed."""
    return [k for k, found in status.items() if found in ("painted", "reviewed")]
