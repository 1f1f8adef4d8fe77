"""Landmarks that were found, and what a person does with them: ``session.landmarks``."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...errors import InputError
from ...types import Array
from ..layers import columns_of, is_missing, shape_of
from .following import FollowController
from .found_points import FoundLandmark, Kind, Missing, Place, is_placed, mm_columns
from .jobs import JobRunner, single_shot
from .landmark_look import fill_sure
from .result_layers import ResultLayers
from .slicing import Key
from .state import State
from .training import TrainingController
from .view import View

__all__ = ["FoundLandmarks"]

_SOON_MS = 250
_NEAR = 1e-3
"""Voxels within which a point lies at one of its places."""


class FoundLandmarks:
    """What was found of an image, as a list; a point that a person moves is known from then on.

    The others of the image are placed anew a moment after the last move. ``changed`` is told of
    every move.
    """

    def __init__(
        self,
        state: State,
        runner: JobRunner,
        view: View,
        training: TrainingController,
        changed: Callable[[], None],
    ) -> None:
        self._state, self._view, self._changed = state, view, changed
        self._others = FollowController(state, runner, training)
        self._followed: weakref.WeakSet[Any] = weakref.WeakSet()
        self._moved: dict[tuple[int, Key], ResultLayers] = {}
        self._timer: Any = None
        state.events.propagated.connect(self._watch)

    def close(self) -> None:
        """Follow no more points."""
        self._state.events.propagated.disconnect(self._watch)
        self._others.close()
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        for layer in list(self._followed):
            with contextlib.suppress(ValueError, KeyError):
                layer.events.data.disconnect(self._on_points)

    # What there is

    @property
    def is_behind(self) -> bool:
        """Whether others are still to follow a point that was moved."""
        return bool(self._moved) or self._others.is_behind

    def of(self, image: Any = None) -> tuple[FoundLandmark, ...]:
        """Landmarks of an image (None: that in view) at the place in view, in the order of labels.

        Those that were not found too; none where nothing was looked for.
        """
        found = self._view.image_or_none(image)
        result = None if found is None else self._state.result_of(found)
        if found is None or result is None:
            return ()
        lead = self._view.lead(found)
        marks = list(_shown(result, lead))
        there = {mark.label for mark in marks}
        least = self._state.settings.config.propagation.landmarks.min_score
        for one in result.found.missing.get(lead, ()):
            if one.label not in there:
                why = _why(one, least)
                marks.append(FoundLandmark(one.name, one.label, None, "missing", why=why))
        return tuple(sorted(marks, key=lambda mark: mark.label))

    # What a person does

    def show(self, label: int, image: Any = None) -> None:
        """Go to a landmark, and select its point; to the best place of one that was not found."""
        result, lead = self._result(image)
        row = _row_of(result, lead, label)
        if row is not None:
            self._view.show_point(result.landmarks, result.landmarks.data[row])
            self._select(result, row)
            return
        one = self._missing(result, lead, label)
        if one.places:
            self._view.show_point(result.image, one.places[0].at)

    def next_place(self, step: int = 1) -> str:
        """Move the selected point to its next candidate (-1: back); where it is, in words.

        InputError if no found point is selected, or it has no other place.
        """
        result, lead, row = self._selected()
        layer = result.landmarks
        label = int(columns_of(layer.features)["label"][row])
        places = result.found.choices.get((lead, label), ())
        if len(places) < 2:
            raise InputError(
                "the selected point",
                "have other places that it may have",
                "none",
                "Drag it to its place; or label the image again, if it was opened from a file.",
            )
        far = [float(np.abs(place.at - layer.data[row]).max()) for place in places]
        here = int(np.argmin(far)) if min(far) < _NEAR else -1 if step > 0 else 0
        number = (here + step) % len(places)
        self._put(result, lead, row, places[number], is_found=number == 0)
        name = columns_of(layer.features)["name"][row]
        if number == 0:
            return f"{name} is where it was found."
        score = places[number].score
        return f"{name}: place {number + 1} of {len(places)} (score {score:.2f})."

    def take_back(self, label: int, image: Any = None) -> None:
        """Let a point that was moved be a found one again, where it was."""
        result, lead = self._result(image)
        row = result.placed(lead).get(label)
        if row is None:
            raise InputError("the landmark", "be one that was moved", label)
        places = result.found.choices.get((lead, label))
        if places:
            self._put(result, lead, row, places[0], is_found=True)
            return
        layer = result.landmarks  # it was not found: there is no place that it came from
        with result.found.writing(layer):
            layer.remove([row])
        self._tell(result, lead)

    def place(self, label: int, image: Any = None) -> None:
        """Put a landmark that was not found at its best place, else in the middle, to be dragged.

        It counts as placed by a person from then on.
        """
        result, lead = self._result(image)
        one = self._missing(result, lead, label)
        shape = shape_of(result.image, result.level)
        middle = np.array([*lead, *((n - 1) / 2 for n in shape[len(lead) :])])
        axis = self._view.slicing_of(result.image).layer_axis
        at = one.places[0].at if one.places else middle
        if not one.places and axis is not None:
            at[axis] = self._view.slice_of(result.image) or 0
        self._add(result, lead, one, at)
        self._view.show_point(result.landmarks, at)
        self._select(result, len(result.landmarks.data) - 1)
        self._tell(result, lead)

    def _add(self, result: ResultLayers, lead: Key, one: Missing, at: Array) -> None:
        import pandas

        volume = self._state.channels.volume(result.image, lead, result.level)
        columns = mm_columns(at[None, len(lead) :], volume)
        features: dict[str, list[Any]] = {"name": [one.name], "label": [one.label]}
        features |= {"score": [np.nan], **columns}
        if not result.has_landmarks:
            result.add_landmarks(at[None], features)
            self._watch()
            return
        layer = result.landmarks
        with result.found.writing(layer):
            table = pandas.concat([layer.features, pandas.DataFrame(features)], ignore_index=True)
            layer.data = np.concatenate([layer.data, at[None]])
            layer.features = table
            fill_sure(layer)

    def _put(
        self, result: ResultLayers, lead: Key, row: int, place: Place, *, is_found: bool
    ) -> None:
        """Move a point to one of its places."""
        layer = result.landmarks
        data, table = np.array(layer.data, float), layer.features.copy()
        data[row] = place.at
        table.loc[row, "score"] = place.score if is_found else np.nan
        with result.found.writing(layer):
            layer.data = data
            layer.features = table
        self._view.show_point(layer, place.at)
        self._tell(result, lead, [row])

    # Layers

    def _result(self, image: Any) -> tuple[ResultLayers, Key]:
        found = self._view.image(image)
        result = self._state.result_of(found)
        if result is None:
            wanted = "have landmarks that were looked for"
            raise InputError(f"image {found.name}", wanted, "none", "Learn and label first.")
        return result, self._view.lead(found)

    def _missing(self, result: ResultLayers, lead: Key, label: int) -> Missing:
        for one in result.found.missing.get(lead, ()):
            if one.label == label:
                return one
        raise InputError("the landmark", "be one of this image", label)

    def _selected(self) -> tuple[ResultLayers, Key, int]:
        """The one point that is selected, of found ones."""
        active = self._view.viewer.layers.selection.active
        for result in self._state.results.values():
            if result.landmarks is active and result.has_landmarks:
                rows = sorted(active.selected_data)
                lead = self._view.lead(result.image)
                labels = columns_of(active.features)["label"]
                if len(rows) == 1 and not is_missing(labels[rows[0]]):
                    return result, lead, rows[0]
        raise InputError(
            "the selection",
            "be one point of landmarks that were found",
            "none" if active is None else active.name,
            "Click one in the list.",
        )

    def _select(self, result: ResultLayers, row: int) -> None:
        layer = result.landmarks
        layer.visible = True
        self._view.viewer.layers.selection.active = layer
        layer.mode = "select"
        layer.selected_data = {row}

    def _watch(self) -> None:
        """Follow the points of all results."""
        for result in self._state.results.values():
            if result.has_landmarks and result.landmarks not in self._followed:
                self._followed.add(result.landmarks)
                result.found.see(result.landmarks)
                result.landmarks.events.data.connect(self._on_points)

    def _on_points(self, event: Any) -> None:
        layer = event.source
        for result in self._state.results.values():
            if result.landmarks is layer and not result.found.is_writing:
                rows = [row for row in result.found.moved(layer) if _label(layer, row)]
                if rows:
                    self._take(result, rows)

    def _take(self, result: ResultLayers, rows: list[int]) -> None:
        """Points that a person has moved are known from now on."""
        layer = result.landmarks
        if not is_placed(layer.features)[rows].all():
            table = layer.features.copy()
            table.loc[rows, "score"] = np.nan
            layer.features = table
        leading = len(shape_of(result.image)) - min(3, len(shape_of(result.image)))
        places = np.round(np.asarray(layer.data, float)[rows, :leading]).astype(int)
        for lead in {tuple(place) for place in places.tolist()}:
            self._tell(result, lead, rows)

    def _tell(self, result: ResultLayers, lead: Key, rows: list[int] | None = None) -> None:
        """A person has moved points: show it, and ask for the others a moment after the last."""
        layer = result.landmarks
        if rows:
            volume = self._state.channels.volume(result.image, lead, result.level)
            columns = mm_columns(np.asarray(layer.data, float)[rows][:, len(lead) :], volume)
            table = layer.features.copy()
            for name, values in columns.items():
                table.loc[rows, name] = values
            layer.features = table
        fill_sure(layer)
        self._state.events.templates.emit()
        self._state.events.slices.emit()
        self._changed()
        self._moved[id(result), lead] = result
        if self._timer is None:
            self._timer = single_shot(_SOON_MS, self._on_timer)
        self._timer.start()

    def _on_timer(self) -> None:
        moved, self._moved = self._moved, {}
        for (_, lead), result in moved.items():
            if result.has_landmarks:
                self._others.follow(result, lead)


def _label(layer: Any, row: int) -> int:
    """Label of a point; 0 without one."""
    labels = columns_of(layer.features).get("label", [])
    return 0 if row >= len(labels) or is_missing(labels[row]) else int(labels[row])


def _row_of(result: ResultLayers, lead: Key, label: int) -> int | None:
    rows = (row for row in result.rows(lead) if _label(result.landmarks, row) == label)
    return next(rows, None)


def _shown(result: ResultLayers, lead: Key) -> Iterator[FoundLandmark]:
    """Points that are there."""
    for row in result.rows(lead):
        columns = columns_of(result.landmarks.features)
        label, name, score = (columns[key][row] for key in ("label", "name", "score"))
        if is_missing(label):
            continue
        places = result.found.choices.get((lead, int(label)), ())
        others = max(len(places) - 1, 0)
        own = None if is_missing(score) else float(score)
        kind: Kind = "placed" if own is None else "found"
        yield FoundLandmark(str(name), int(label), row, kind, own, others=others)


def _why(one: Missing, least: float) -> str:
    """Why a landmark was not found, and how to go on."""
    if one.best > 0:
        return (
            f"its best place has a score of {one.best:.2f}, below the least, {least:.2f}. Look at "
            "it: Place it puts the point there, to be dragged."
        )
    return (
        "it may lie outside of the image, or looks like nothing here. If it is there: Place it, "
        "and drag the point."
    )
