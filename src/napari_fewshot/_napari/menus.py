"""Entries of menus: open a file as what the person says that it is; open the guide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

# At run time too: napari finds out from the annotation that a command wants the viewer.
from napari.viewer import Viewer

from .layers import LayerData
from .readers import read_image, read_label_map, read_point_file, read_zarr

__all__ = ["open_as_image", "open_as_labels", "open_points", "open_zarr", "show_guide"]

_NIFTI = "NIfTI (*.nii *.nii.gz)"


def open_as_labels(viewer: Viewer) -> None:
    """Ask for NIfTI files and open them as labels."""
    _open(viewer, "Open NIfTI as labels", _NIFTI, read_label_map)


def open_as_image(viewer: Viewer) -> None:
    """Ask for NIfTI files and open them as images."""
    _open(viewer, "Open NIfTI as image", _NIFTI, read_image)


def open_points(viewer: Viewer) -> None:
    """Ask for CSV files of points and open them on their image."""
    _open(viewer, "Open points", "Points (*.csv)", read_point_file)


def open_zarr(viewer: Viewer) -> None:
    """Ask for the folder of an OME-Zarr image, and open it with its label images."""
    from qtpy.QtWidgets import QFileDialog

    name = QFileDialog.getExistingDirectory(None, "Open OME-Zarr")
    if name:
        _add(viewer, read_zarr(Path(name)))


def show_guide(viewer: Viewer) -> None:
    """Open the guide that leads from a sample to its labels."""
    from .widgets.guide import open_guide

    open_guide(viewer)


def _open(viewer: Viewer, title: str, kind: str, read: Callable[[Path], list[LayerData]]) -> None:
    from qtpy.QtWidgets import QFileDialog

    names, _ = QFileDialog.getOpenFileNames(None, title, "", kind)
    for name in names:
        _add(viewer, read(Path(name)))


def _add(viewer: Viewer, layers: list[LayerData]) -> None:
    from napari.layers import Layer

    for data in layers:
        viewer.add_layer(Layer.create(*data))
