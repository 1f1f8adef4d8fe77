"""Volumes and landmarks of the core to layers of the viewer.

The viewer shows canonical arrays, (S, A, R): a permutation and flips of the file order, so that
scale and translation suffice. Permuted or oblique affines on a layer would lose the part of it
that lies out of the slice. Every layer carries the same scale, translation, units and axis
labels, because napari drops the units of all layers once they are mixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..geometry import Frame

if TYPE_CHECKING:
    from ..types import Landmark, Volume

__all__ = [
    "LayerData",
    "image_layer",
    "label_features",
    "labels_layer",
    "landmarks_layer",
    "no_features",
    "placement",
]

LayerData = tuple[Any, dict[str, Any], str]
"""Data, keyword arguments of the layer, and its type, as napari takes them from plugins."""


def placement(volume: Volume) -> dict[str, Any]:
    """Keyword arguments that put a layer of this volume at its place in the patient.

    Returns
    -------
    dict
        ``scale`` and ``translate`` in mm, ``units`` and ``axis_labels`` for the axes of the
        canonical array, and ``metadata`` with the geometry of the file order, for writing.
        A file without orientation starts at the origin.
    """
    frame = Frame.of(volume.affine, volume.ndim)
    translate = np.zeros(volume.ndim)
    labels = ("Z", "Y", "X")[-volume.ndim :]
    if frame.oriented and volume.affine is not None:
        # The affine counts R, A, S; the canonical array S, A, R.
        translate = frame.canonical_affine(volume.affine, volume.shape)[:3, 3][::-1]
        labels = ("S", "A", "R")
    return {
        "scale": frame.canonical_spacing(volume.spacing),
        "translate": tuple(float(t) for t in translate),
        "units": ("mm",) * volume.ndim,
        "axis_labels": labels,
        "metadata": {
            "affine": volume.affine,
            "spacing": volume.spacing,
            "shape": volume.shape,
            "source": volume.source,
            "header": volume.header,
        },
    }


def image_layer(volume: Volume, name: str) -> LayerData:
    """Image layer of a volume, in canonical order."""
    frame = Frame.of(volume.affine, volume.ndim)
    data = frame.to_canonical(volume.data, channels=volume.has_channels)
    # napari shows three or four channels as colours; others would need a layer each.
    rgb = volume.has_channels and volume.data.shape[-1] in (3, 4)
    return data, {**placement(volume), "name": name, "rgb": rgb}, "image"


def labels_layer(volume: Volume, name: str, *, visible: bool = True) -> LayerData:
    """Labels layer of a label map, in canonical order; names go to ``features["name"]``.

    The array is a copy that can be painted on, whatever the volume is backed by.
    """
    frame = Frame.of(volume.affine, volume.ndim)
    data = np.array(frame.to_canonical(volume.data), order="C")
    options = {**placement(volume), "name": name, "visible": visible}
    return data, {**options, "features": label_features(volume.names)}, "labels"


def landmarks_layer(landmarks: Sequence[Landmark], volume: Volume, name: str) -> LayerData:
    """Points layer of landmarks that were found in, or belong to, a volume; label 0 is none."""
    frame = Frame.of(volume.affine, volume.ndim)
    positions = [mark.position[-volume.ndim :] for mark in landmarks]
    points = np.array(positions, dtype=float).reshape(-1, volume.ndim)
    features = {
        "name": [mark.name for mark in landmarks],
        "label": [mark.label or np.nan for mark in landmarks],
        "score": [np.nan if mark.score is None else mark.score for mark in landmarks],
    }
    options = {**placement(volume), "name": name, "features": features}
    if landmarks:
        options["feature_defaults"] = no_features(features)
    # Three pixels across, in units of the data.
    options |= {"size": 3, "face_color": "transparent", "border_color": "yellow"}
    return frame.points_to_canonical(points, volume.shape), options, "points"


def no_features(columns: Iterable[str]) -> dict[str, Any]:
    """Features of a point that is added by hand; of itself napari repeats those of the last one."""
    return {column: "" if column == "name" else np.nan for column in columns}


def label_features(names: Mapping[int, str]) -> dict[str, list[Any]]:
    """Features of a labels layer that name its values."""
    values = sorted({0, *names})
    return {"index": values, "name": [names.get(value, "background") for value in values]}
