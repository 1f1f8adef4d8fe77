"""What a model remembers of the landmarks of its templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..slices.coarse import CoarseVolume
from ..types import Array

__all__ = ["KnownImage", "KnownLandmarks", "no_trials"]

_ALIKE = 4.0
"""Times that images may be larger or smaller than the templates: beyond it a spacing is wrong."""
_SIMILAR = 1.5
"""The same of images without a spacing, which may be of another resolution."""


def no_trials() -> Array:
    """No landmark was placed in a template that was left out."""
    return np.zeros((0, 3), np.float32)


@dataclass(frozen=True, eq=False)
class KnownImage:
    """A template as landmarks are found with it.

    Parameters
    ----------
    places : float32 array, shape (L, D)
        Of each landmark, in mm from the corner in canonical order, nan for one that it has not.
    extent, spacing : tuple of float
        Sides of the image and of its pixels or voxels in mm.
    descriptors : float32 array, shape (L, C)
        Of a 2D image: features of the landmarks; C is 0 of a volume.
    volume : CoarseVolume, optional
        Of a volume: its grey values.
    patches : array, shape (L, side, side[, side])
        What is seen round each landmark: of a volume grey values on its own grid, uint8; of a 2D
        image even ones, float32.
    overview : array, shape (C, h, w)
        Of a 2D image: its features, coarse; empty where it is not kept.
    """

    places: Array
    extent: tuple[float, ...]
    spacing: tuple[float, ...]
    descriptors: Array
    volume: CoarseVolume | None = None
    patches: Array = field(default_factory=lambda: np.zeros((0, 1, 1), np.float32))
    overview: Array = field(default_factory=lambda: np.zeros((0, 1, 1), np.float32))

    def only(self, chosen: Array) -> KnownImage:
        """The same with some of its landmarks."""
        patches = self.patches[chosen] if len(self.patches) else self.patches  # not yet described
        own = self.places[chosen], self.descriptors[chosen]
        return replace(self, places=own[0], descriptors=own[1], patches=patches)

    def spread(self, rows: Sequence[int], count: int) -> KnownImage:
        """The same with its landmarks in these rows of ``count``; it has not the others."""

        def there(array: Array, empty: float) -> Array:
            whole = np.full((count, *array.shape[1:]), empty, array.dtype)
            whole[list(rows)] = array
            return whole

        places, descriptors = there(self.places, np.nan), there(self.descriptors, 0)
        return replace(self, places=places, descriptors=descriptors, patches=there(self.patches, 0))


@dataclass(frozen=True, eq=False)
class KnownLandmarks:
    """Landmarks that are placed together, and the templates that show them.

    Parameters
    ----------
    labels : tuple of int
        Rows of all arrays of the images.
    images : tuple of KnownImage
    trials : float32 array, shape (N, 3)
        Of points that were placed in templates that were left out: how sure, the error as a share
        of the image's longest side, and 1 where the image was a part of the template, else 0.
    """

    labels: tuple[int, ...]
    images: tuple[KnownImage, ...]
    trials: Array = field(default_factory=no_trials)

    def fits(self, axes: int) -> bool:
        """Whether images with so many axes are like those of the templates."""
        return all(len(image.extent) == axes for image in self.images)

    def unit(self, extent: Array, spacing: Sequence[float]) -> float:
        """The mm that places in a 2D image count in.

        The longest side of the templates where all have a spacing, and the image is of like size;
        else that of each image.
        """
        longest = float(np.max(extent))
        has_spacing = [set(one.spacing) != {1.0} for one in self.images]
        if all(has_spacing) and set(spacing) != {1.0}:
            unit = float(np.median([max(one.extent) for one in self.images]))
            if unit / _ALIKE <= longest <= _ALIKE * unit:
                return unit
        return longest

    def joined(self, earlier: KnownLandmarks | None) -> KnownLandmarks:
        """The same with the templates of before behind its own, if they have as many axes."""
        if earlier is None or not all(earlier.fits(len(one.extent)) for one in self.images):
            return self
        labels = tuple(sorted({*self.labels, *earlier.labels}))
        images = tuple(
            image.spread([labels.index(label) for label in known.labels], len(labels))
            for known in (self, earlier)
            for image in known.images
        )
        return KnownLandmarks(labels, images, np.concatenate([self.trials, earlier.trials]))

    def scale(self, extent: Array, spacing: Sequence[float]) -> float:
        """How many times larger than those of the templates the mm of a volume are.

        1 but where one of them has no spacing, or it is of another size by far; the longest sides
        are then taken for the same.
        """
        own = float(np.median([max(one.extent) for one in self.images]))
        ratio = float(np.max(extent)) / own
        spacings = [*(one.spacing for one in self.images), tuple(spacing)]
        most = _SIMILAR if any(set(one) == {1.0} for one in spacings) else _ALIKE
        return 1.0 if 1 / most <= ratio <= most else ratio

    def described(self, seen: Sequence[tuple[Array, Array, Array]]) -> KnownLandmarks:
        """The same with the descriptors, patches and overview of each image."""
        images = [
            replace(one, descriptors=own, patches=patches, overview=overview)
            for one, (own, patches, overview) in zip(self.images, seen, strict=True)
        ]
        return replace(self, images=tuple(images))

    def without(self, number: int, most: int | None = None) -> KnownLandmarks | None:
        """The same without an image, and with so many others; None if one has no landmark left.

        Labels are those that the others have.
        """
        others = [one for k, one in enumerate(self.images) if k != number][:most]
        seen = np.isfinite(np.stack([one.places[:, 0] for one in others])).any(axis=0)
        if not seen.any():
            return None
        labels = tuple(np.array(self.labels)[seen].tolist())
        images = tuple(one.only(seen) for one in others)
        return KnownLandmarks(labels, images)
