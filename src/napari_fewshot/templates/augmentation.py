"""Augmented copies of template slices, which are encoded and kept like any slice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..slices.grid import resize_plane
from ..slices.stack import SliceSource, Window, digest_plane
from ..types import Array

__all__ = ["Augmentation", "AugmentedSlices", "FeatureRequirements"]

_SCALE, _SHIFT, _STRETCH, _NOISE = 0.2, 0.1, 0.1, 0.03
_MIN_CROP = 0.7


@dataclass(frozen=True)
class Augmentation:
    """How many copies of each slice, and whether rows and columns may be mirrored."""

    count: int
    flips: bool = False
    seed: int = 0


@dataclass(frozen=True)
class FeatureRequirements:
    """What an adapter asks of the feature maps that it is given.

    ``padding`` keeps its cells, as in ``FeatureExtractor.maps``; ``whole`` maps are predicted at
    once, others band by band; ``augmentation`` gives augmented copies of the template slices,
    behind the slices themselves.
    """

    padding: bool = False
    whole: bool = False
    augmentation: Augmentation | None = None


class AugmentedSlices:
    """Augmented copies of some slices of a source, as a source themselves.

    What becomes of a slice (:class:`_Draw`) depends on its content, the number of the copy and the
    seed alone, so that features are found again in the store whatever other slices there are.
    Copy ``n`` of slice ``indices[k]`` is number ``k * count + n``.
    """

    def __init__(
        self, source: SliceSource, indices: Sequence[int], augmentation: Augmentation
    ) -> None:
        self._source = source
        self._indices = list(indices)
        self._augmentation = augmentation
        self.slice = lru_cache(maxsize=1)(self._slice)  # its digest is asked for as well

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of every slice in pixels."""
        return self._source.shape

    @property
    def channels(self) -> int:
        """Channels of every slice."""
        return self._source.channels

    def __len__(self) -> int:
        return len(self._indices) * self._augmentation.count

    def window(self, index: int, window: Window, /) -> Array:
        """Return a part of a copy."""
        return self.slice(index)[:, *window]

    def digest(self, index: int, /) -> str:
        """Hexadecimal digest of the content of a copy."""
        return digest_plane(self.slice(index))

    def labels(self, labels: Array, index: int) -> Array:
        """Bring the labels of a slice, shape (H, W), to copy ``index`` of it."""
        return self._drawn(index).place(labels, nearest=True)

    def _slice(self, index: int, /) -> Array:
        number = self._indices[index // self._augmentation.count]
        return self._drawn(index).shade(self._source.slice(number))

    def _drawn(self, index: int) -> _Draw:
        number, copy = divmod(index, self._augmentation.count)
        text = f"{self._source.digest(self._indices[number])} {copy} {self._augmentation.seed}"
        digest = hashlib.sha256(text.encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:16], "little"))
        return _Draw.draw(rng, self._augmentation.flips)


@dataclass(frozen=True)
class _Draw:
    """What is done to one slice: grey values, mirroring, a crop that is resized to the slice.

    ``low`` and ``high`` become 0 and 1 before values are scaled and shifted; ``seed`` is of the
    noise; ``side`` and ``corner`` of the crop are fractions of the slice and of what is left.
    """

    scale: float
    shift: float
    low: float
    high: float
    noise: float
    flipped: tuple[bool, bool]
    side: tuple[float, float]
    corner: tuple[float, float]
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator, flips: bool) -> _Draw:
        """Draw what is done; about a third of the copies keep their crop, contrast or noise."""
        scale, shift = 1 + rng.uniform(-_SCALE, _SCALE), rng.uniform(-_SHIFT, _SHIFT)
        low, high = rng.uniform(0, _STRETCH), 1 - rng.uniform(0, _STRETCH)
        noise = rng.uniform(0, _NOISE)
        stretched, noisy, cropped = rng.random(3) < 2 / 3
        mirrored = rng.random(2) < 0.5
        side, corner = rng.uniform(_MIN_CROP, 1, 2), rng.random(2)
        return cls(
            scale=float(scale),
            shift=float(shift),
            low=float(low) if stretched else 0.0,
            high=float(high) if stretched else 1.0,
            noise=float(noise) if noisy else 0.0,
            flipped=(flips and bool(mirrored[0]), flips and bool(mirrored[1])),
            side=(float(side[0]), float(side[1])) if cropped else (1.0, 1.0),
            corner=(float(corner[0]), float(corner[1])),
            seed=int(rng.integers(2**63)),
        )

    def shade(self, plane: Array) -> Array:
        """Make the copy of a slice, shape (C, H, W), float32 in 0..1."""
        stretched = (self.place(plane) - self.low) / (self.high - self.low)
        varied = stretched * self.scale + self.shift
        noise = np.random.default_rng(self.seed).normal(0, self.noise, varied.shape)
        return np.clip(varied + noise, 0, 1).astype(np.float32)

    def place(self, plane: Array, *, nearest: bool = False) -> Array:
        """Mirror, crop and resize the last two axes."""
        shape = (plane.shape[-2], plane.shape[-1])
        rows, columns = (
            _crop(length, side, corner)
            for length, side, corner in zip(shape, self.side, self.corner, strict=True)
        )
        steps = [-1 if flip else 1 for flip in self.flipped]
        part = plane[..., rows, columns][..., :: steps[0], :: steps[1]]
        return np.ascontiguousarray(resize_plane(part, shape, nearest=nearest))


def _crop(length: int, side: float, corner: float) -> slice:
    size = max(1, round(length * side))
    start = int(corner * (length - size) + 0.5)
    return slice(start, start + size)
