"""Which part of what 2D templates show an image shows: it may be cropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..slices.grid import resize_plane
from ..types import Array

__all__ = ["ZOOMS", "Part", "likeness_of_part", "overview"]

ZOOMS = (1.0, 1.26, 1.59, 2.0, 2.52)
"""How many times larger than a template a cropped image without a spacing may be drawn."""
_SIDE = 48
"""Cells of an overview for the unit that places count in."""
_GAIN = 0.08
"""How much more alike a part has to be than the whole: whole radiographs gain up to .07 by taking
them for a part, cropped ones .08 to .4."""


@dataclass(frozen=True, eq=False)
class Part:
    """The best place of an image in the templates.

    Parameters
    ----------
    likeness : float
        Mean cosine there.
    whole : float
        The same where the middles are one.
    offset : array, shape (2,)
        From the middle of the templates to that of the image, in units.
    """

    likeness: float
    whole: float
    offset: Array

    def is_more_than(self, whole: float) -> bool:
        """Whether it is clearly more alike than the whole image."""
        return self.likeness > whole + _GAIN


def overview(features: Array, extent: Array, unit: float) -> Array:
    """Features (C, h, w) of an image, coarse, without their mean, of length 1."""
    rows, columns = np.maximum(2, np.round(extent * _SIDE / unit)).astype(int)
    small = resize_plane(features, (int(rows), int(columns)))
    small = small - small.mean(axis=(1, 2), keepdims=True)
    result: Array = small / np.maximum(np.linalg.norm(small, axis=0), 1e-6)
    return result.astype(np.float32)


def likeness_of_part(image: Array, templates: Sequence[Array]) -> Part:
    """Where the overview of an image is most like the mean of those of templates."""
    from scipy import fft

    sides = np.max([one.shape[1:] for one in templates], axis=0)
    mean = np.zeros((len(image), *sides), np.float32)
    for one in templates:
        row, column = (sides - one.shape[1:]) // 2
        mean[:, row : row + one.shape[1], column : column + one.shape[2]] += one / len(templates)
    own = np.array(image.shape[1:])
    shape = [fft.next_fast_len(int(n), real=True) for n in sides + own - 1]
    spectra = fft.rfftn(mean, shape, axes=(1, 2)) * fft.rfftn(image, shape, axes=(1, 2)).conj()
    found = fft.irfftn(spectra.sum(axis=0), shape) / np.prod(own)
    top = np.array(np.unravel_index(int(found.argmax()), found.shape))
    shift = np.where(top < sides, top, top - found.shape)
    middle = np.round((sides - own) / 2).astype(int)
    offset = (shift + own / 2 - sides / 2) / _SIDE
    return Part(float(found[tuple(top)]), float(found[tuple(middle)]), offset)
