"""The slices of an image: what each is, and how much painting it should help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...predict.suggestion import painting_values, suggest_slice
from .provenance import Provenance, Status
from .slicing import Key
from .state import State

__all__ = ["SliceInfo", "known_slices", "next_slice", "slices_of"]

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
    """

    index: int
    status: Status
    score: float | None
    strokes: bool = False


def slices_of(state: State, image: Any, lead: Key) -> tuple[SliceInfo, ...]:
    """Status and score of all slices of an image at one place of its leading axes."""
    found: dict[int, Status] = dict.fromkeys(range(state.slicing_of(image).count), "empty")
    for index, status in _statuses(state, image, lead):
        if index in found and _RANK[status] > _RANK[found[index]]:
            found[index] = status
    strokes = _strokes(state, image, lead)
    found |= {k: "painted" for k in strokes if found.get(k) == "empty"}
    scores = state.scores_of(image, lead)
    if not any(status == "predicted" for status in found.values()) and _landmarks_only(state):
        found |= {k: "predicted" for k in scores if found.get(k) == "empty"}
    known = [k for k, status in found.items() if status in ("painted", "reviewed")]
    values = painting_values(list(scores.values()), known, state.descriptors) if scores else {}
    return tuple(
        SliceInfo(
            k,
            status,
            values.get(k) if status in ("predicted", "empty") else None,
            strokes=k in strokes,
        )
        for k, status in found.items()
    )


def next_slice(state: State, image: Any, lead: Key) -> int | None:
    """Slice to paint next: by score where there are predictions, else in the widest gap."""
    infos = slices_of(state, image, lead)
    known = known_slices(infos)
    scores = state.scores_of(image, lead)
    if scores:
        return suggest_slice(list(scores.values()), known, state.descriptors)
    left = [info.index for info in infos if info.index not in known]
    if not known:
        return left[len(left) // 2] if left else None
    return max(left, key=lambda k: min(abs(k - other) for other in known), default=None)


def known_slices(infos: Sequence[SliceInfo]) -> list[int]:
    """Slices that a person has painted or reviewed."""
    return [info.index for info in infos if info.status in ("painted", "reviewed")]


def _statuses(state: State, image: Any, lead: Key) -> list[tuple[int, Status]]:
    found: list[tuple[int, Status]] = []
    axis = state.slicing_of(image).axis
    for entry in state.entries_of(image):
        if entry.slicing.axis != axis:
            continue
        for place, own in entry.places():
            if place == lead:
                found += _of_entry(entry.provenance, entry.slices(own), own)
    result = state.result_of(image)
    if result is not None and result.provenance is not None:
        provenance = result.provenance
        found += [(key[-1], provenance.status(key)) for key in provenance.slicing.keys(lead)]
    return found


def _strokes(state: State, image: Any, lead: Key) -> set[int]:
    """Slices of which a part is known, and no layer knows the whole."""
    axis, result = state.slicing_of(image).axis, state.result_of(image)
    parts: list[Key] = []
    known: list[Key] = []
    if result is not None and result.provenance is not None:
        parts, known = result.provenance.stroked(lead), result.provenance.known(lead)
    for entry in state.entries_of(image):
        for own in [own for place, own in entry.places() if place == lead]:
            if entry.provenance is not None and entry.slicing.axis == axis:
                parts = parts + entry.scribbled(own)
                known = known + (entry.slices(own) if entry.kind == "dense" else [])
    return {key[-1] for key in parts} - {key[-1] for key in known}


def _landmarks_only(state: State) -> bool:
    """Whether predictions show in no labels layer."""
    model = state.model
    return model is not None and model.point_labels_ >= set(model.label_values_)


def _of_entry(
    provenance: Provenance | None, keys: Sequence[Key], lead: Key
) -> list[tuple[int, Status]]:
    if provenance is None:
        return [(key[-1], "painted") for key in keys]
    found: list[tuple[int, Status]] = [(k[-1], provenance.status(k)) for k in keys]
    # a layer that is both template and result shows what was predicted too
    return found + [(key[-1], "predicted") for key in provenance.predicted if key[:-1] == lead]
