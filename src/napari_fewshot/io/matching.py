"""Whether labels lie on their image, as the programs that wrote them may have placed them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..types import Array, Volume
from .grids import largest_distance, square_affines
from .nifti.format import NiftiHeader
from .parts import filled
from .volumes import read_labels_at

__all__ = ["check_match", "in_units_of", "on_grid", "read_labels_on"]

_LOGGER = logging.getLogger(__name__)
# Fraction of the smallest spacing by which a corner may be off. Programs that rewrite a header
# leave errors of single precision; nobody paints to a hundredth of a voxel.
_TOLERANCE = 0.01
# Where a program had to leave shear out, its rounding counts for less.
_WIDE_TOLERANCE = 0.1

_SHEAR = "is placed without its shear"


def check_match(image: Volume, labels: Volume) -> None:
    """Check that labels have the shape and the position of an image.

    Positions are compared where both have an affine: the corners of the volume must agree
    within a hundredth of the smallest spacing. Labels may lie as the other transform of a NIfTI
    file says (sform or qform), without the shear of the image, or count in no unit where the image
    has one; a line of the log says so. The message says where shapes would match with their axes
    in another order, or tells the largest distance in mm.
    """
    what, of_image = (
        otherwise if volume.source is None else str(volume.source)
        for volume, otherwise in ((labels, "labels"), (image, "the image"))
    )
    if image.shape != labels.shape:
        raise InputError(
            what,
            f"have the shape {image.shape} of {of_image}",
            f"shape {labels.shape}",
            _shape_hint(image, labels),
        )
    if image.affine is None or labels.affine is None:
        return
    image, labels = in_units_of(image, labels), in_units_of(labels, image)
    of_the_image, of_the_labels = list(_placements(image)), list(_placements(labels))
    for (first, how), (second, why) in product(of_the_image, of_the_labels):
        wide = _WIDE_TOLERANCE if _SHEAR in (how, why) else _TOLERANCE
        if _distance(image, first, second) <= wide:
            said = [f"{name} {words}" for name, words in ((of_image, how), (what, why)) if words]
            if said:
                _LOGGER.warning("%s fits %s where %s", what, of_image, " and ".join(said))
            return
    apart = largest_distance(of_the_image[0][0], of_the_labels[0][0], image.shape)
    raise InputError(
        what,
        f"lie where {of_image} lies",
        f"corners up to {apart:.4g} mm apart",
        _position_hint(image, labels),
    )


def on_grid(image: Volume, labels: Volume) -> Volume:
    """Labels on the grid of an image; those of a segmentation that stores a part of it are filled.

    Programs such as 3D Slicer store the box that is painted, and where it lies.

    Raises
    ------
    InputError
        As :func:`check_match`.
    """
    labels = filled(image, labels)
    check_match(image, labels)
    return labels


def read_labels_on(image: Volume, path: str | Path, frame: int | None = None) -> Volume:
    """Read labels that belong to an image, of the time point ``frame`` where they have several.

    Raises
    ------
    InputError
        As :func:`~.volumes.read_labels` and :func:`check_match`.
    """
    return on_grid(image, read_labels_at(path, frame))


def in_units_of(volume: Volume, other: Volume) -> Volume:
    """The same volume, in the unit of another one where its own file says none."""
    own, unit = volume.header, other.header
    if not isinstance(own, NiftiHeader) or not isinstance(unit, NiftiHeader):
        return volume
    factor = unit.mm_per_unit
    if own.mm_per_unit is not None or factor is None or len(volume.spacing) != len(other.spacing):
        return volume
    spacing = tuple(size * factor for size in volume.spacing)
    if _largest_ratio(spacing, other.spacing) >= _largest_ratio(volume.spacing, other.spacing):
        return volume  # it is in mm, as files without a unit mostly are
    affine, second = (_scaled(one, factor) for one in (volume.affine, own.other_affine))
    header = replace(own, affine=affine, other_affine=second, unit_of=factor)
    return replace(volume, spacing=spacing, affine=affine, header=header)


def _largest_ratio(first: Sequence[float], second: Sequence[float]) -> float:
    return float(np.abs(np.log(np.asarray(first) / np.asarray(second))).max())


def _scaled(affine: Array | None, factor: float) -> Array | None:
    if affine is None:
        return None
    scaled = np.array(affine, np.float64)
    scaled[:3] *= factor
    return scaled


def _distance(image: Volume, first: Array, second: Array) -> float:
    """Largest distance of corners, in voxels."""
    sizes = [size for size, n in zip(image.spacing, image.shape, strict=True) if n > 1]
    return largest_distance(first, second, image.shape) / min(sizes or image.spacing)


def _placements(volume: Volume) -> Iterator[tuple[Array, str]]:
    """Affines by which programs place a volume, and in words what these leave out."""
    if volume.affine is not None:
        yield volume.affine, ""
    other = getattr(volume.header, "other_affine", None)
    if other is not None:
        yield other, "is placed by its qform, which differs from its sform"
    for affine in (volume.affine, other):
        if affine is not None:
            yield from ((one, _SHEAR) for one in square_affines(affine))


def _position_hint(image: Volume, labels: Volume) -> str:
    of_one_size = np.allclose(image.spacing, labels.spacing, rtol=0.01)
    if not of_one_size:
        return "Resample the labels onto the image, or give the image that they were painted on."
    more = "".join(
        f" The sform and the qform of {one.source or 'the file'} differ."
        for one in (image, labels)
        if isinstance(one.header, NiftiHeader) and one.header.other_affine is not None
    )
    return (
        "Give the image that they were painted on. Where that is this one, their voxels are the "
        f"same: give the labels its header, and do not resample them.{more}"
    )


def _shape_hint(image: Volume, labels: Volume) -> str:
    if image.has_channels and not labels.has_channels:
        whole = image.data.shape
        if len(whole) == labels.ndim and sorted(whole) == sorted(labels.shape):
            return (
                f"The image has {whole[-1]} channels, which may be its slices: save it with its "
                "slices along an axis Z (ImageJ: Image > Hyperstacks)."
            )
    if len(image.shape) == len(labels.shape):
        for order in permutations(range(image.ndim)):
            if tuple(labels.shape[axis] for axis in order) == image.shape:
                return (
                    f"They would match with the axes in the order {order}: "
                    "the labels were saved transposed."
                )
    squeezed = tuple(size for size in labels.shape if size > 1)
    if squeezed == tuple(size for size in image.shape if size > 1):
        return "They differ only by an axis of one."
    return "Give the image that the labels were painted on."
