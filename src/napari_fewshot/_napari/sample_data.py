"""Sample data of the plugin: phantoms with a few painted slices, and their truth."""

from __future__ import annotations

from ..phantoms import make_phantom, painted_labels, template_slices
from .layers import LayerData, image_layer, labels_layer, landmarks_layer

__all__ = ["joint_phantom", "torso_phantom"]

PAINTED = 3
"""Painted slices of a sample."""


def torso_phantom() -> list[LayerData]:
    """Layers of the torso phantom: image, painted template, truth (hidden) and landmarks."""
    return _layers("torso")


def joint_phantom() -> list[LayerData]:
    """Layers of the joint phantom: image, painted template, truth (hidden) and landmarks."""
    return _layers("joint")


def _layers(kind: str) -> list[LayerData]:
    phantom = make_phantom(kind)
    template = painted_labels(phantom, template_slices(phantom, PAINTED))
    return [
        image_layer(phantom.image, kind),
        labels_layer(phantom.labels, f"{kind} truth", visible=False),
        labels_layer(template, f"{kind} template"),
        landmarks_layer(phantom.landmarks, phantom.image, f"{kind} landmarks"),
    ]
