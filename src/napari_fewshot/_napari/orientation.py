"""How the viewer looks at a patient: anterior and head above, the patient's right on the left."""

from __future__ import annotations

from typing import Any

__all__ = ["face_patient"]

_DEFAULT = ("towards", "down", "right")
_RADIOLOGICAL = ("up", "left")


def face_patient() -> None:
    """Turn the view of the current viewer as radiologists look, unless somebody else has a say.

    Arrays of oriented files are (S, A, R), and napari draws the second axis downwards: without
    this, patients lie on their face. The camera is one for all layers, so it is left alone when
    it was turned already, or when an image without orientation is open.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is None or tuple(viewer.scene.camera.orientation) != _DEFAULT:
        return
    images = [layer for layer in viewer.layers if layer._type_string == "image"]
    if all(_is_oriented(layer) for layer in images):
        viewer.scene.camera.orientation2d = _RADIOLOGICAL


def _is_oriented(layer: Any) -> bool:
    return layer.metadata.get("affine") is not None
