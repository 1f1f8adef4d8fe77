"""Segmentations that store a part of the grid of their image, as 3D Slicer and DICOM have them."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..types import Array, Volume
from .grids import largest_distance
from .reading import check_room

__all__ = ["filled", "may_be_part", "widened"]

# Fractions of a voxel: of a grid that is the same, and of a part of it, whose rounding counts less.
_SAME, _TOLERANCE = 0.01, 0.1


def filled(image: Volume, labels: Volume) -> Volume:
    """Put a segmentation that stores a part of a grid where it lies on that of an image.

    Other labels, and segmentations on the whole grid, are returned as they are.

    Raises
    ------
    InputError
        If the part is not on the grid, or paint lies outside of it.
    """
    name = "labels" if labels.source is None else str(labels.source)
    if not may_be_part(labels) or image.affine is None or image.ndim != 3:
        return labels
    if image.shape == labels.shape:
        apart = largest_distance(image.affine, np.asarray(labels.affine), image.shape)
        if apart <= _SAME * min(image.spacing):
            return labels
    labels = _tightened(image, labels)
    corner = _corner(image, labels)
    if corner is None:
        raise InputError(
            name,
            "cover a part of the image on its own grid",
            f"an extent of shape {labels.shape}, whose voxels lie between those of the image",
            "Export it with the image as the reference volume.",
        )
    target, source = [], []
    for start, length, size in zip(corner, labels.shape, image.shape, strict=True):
        first, last = max(0, int(start)), min(size, int(start) + length)
        target.append(slice(first, max(first, last)))
        source.append(slice(first - int(start), max(first, last) - int(start)))
    data = np.zeros(image.shape, labels.data.dtype)
    inside = labels.data[tuple(source)]
    data[tuple(target)] = inside
    if np.count_nonzero(inside) < np.count_nonzero(labels.data):
        raise InputError(
            name,
            "lie inside the image",
            f"an extent of shape {labels.shape} from voxel {tuple(map(int, corner))} on",
            "Give the image that it was painted on.",
        )
    return replace(labels, data=data, affine=image.affine, spacing=image.spacing)


def widened(labels: Volume, other: Volume) -> Volume:
    """A segmentation with room for another one on its grid: each may store its own part.

    Other label maps, and what lies on another grid, are returned as they are.
    """
    if not may_be_part(labels) or not may_be_part(other):
        return labels
    labels, other = _tightened(other, labels), _tightened(labels, other)
    corner = _corner(labels, other)
    if corner is None:
        return labels
    start = np.minimum(corner, 0)
    stop = np.maximum(corner + np.array(other.shape), labels.shape)
    shape = tuple(map(int, stop - start))
    if shape == labels.shape:
        return labels
    check_room(labels.source or Path("labels"), prod(shape) * labels.data.dtype.itemsize)
    data = np.zeros(shape, labels.data.dtype)
    inside = zip(-start, labels.shape, strict=True)
    data[tuple(slice(int(first), int(first) + size) for first, size in inside)] = labels.data
    affine = np.array(labels.affine, np.float64)
    affine[:3, 3] += affine[:3, :3] @ start
    return replace(labels, data=data, affine=affine)


def may_be_part(labels: Volume) -> bool:
    """Whether a label map is one that may store a part of its grid."""
    is_segmentation = getattr(labels.header, "is_segmentation", False)
    return bool(is_segmentation and labels.affine is not None and labels.ndim == 3)


def _between(image: Volume, labels: Volume) -> Array:
    """Affine from the voxels of labels to those of an image."""
    first, second = (np.asarray(one.affine, np.float64) for one in (image, labels))
    between: Array = np.linalg.inv(first) @ second
    return between


def _corner(image: Volume, labels: Volume) -> Array | None:
    """Voxel of an image at which labels begin; None if they lie between its voxels."""
    between = _between(image, labels)
    exact = np.eye(4)
    exact[:3, 3] = np.rint(between[:3, 3])
    if largest_distance(between, exact, labels.shape) > _TOLERANCE:
        return None
    corner: Array = exact[:3, 3].astype(int)
    return corner


def _tightened(image: Volume, labels: Volume) -> Volume:
    """Labels whose file does not say how far slices are apart, each put at a slice of an image.

    They stay as they are where they lie between its slices.
    """
    if not getattr(labels.header, "is_loose", False):
        return labels
    painted = np.flatnonzero(labels.data.any(axis=(1, 2)))
    between = _between(image, labels)
    exact = between[0, 3] + painted * between[0, 0]
    places = np.rint(exact).astype(int)
    if not len(places) or np.abs(exact - places).max() > _TOLERANCE:
        return labels
    if len(set(places.tolist())) < len(places):
        return labels
    first = int(places.argmin())
    data = np.zeros((int(places.max() - places.min()) + 1, *labels.shape[1:]), labels.data.dtype)
    data[places - places.min()] = labels.data[painted]
    affine = np.array(labels.affine, np.float64)
    affine[:, 3] = affine @ (painted[first], 0, 0, 1)
    affine[:3, 0] = np.asarray(image.affine)[:3, 0]
    spacing = (image.spacing[0], *labels.spacing[1:])
    header = replace(labels.header, is_loose=False)
    return replace(labels, data=data, affine=affine, spacing=spacing, header=header)
