"""Sample data: phantoms with painted slices and their truth, and real images fetched on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..phantoms import make_phantom, painted_labels, template_slices
from .layers import LayerData, image_layer, labels_layer, landmarks_layer
from .orientation import face_patient
from .real_samples import KIDNEY, MITOSIS, RealSample, read_sample

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["joint_phantom", "kidney", "mitosis", "torso_phantom"]

PAINTED = 3
"""Painted slices of a sample."""


def torso_phantom() -> list[LayerData]:
    """Layers of the torso phantom: image, painted template, truth (hidden) and landmarks."""
    return _layers("torso")


def joint_phantom() -> list[LayerData]:
    """Layers of the joint phantom: image, painted template, truth (hidden) and landmarks."""
    return _layers("joint")


def mitosis() -> list[LayerData]:
    """Layer of a fluorescence image of human cells; fetched once, then kept."""
    return _real(MITOSIS)


def kidney() -> list[LayerData]:
    """Layers of a confocal stack of mouse kidney, one for each channel; fetched once."""
    return _real(KIDNEY)


def _layers(kind: str) -> list[LayerData]:
    phantom = make_phantom(kind)
    face_patient()
    template = painted_labels(phantom, template_slices(phantom, PAINTED))
    return [
        image_layer(phantom.image, kind),
        labels_layer(phantom.labels, f"{kind} truth", visible=False),
        labels_layer(template, f"{kind} template"),
        landmarks_layer(phantom.landmarks, phantom.image, f"{kind} landmarks"),
    ]


def _real(sample: RealSample) -> list[LayerData]:
    from napari.utils.notifications import show_info

    from .fetching import fetch_sample

    path: Path = fetch_sample(sample)
    show_info(f"{sample.title}. {sample.credit} Licence: {sample.licence}.")
    layers = []
    for volume, name in read_sample(sample, path):
        data, options, kind = image_layer(volume, name)
        about = {"licence": sample.licence, "credit": sample.credit, "url": sample.url}
        options["metadata"] = {**options["metadata"], **about}
        if len(sample.channels) > 1:
            options["blending"] = "additive"
        layers.append((data, options, kind))
    return layers
