"""Layers that propagation writes: labels, confidence, landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ...errors import InputError
from ...predict.sink import smallest_label_dtype
from ...types import Array, Landmark, Volume
from ..layers import no_features, shape_of
from .pending import Pending
from .provenance import CONFIDENCE, KEY, Provenance, provenance_of
from .slicing import Key, Slicing
from .templates import TemplateEntry
from .undo import UndoStep

__all__ = ["POLICIES", "Policy", "ResultLayers", "geometry_of", "show_landmarks"]

Policy = Literal["new", "fill", "overwrite"]
POLICIES = ("new", "fill", "overwrite")
_PLACES = ("affine", "spacing", "shape", "source", "header")


def geometry_of(image: Any, level: int = 0, ndim: int | None = None) -> dict[str, Any]:
    """Keyword arguments that put a layer exactly on an image (or on one of its levels).

    napari drops the units of all layers once they are mixed, so every layer gets all of these.
    ``ndim`` keeps the last axes only, for layers without the leading ones.
    """
    from napari.utils.transforms import Affine

    ratio = np.array([a / b for a, b in zip(shape_of(image), shape_of(image, level), strict=True)])
    scale = np.asarray(image.scale, float)
    placed = Affine(scale=scale, translate=image.translate, rotate=image.rotate, shear=image.shear)
    found: dict[str, Any] = {
        "scale": scale * ratio,
        # The first voxel of a coarse level lies in the middle of those that it stands for.
        "translate": np.asarray(placed((ratio - 1) / 2)),
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": image.affine,
        "units": image.units,
        "axis_labels": image.axis_labels,
    }
    if ndim is not None and ndim < len(scale):
        last = ("scale", "translate", "units", "axis_labels")
        shear = np.asarray(image.shear)  # a matrix, or what stands above its diagonal
        pairs = ndim * (ndim - 1) // 2
        found = {
            **{key: tuple(found[key])[-ndim:] for key in last},
            "rotate": np.asarray(image.rotate)[-ndim:, -ndim:],
            "shear": shear[-ndim:, -ndim:] if shear.ndim == 2 else shear[-pairs:],
            "affine": image.affine.affine_matrix[-ndim - 1 :, -ndim - 1 :],
        }
    if level == 0:
        kept = {key: image.metadata[key] for key in _PLACES if key in image.metadata}
        found["metadata"] = kept
    return found


class ResultLayers:
    """Labels and confidence of one image.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
    level : int
        Level of a multiscale image that is worked on.
    """

    def __init__(self, viewer: Any, image: Any, level: int = 0) -> None:
        self.viewer = viewer
        self.image = image
        self.level = level
        self.labels: Any = None
        self.confidence: Any = None
        self.landmarks: Any = None
        self.pending = Pending()

    @property
    def has_confidence(self) -> bool:
        """Whether the confidence layer is in the viewer."""
        return self.confidence is not None and self.confidence in self.viewer.layers

    @property
    def provenance(self) -> Provenance | None:
        """What is known of the slices of the labels."""
        return None if self.labels is None else provenance_of(self.labels)

    def take(
        self, labels: Any, axis: int, values: Sequence[int], entries: Sequence[TemplateEntry] = ()
    ) -> Provenance:
        """Write to an existing labels layer from now on; ``entries`` are templates of the image.

        Raises
        ------
        InputError
            If it has another shape than the image, or cannot hold the label values.
        """
        shape = shape_of(self.image, self.level)
        if shape_of(labels) != shape:
            raise InputError(
                f"into ({labels.name})",
                f"have the shape of the image, {shape}",
                f"shape {shape_of(labels)}",
                "Choose a new layer.",
            )
        if not _is_writable(labels):
            raise InputError(
                f"into ({labels.name})",
                "be an array that can be written to",
                "several levels" if labels.multiscale else type(labels.data),
                "Choose a new layer.",
            )
        if max(values, default=0) > np.iinfo(labels.data.dtype).max:
            raise InputError(
                f"into ({labels.name})",
                f"hold labels up to {max(values)}",
                f"dtype {labels.data.dtype}",
                "Choose a new layer, or convert this one (right click, Convert data type).",
            )
        mine = labels is self.labels or any(entry.labels is labels for entry in entries)
        if labels is not self.labels:
            self.pending.clear()
        self.labels = labels
        known = provenance_of(labels)
        if known is not None and known.slicing.axis == axis and (mine or known.teaches()):
            return known
        found = Provenance(labels, Slicing(shape, axis), is_result=bool(known and known.is_result))
        if known is not None and (known.predicted or known.copied):
            # predicted along another axis before, or for another image
            leads = found.slicing.leads()
            found.predicted = {key for lead in leads for key in found.slicing.keys(lead)}
        return found

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
        if self.confidence in self.viewer.layers and self.confidence.data.shape == shape:
            return
        options = geometry_of(self.image, self.level)
        options["metadata"] = {**options.get("metadata", {}), KEY: CONFIDENCE}
        self.confidence = self.viewer.add_image(
            np.zeros(shape, np.float32),
            name=f"{self.image.name} confidence",
            colormap="viridis",
            contrast_limits=(0, 1),
            opacity=0.5,
            visible=False,
            **options,
        )
        top = self.viewer.layers.index(self.labels)
        self.viewer.layers.move(self.viewer.layers.index(self.confidence), top)
        self.viewer.layers.selection.active = self.labels

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
        slicing = provenance.slicing
        if not provenance.fits:
            raise InputError(
                f"layer {self.labels.name}",
                f"keep its shape {slicing.shape}",
                shape_of(self.labels),
            )
        if provenance.is_known(key) or key in provenance.copied:
            return False
        before = np.array(slicing.plane(self.labels.data, key))
        kept = strokes = provenance.strokes(key)
        if policy == "fill":
            kept = strokes | (step.before(key, before) != 0)
        scribbles = self._scribbles_beside(key, entries)
        labels = np.where(kept, before, labels)
        after = np.where((scribbles != 0) & ~strokes, np.maximum(scribbles, 0), labels)
        after = after.astype(before.dtype)
        self.labels.data[slicing.index(key)] = after
        self.write_confidence(key, confidence, step)
        step.note(key, before, after)
        step.note_made(key, provenance.made(key), "predicted")
        provenance.mark_predicted(key)
        return True

    def write_confidence(self, key: Key, values: Array | float, step: UndoStep) -> None:
        """Write the confidence of a slice, where there is a layer for it."""
        provenance = self.provenance
        if provenance is None or not self.has_confidence:
            return
        step.note_confidence(key, self.confidence)
        self.confidence.data[provenance.slicing.index(key)] = values

    def copy_template(self, key: Key, plane: Array, step: UndoStep, source: Any) -> None:
        """Copy a slice of a template layer (``source``), unless this layer knows better."""
        provenance = self.provenance
        if provenance is None or provenance.is_known(key) or provenance.being_drawn(key).any():
            return
        before = np.array(provenance.slicing.plane(self.labels.data, key))
        after = np.where(provenance.strokes(key), before, plane).astype(before.dtype)
        provenance.copied_from[key] = source.unique_id
        if key in provenance.copied and (before == after).all():
            return
        self.labels.data[provenance.slicing.index(key)] = after
        self.write_confidence(key, 1, step)
        self.pending.drop(key)
        step.note(key, before, after)
        step.note_made(key, provenance.made(key), "copied")
        provenance.mark_copied(key)

    def keep_scribbles(self, key: Key, step: UndoStep) -> None:
        """Take paint on a part of a slice of this layer for strokes; the rest is predicted."""
        provenance = self.provenance
        if provenance is None or provenance.made(key) is not None:
            return
        step.note_made(key, None, "predicted")
        provenance.mark_predicted(key)
        provenance.keep_strokes(
            key, np.asarray(provenance.slicing.plane(self.labels.data, key)) != 0
        )

    def take_scribbles(self, key: Key, entries: Sequence[TemplateEntry]) -> None:
        """Take over what was painted on a part of a slice in template layers, as one undo step."""
        provenance = self.provenance
        if provenance is None or provenance.is_known(key):
            return
        scribbles = self._scribbles_beside(key, entries)
        voxels = (scribbles != 0) & ~provenance.strokes(key)
        if not voxels.any():
            return
        step = UndoStep(self.labels, provenance.slicing)
        before = np.array(provenance.slicing.plane(self.labels.data, key))
        after = np.where(voxels, np.maximum(scribbles, 0), before).astype(before.dtype)
        self.labels.data[provenance.slicing.index(key)] = after
        step.note(key, before, after)
        provenance.note_step(step)
        self.refresh()

    def _scribbles_beside(self, key: Key, entries: Sequence[TemplateEntry]) -> Array:
        """What template layers know of a part of a slice: 0 nothing, -1 background."""
        provenance = self.provenance
        if provenance is None:
            return np.zeros(0, np.int32)
        found = np.zeros(provenance.slicing.plane_shape, np.int32)
        for entry in entries:
            beside = entry.labels is not self.labels and entry.level == self.level
            own = entry.key_of(key)
            if own is None or not beside or entry.slicing.axis != provenance.slicing.axis:
                continue
            part = entry.scribbles(own)
            if part is not None:
                found = np.where(part != 0, part, found)
        return found

    def refresh(self) -> None:
        """Show what was written."""
        for layer in (self.labels, self.confidence):
            if layer is not None and layer in self.viewer.layers:
                layer.refresh()

    def show_landmarks(self, landmarks: Sequence[Landmark], volume: Volume, lead: Key) -> None:
        """Show landmarks in the points layer of this image, in place of those before."""
        points, features = show_landmarks(landmarks, volume, lead)
        if self.landmarks is not None and self.landmarks in self.viewer.layers:
            other = (np.round(self.landmarks.data[:, : len(lead)]) != np.array(lead)).any(axis=1)
            kept = self.landmarks.features[other] if lead else None
            data = np.concatenate([self.landmarks.data[other], points]) if lead else points
            self.landmarks.data = data
            self.landmarks.features = _joined(kept, features)
            if len(data):
                self.landmarks.feature_defaults = no_features(features)
            return
        if not len(points):
            return
        active = self.viewer.layers.selection.active
        self.landmarks = self.viewer.add_points(
            points,
            name=f"{self.image.name} landmarks found",
            features=features,
            feature_defaults=no_features(features),
            text={
                "string": "{name}",
                "size": 9,
                "color": "yellow",
                "translation": (*(0.0,) * (len(shape_of(self.image)) - 2), 4.0, 0.0),
            },
            size=3,
            face_color="transparent",
            border_color="yellow",
            ndim=len(shape_of(self.image)),
            **geometry_of(self.image, self.level),
        )
        if active is not None:
            self.viewer.layers.selection.active = active


def show_landmarks(
    landmarks: Sequence[Landmark], volume: Volume, lead: Key
) -> tuple[Array, dict[str, list[Any]]]:
    """Points, shape (N, axes of the layer), and features of a points layer.

    Features are name, label, score, and the position in mm: R, A, S in the patient where the
    volume has an orientation, else z_mm, y_mm, x_mm from its first voxel.
    """
    positions = np.array([mark.position[-volume.ndim :] for mark in landmarks], dtype=float)
    positions = positions.reshape(-1, volume.ndim)
    features: dict[str, list[Any]] = {
        "name": [mark.name for mark in landmarks],
        "label": [mark.label for mark in landmarks],
        "score": [np.nan if mark.score is None else mark.score for mark in landmarks],
    }
    if volume.affine is not None:
        ones = np.ones((len(positions), 1))
        mm = np.concatenate([positions, ones], axis=1) @ volume.affine[:3].T
        features |= {name: mm[:, k].tolist() for k, name in enumerate("RAS")}
    else:
        mm = positions * np.asarray(volume.spacing)
        names = ("z_mm", "y_mm", "x_mm")[-volume.ndim :]
        features |= {name: mm[:, k].tolist() for k, name in enumerate(names)}
    places = np.broadcast_to(np.array(lead, float), (len(positions), len(lead)))
    return np.concatenate([places, positions], axis=1), features


def _joined(kept: Any, features: Mapping[str, list[Any]]) -> Any:
    import pandas  # type: ignore[import-untyped]  # napari brings it

    new = pandas.DataFrame(features)
    return new if kept is None else pandas.concat([kept, new], ignore_index=True)


def _is_writable(labels: Any) -> bool:
    """Whether the array of a layer takes values at once: dask only notes them for later."""
    data = labels.data
    writable = getattr(getattr(data, "flags", None), "writeable", True)
    later = hasattr(data, "__dask_graph__") or not hasattr(data, "__setitem__")
    return writable and not (labels.multiscale or later or getattr(data, "read_only", False))
