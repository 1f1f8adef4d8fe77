"""Whether an image and its labels lie on one grid."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from ..errors import InputError
from ..types import Array, Volume

__all__ = ["check_match"]

# Share of the smallest spacing by which a corner may be off. Programs that rewrite a header
# leave errors of single precision; nobody paints to a hundredth of a voxel.
_TOLERANCE = 0.01


def check_match(image: Volume, labels: Volume) -> None:
    """Check that labels have the shape and the position of an image.

    Positions are compared where both have an affine: the corners of the volume must agree
    within a hundredth of the smallest spacing.

    Parameters
    ----------
    image : Volume
        The image, with or without channels.
    labels : Volume
        The labels that were read for it.

    Raises
    ------
    InputError
        If the shapes differ (the message says so where they would match with their axes in
        another order), or the affines; then it tells the largest distance in mm.
    """
    what = _name(labels, "labels")
    if image.shape != labels.shape:
        raise InputError(
            what,
            f"have the shape {image.shape} of {_name(image, 'the image')}",
            f"shape {labels.shape}",
            _hint(image.shape, labels.shape),
        )
    if image.affine is None or labels.affine is None:
        return
    distance = _largest_distance(image.affine, labels.affine, image.shape)
    if not distance <= _TOLERANCE * min(image.spacing):
        raise InputError(
            what,
            f"lie where {_name(image, 'the image')} lies",
            f"corners up to {distance:.4g} mm apart",
            "Resample the labels onto the image, or give the image that they were painted on.",
        )


def _largest_distance(first: Array, second: Array, shape: tuple[int, ...]) -> float:
    """Largest distance in mm of the corners of a volume under two affines."""
    full = (1,) * (3 - len(shape)) + shape
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in full))])
    # A single slice has no far corner to show a different direction; one voxel shows it.
    corners = np.vstack([corners, [(1, 0, 0, 1), (0, 1, 0, 1), (0, 0, 1, 1)]])
    offsets = corners @ (np.asarray(first) - np.asarray(second)).T
    return float(np.linalg.norm(offsets[:, :3], axis=1).max())


def _hint(image: tuple[int, ...], labels: tuple[int, ...]) -> str:
    if len(image) == len(labels):
        for order in permutations(range(len(image))):
            if tuple(labels[axis] for axis in order) == image:
                return (
                    f"They would match with the axes in the order {order}: "
                    "the labels were saved transposed."
                )
    squeezed = tuple(size for size in labels if size > 1)
    if squeezed == tuple(size for size in image if size > 1):
        return "They differ only by an axis of one."
    return "Give the image that the labels were painted on."


def _name(volume: Volume, otherwise: str) -> str:
    return otherwise if volume.source is None else str(volume.source)
