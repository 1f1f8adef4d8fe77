"""Layers that propagation writes: labels, confidence, landmarks."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from ...errors import FewShotError, InputError
from ...predict.sink import smallest_label_dtype
from ...types import Array, Candidate, Landmark, Volume
from ..annotations import landmarks_in
from ..doubt_colours import doubt_colours
from ..layers import columns_of, geometry_of, is_missing, no_features, shape_of
from .found_points import FoundPoints, is_placed, labels_of, points_of
from .landmark_look import fill_sure, point_size
from .slicing import Key, Slicing
from .teaching import CONFIDENCE, KEY, Provenance, provenance_of
from .templates import TemplateEntry
from .undo import MAX_BYTES, Made, UndoStep

__all__ = ["POLICIES", "Policy", "ResultLayers"]

Policy = Literal["new", "fill", "overwrite"]
POLICIES: tuple[Policy, ...] = get_args(Policy)


class ResultLayers:
    """Labels, confidence and landmarks of one image, at a level where it has several.

    ``refined`` holds the steps of refinements that nobody has kept or discarded, by slice, the
    oldest first; a slice that another run has written to since has nothing to bring back. Steps
    beyond 512 MB go, the oldest first: what they changed is kept.
    """

    def __init__(self, viewer: Any, image: Any, level: int = 0) -> None:
        self._viewer = weakref.ref(viewer)  # a session does not keep its viewer alive
        self.image = image
        self.level = level
        self.labels: Any = None
        self.confidence: Any = None
        self.landmarks: Any = None
        self.found = FoundPoints()
        self.refined: dict[Key, list[UndoStep]] = {}

    @property
    def viewer(self) -> Any:
        """The viewer; FewShotError if it was closed."""
        viewer = self._viewer()
        if viewer is None:
            raise FewShotError("The viewer of these results was closed.")
        return viewer

    def _is_there(self, layer: Any) -> bool:
        viewer = self._viewer()
        return layer is not None and viewer is not None and layer in viewer.layers

    @property
    def has_labels(self) -> bool:
        """Whether the labels layer is in the viewer."""
        return self._is_there(self.labels)

    @property
    def has_confidence(self) -> bool:
        """Whether the confidence layer is in the viewer."""
        return self._is_there(self.confidence)

    @property
    def has_landmarks(self) -> bool:
        """Whether the layer of landmarks is in the viewer."""
        return self._is_there(self.landmarks)

    @property
    def provenance(self) -> Provenance | None:
        """What is known of the slices of the labels."""
        return None if self.labels is None else provenance_of(self.labels)

    @property
    def _own(self) -> Provenance:
        found = self.provenance
        if found is None:
            raise FewShotError(f"The labels of {self.image.name} are gone.")
        return found

    def take(
        self, labels: Any, axis: int, values: Sequence[int], entries: Sequence[TemplateEntry] = ()
    ) -> Provenance:
        """Write to an existing labels layer from now on; ``entries`` are templates of the image.

        InputError if it has another shape than the image, or cannot hold the label values.
        """
        shape = shape_of(self.image, self.level)
        self._check_can_take(labels, shape, values)
        mine = labels is self.labels or any(entry.labels is labels for entry in entries)
        if labels is not self.labels:
            self.refined.clear()
        self.labels = labels
        known = provenance_of(labels)
        if known is not None and known.slicing.axis == axis and (mine or known.is_taught):
            return known
        found = Provenance(labels, Slicing(shape, axis), is_result=bool(known and known.is_result))
        if known is not None and (known.slices_made("predicted") or known.slices_made("copied")):
            # predicted along another axis before, or for another image
            for key in (key for lead in found.slicing.leads() for key in found.slicing.keys(lead)):
                found.mark_made(key, "predicted")
        return found

    def _check_can_take(self, labels: Any, shape: tuple[int, ...], values: Sequence[int]) -> None:
        name, other = f"into ({labels.name})", "Choose a new layer."
        if shape_of(labels) != shape:
            wanted = f"have the shape of the image, {shape}"
            raise InputError(name, wanted, f"shape {shape_of(labels)}", other)
        if not _is_writable(labels):
            found = "several levels" if labels.multiscale else type(labels.data)
            raise InputError(name, "be an array that can be written to", found, other)
        if max(values, default=0) > np.iinfo(labels.data.dtype).max:
            raise InputError(
                name,
                f"hold labels up to {max(values)}",
                f"dtype {labels.data.dtype}",
                "Choose a new layer, or convert this one (right click, Convert data type).",
            )

    def make_labels(self, axis: int, values: Sequence[int], like: Any = None) -> Provenance:
        """Add a new labels layer on top of the image; colours and names are those of ``like``."""
        shape = shape_of(self.image, self.level)
        dtype = smallest_label_dtype(values)
        options = geometry_of(self.image, self.level)
        if like is not None:
            dtype = np.promote_types(dtype, like.data.dtype)
            options |= {"features": like.features, "colormap": like.colormap}
        name = f"{self.image.name} predicted"
        layer = self.viewer.add_labels(np.zeros(shape, dtype), name=name, **options)
        if like is not None:
            layer.selected_label = like.selected_label
        self.labels = layer
        return Provenance(layer, Slicing(shape, axis), is_result=True)

    def make_confidence(self) -> None:
        """Add the confidence layer, or go on with the one that is there."""
        shape = shape_of(self.image, self.level)
        if self.has_confidence and self.confidence.data.shape == shape:
            return
        options = geometry_of(self.image, self.level)
        options["metadata"] = {**options.get("metadata", {}), KEY: CONFIDENCE}
        layers = self.viewer.layers
        active = layers.selection.active
        self.confidence = self.viewer.add_image(
            np.zeros(shape, np.float32),
            name=f"{self.image.name} confidence",
            colormap=doubt_colours(),
            contrast_limits=(0, 1),
            opacity=0.7,
            visible=False,
            **options,
        )
        layers.move(layers.index(self.confidence), layers.index(self.labels))
        layers.selection.active = active

    def write(
        self,
        key: Key,
        labels: Array,
        confidence: Array,
        policy: Policy,
        step: UndoStep,
        entries: Sequence[TemplateEntry] = (),
    ) -> bool:
        """Write a slice, but never to what a person painted; False if nothing was written.

        What a person painted on a part of the slice in template layers (``entries``) goes with it.
        """
        provenance = self.provenance
        if provenance is None:
            return False
        if not provenance.fits:
            wanted = f"keep its shape {provenance.slicing.shape}"
            raise InputError(f"layer {self.labels.name}", wanted, shape_of(self.labels))
        if provenance.made(key) == "copied" or provenance.teaches(key) == "whole":
            return False
        before = provenance.plane(key).copy()
        kept = strokes = provenance.strokes(key)
        if policy == "fill":
            kept = strokes | (step.before(key, before) != 0)
        scribbles = self._scribbles_beside(key, entries)
        labels = np.where(kept, before, labels)
        after = np.where((scribbles != 0) & ~strokes, np.maximum(scribbles, 0), labels)
        self.write_labels(key, before, after, step)
        self.write_confidence(key, confidence, step)
        self.note_made(key, "predicted", step)
        return True

    def write_labels(self, key: Key, before: Array, after: Array, step: UndoStep) -> None:
        """Write labels of a slice, and note what was there."""
        after = after.astype(before.dtype)
        self.labels.data[self._own.slicing.index(key)] = after
        step.note(key, before, after)

    def write_confidence(self, key: Key, values: Array | float, step: UndoStep) -> None:
        """Write the confidence of a slice, where there is a layer for it."""
        if self.has_confidence:
            step.note_confidence(key, self.confidence)
            self.confidence.data[self._own.slicing.index(key)] = values

    def copy_template(self, key: Key, plane: Array, step: UndoStep, source: Any) -> None:
        """Copy a slice of a template layer (``source``), unless this layer knows better."""
        provenance = self._own
        if provenance.teaches(key) == "whole" or provenance.being_drawn(key).any():
            return
        made, before = provenance.made(key), provenance.plane(key).copy()
        after = np.where(provenance.strokes(key), before, plane)
        provenance.copied_from[key] = source.unique_id
        if made == "copied" and (before == after).all():
            return
        self.write_labels(key, before, after, step)
        self.write_confidence(key, 1, step)
        self.refined.pop(key, None)
        self.note_made(key, "copied", step)

    def keep_scribbles(self, key: Key, step: UndoStep) -> None:
        """Take paint on a part of a slice of this layer for strokes; the rest is predicted."""
        provenance = self._own
        if provenance.made(key) is None:
            self.note_made(key, "predicted", step)
            provenance.keep_strokes(key, provenance.plane(key) != 0)

    def take_scribbles(self, key: Key, entries: Sequence[TemplateEntry]) -> None:
        """Take over what was painted on a part of a slice in template layers, as one undo step."""
        provenance = self.provenance
        if provenance is None or provenance.teaches(key) == "whole":
            return
        scribbles = self._scribbles_beside(key, entries)
        voxels = (scribbles != 0) & ~provenance.strokes(key)
        if voxels.any():
            step, before = UndoStep(self.labels, provenance.slicing), provenance.plane(key).copy()
            self.write_labels(key, before, np.where(voxels, np.maximum(scribbles, 0), before), step)
            provenance.note_step(step)
            self.refresh()

    def note_made(self, key: Key, how: Made, step: UndoStep) -> None:
        """Mark how a slice is made from now on, as a part of a step."""
        provenance = self._own
        step.note_made(key, provenance.made(key), how)
        provenance.mark_made(key, how)

    def _scribbles_beside(self, key: Key, entries: Sequence[TemplateEntry]) -> Array:
        """What template layers know of a part of a slice: 0 nothing, -1 background."""
        slicing = self._own.slicing
        found = np.zeros(slicing.plane_shape, np.int32)
        for entry in entries:
            own = entry.key_of(key)
            beside = entry.labels is not self.labels and entry.level == self.level
            if own is not None and beside and entry.slicing.axis == slicing.axis:
                part = entry.scribbles(own)
                found = found if part is None else np.where(part != 0, part, found)
        return found

    def forget_oldest_refined(self) -> None:
        """Keep as many steps of refinements as there is memory for, but the last."""
        steps = {id(step): step for own in self.refined.values() for step in own}
        left = sorted(steps.values(), key=lambda step: step.number)
        while len(left) > 1 and sum(step.nbytes for step in left) > MAX_BYTES:
            oldest = left.pop(0)
            kept = {k: [one for one in own if one is not oldest] for k, own in self.refined.items()}
            self.refined = {key: own for key, own in kept.items() if own}

    def refresh(self) -> None:
        """Show what was written."""
        if self.has_labels:
            self.labels.refresh()
        if self.has_confidence:
            self.confidence.refresh()

    def show_landmarks(
        self,
        landmarks: Sequence[Landmark],
        volume: Volume,
        lead: Key,
        not_found: Mapping[int, tuple[Candidate, ...]] | None = None,
        names: Mapping[int, str] | None = None,
    ) -> None:
        """Show landmarks in the points layer of this image, in place of those found before.

        Points that a person placed or moved stay where they are; what was found of them is left
        out. ``not_found`` are candidates of those that were not found, ``names`` theirs.
        """
        if self.has_landmarks:
            landmarks = self._beside_placed(landmarks, lead)
        points, features = points_of(landmarks, volume, lead)
        if self.has_landmarks:
            with self.found.writing(self.landmarks):
                self._replace_landmarks(points, features, lead)
        elif len(points):
            self.add_landmarks(points, features)
        placed = self.placed(lead)
        rest = {v: c for v, c in (not_found or {}).items() if v not in placed}
        self.found.note(landmarks, rest, names or {}, lead, volume.ndim)

    def placed(self, lead: Key) -> dict[int, int]:
        """Rows of points that a person placed or moved at a place of the leading axes, by label."""
        if not self.has_landmarks:
            return {}
        features = self.landmarks.features
        labels, placed = columns_of(features).get("label", []), is_placed(features)
        rows = [row for row in self.rows(lead) if placed[row] and not is_missing(labels[row])]
        return {int(labels[row]): row for row in rows}

    def placed_points(self, lead: Key) -> list[Landmark]:
        """Those points themselves, in voxels of the image."""
        if not self.has_landmarks:
            return []
        marks = landmarks_in(self.landmarks, self.image, lead, self.level)
        return [mark for mark in marks if mark.score is None and mark.label]

    def rows(self, lead: Key) -> list[int]:
        """Rows of all points at a place of the leading axes."""
        return np.flatnonzero(self._at(lead)).tolist() if self.has_landmarks else []

    def _at(self, lead: Key) -> Array:
        """Which points are at a place of the leading axes."""
        places = np.round(np.asarray(self.landmarks.data, float)[:, : len(lead)])
        here: Array = (places == np.array(lead)).all(axis=1)
        return here

    def _beside_placed(self, landmarks: Sequence[Landmark], lead: Key) -> list[Landmark]:
        """Those that were found but one for each that a person placed: the nearest of its label."""
        rest = list(landmarks)
        for label, row in self.placed(lead).items():
            at = np.asarray(self.landmarks.data[row], float)[len(lead) :]
            mine = [one for one in rest if one.label == label]
            far = [float(np.linalg.norm(np.array(m.position[-len(at) :]) - at)) for m in mine]
            if mine:
                rest.remove(mine[int(np.argmin(far))])
        return rest

    def add_landmarks(self, points: Array, features: Mapping[str, list[Any]]) -> None:
        """Add the points layer, or replace all points of the one that is there."""
        if self.has_landmarks:
            with self.found.writing(self.landmarks):
                self.landmarks.data, self.landmarks.features = points, features
                fill_sure(self.landmarks)
            return
        active, ndim = self.viewer.layers.selection.active, len(shape_of(self.image))
        self.landmarks = self.viewer.add_points(
            points,
            name=f"{self.image.name} landmarks found",
            features=features,
            feature_defaults=no_features(features),
            text={
                "string": "{name}",
                "size": 9,
                "color": "yellow",
                "translation": (*(0.0,) * (ndim - 2), 4.0, 0.0),
            },
            size=point_size(shape_of(self.image)),
            face_color="transparent",
            border_color="yellow",
            ndim=ndim,
            **geometry_of(self.image, self.level),
        )
        self.found.see(self.landmarks)
        fill_sure(self.landmarks)
        if active is not None:
            self.viewer.layers.selection.active = active

    def take_landmarks(self, before: ResultLayers) -> None:
        """Go on with the confidence and the landmarks of a result whose labels are gone."""
        self.confidence, self.landmarks = before.confidence, before.landmarks
        self.found = before.found

    def _replace_landmarks(
        self, points: Array, features: Mapping[str, list[Any]], lead: Key
    ) -> None:
        """Put points in place of those found before at the same place of the leading axes."""
        import pandas

        layer, table = self.landmarks, pandas.DataFrame(features)
        stays = ~self._at(lead) | is_placed(layer.features)
        chosen = labels_of(layer, layer.selected_data)
        if stays.any():
            table = pandas.concat([layer.features[stays], table], ignore_index=True)
            points = np.concatenate([layer.data[stays], points])
        layer.data = points
        layer.features = table
        fill_sure(layer)
        layer.selected_data = {
            row for row, label in enumerate(columns_of(table)["label"]) if label in chosen
        }
        if len(points):
            layer.feature_defaults = no_features(features)


def _is_writable(labels: Any) -> bool:
    """Whether the array of a layer takes values at once: dask only notes them for later."""
    data = labels.data
    writable = getattr(getattr(data, "flags", None), "writeable", True)
    later = hasattr(data, "__dask_graph__") or not hasattr(data, "__setitem__")
    return writable and not (labels.multiscale or later or getattr(data, "read_only", False))
