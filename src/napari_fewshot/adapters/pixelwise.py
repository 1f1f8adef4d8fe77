"""The pixel adapter: samples pixels, standardises them, and asks a pixel classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ..config import PositionConfig, SamplingConfig, SegmenterConfig
from ..errors import InputError
from ..slices.grid import resize_plane
from ..slices.stack import SlicePosition
from ..templates.augmentation import FeatureRequirements
from ..templates.known import KnownSlice
from ..templates.pixels import Samples, plan_pixels
from ..types import Array, FeatureMap, Progress, SliceFeatures, no_progress
from .base import AdapterState, PixelClassifier, fitted

__all__ = ["PixelAdapter", "Standardiser", "collect_samples", "gather_pixels"]


_POSITION_COLUMNS = 3
_CHUNK_BYTES = 2 * 2**20  # fits into the cache of a core, which is twice as fast
_FLAT = 1e-6


def gather_pixels(features: FeatureMap, flat: Array) -> Array:
    """Features at chosen pixels of a slice, bilinear between cell centres; float32 (n, C).

    ``flat`` (n,) are flat indices into the (H, W) slice.
    """
    height, width = features.data.shape[1:]
    if features.is_dense:
        import torch

        whole = features.data.reshape(features.channels, -1)
        run = len(flat) > 0 and flat[-1] - flat[0] + 1 == len(flat) and (np.diff(flat) == 1).all()
        columns = whole[:, flat[0] : flat[-1] + 1] if run else whole[:, flat]
        # torch transposes several times faster than numpy.
        vectors = torch.from_numpy(columns).t().contiguous().to(torch.float32)
        return np.asarray(vectors.numpy())
    rows, columns = np.divmod(flat, features.shape[1])
    y = np.clip((rows + 0.5) * height / features.extent[0] - 0.5, 0, height - 1)
    x = np.clip((columns + 0.5) * width / features.extent[1] - 0.5, 0, width - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    dy, dx = (y - top).astype(np.float32), (x - left).astype(np.float32)
    first, last = int(top.min(initial=height - 1)), int(bottom.max(initial=0))
    cells = features.data[:, first : last + 1].astype(np.float32)
    top, bottom = top - first, bottom - first
    upper = cells[:, top, left] * (1 - dx) + cells[:, top, right] * dx
    lower = cells[:, bottom, left] * (1 - dx) + cells[:, bottom, right] * dx
    mixed = upper * (1 - dy) + lower * dy
    return np.ascontiguousarray(mixed.T, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Subtracts a mean and multiplies by a scale (C,), column by column.

    Columns that did not vary in the templates have scale 0: nothing can be learned from them, and a
    division by their spread would blow noise up.
    """

    mean: Array
    scale: Array

    @classmethod
    def of(cls, features: Array, position: int = 0, position_weight: float = 1.0) -> Standardiser:
        """Take the statistics of samples, shape (N, C), of which the last are position."""
        mean = features.mean(axis=0, dtype=np.float64)
        blocks = range(0, features.shape[1], 8)  # of columns: each makes a copy in float64
        spread = np.concatenate(
            [features[:, k : k + 8].std(axis=0, dtype=np.float64) for k in blocks]
        )
        flat = spread <= _FLAT * np.maximum(1.0, np.abs(mean))
        scale = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, spread))
        if position:
            scale[-position:] *= position_weight
        return cls(mean.astype(np.float32), scale.astype(np.float32))

    @classmethod
    def identity(cls, columns: int) -> Standardiser:
        """Leave vectors of so many columns as they are."""
        return cls(np.zeros(columns, np.float32), np.ones(columns, np.float32))

    def apply(self, features: Array, out: Array | None = None) -> Array:
        """Standardise vectors, shape (n, C), float32; ``out`` may be the same array."""
        result: Array = np.subtract(features, self.mean, out=out)
        result *= self.scale
        return result


class PixelAdapter:
    """Turns a pixel classifier into an adapter for feature maps.

    Parameters
    ----------
    classifier : PixelClassifier
    sampling : SamplingConfig
    position : PositionConfig
    on_tokens : bool
        Compute probabilities on the token grid and interpolate them, instead of interpolating
        features to pixels: faster, coarser. Without effect on pixel grids.
    standardise : bool
        False leaves the features as the backbone gives them.
    seed : int
    """

    def __init__(
        self,
        classifier: PixelClassifier,
        sampling: SamplingConfig,
        position: PositionConfig,
        *,
        on_tokens: bool = False,
        standardise: bool = True,
        seed: int = 0,
    ) -> None:
        self.classifier = classifier
        self.sampling = sampling
        self.position = position
        self.on_tokens = on_tokens
        self.standardise = standardise
        self.seed = seed
        self._standardiser: Standardiser | None = None
        self._classes = 0

    @classmethod
    def of(
        cls, config: SegmenterConfig, classifier: PixelClassifier, *, standardise: bool = True
    ) -> PixelAdapter:
        """Make the adapter of a classifier with the settings of a configuration."""
        return cls(
            classifier,
            config.sampling,
            config.position,
            on_tokens=config.propagation.resolution == "tokens",
            standardise=standardise,
            seed=config.seed,
        )

    @property
    def requirements(self) -> FeatureRequirements:
        """Probabilities of tokens are interpolated over a whole map."""
        return FeatureRequirements(whole=self.on_tokens)

    @property
    def label_count(self) -> int:
        """Number of labels that were learned."""
        return self._classes - 1

    def fit(
        self,
        examples: Sequence[KnownSlice],
        maps: Iterable[SliceFeatures],
        label_values: Sequence[int],
        progress: Progress = no_progress,
    ) -> PixelAdapter:
        """Sample pixels from the examples and fit the classifier; see :class:`~.base.Adapter`."""
        samples = self._samples(examples, maps, label_values)
        columns = _POSITION_COLUMNS if self.position.use else 0
        if self.standardise:
            standardiser = Standardiser.of(samples.features, columns, self.position.weight)
        else:
            standardiser = Standardiser.identity(samples.features.shape[1])
        standardiser.apply(samples.features, out=samples.features)
        self.classifier.fit(samples, self.seed, progress)
        self._standardiser = standardiser
        self._classes = samples.class_count
        return self

    def update(
        self,
        examples: Sequence[KnownSlice],
        maps: Iterable[SliceFeatures],
        label_values: Sequence[int],
        before: Sequence[int],
        progress: Progress = no_progress,
    ) -> PixelAdapter:
        """Sample anew and train the classifier on; the statistics of features stay."""
        standardiser = fitted(self._standardiser, "The adapter")
        samples = self._samples(examples, maps, label_values)
        standardiser.apply(samples.features, out=samples.features)
        self.classifier.update(samples, before, self.seed, progress)
        self._classes = samples.class_count
        return self

    def _samples(
        self,
        examples: Sequence[KnownSlice],
        maps: Iterable[SliceFeatures],
        label_values: Sequence[int],
    ) -> Samples:
        return collect_samples(
            examples,
            maps,
            label_values,
            self.sampling,
            position=self.position.use,
            rng=np.random.default_rng(self.seed),
        )

    def predict(
        self, features: FeatureMap, position: SlicePosition, rows: slice = slice(None)
    ) -> Array:
        """Class probabilities, shape (L + 1, H, W), float32; see :class:`~.base.Adapter`."""
        fitted(self._standardiser, "The adapter")
        if self.on_tokens and not features.is_dense:
            return self._predict_tokens(features, position)
        width = features.shape[1]
        first, last, _ = rows.indices(features.shape[0])
        result = np.empty((self._classes, (last - first) * width), dtype=np.float32)
        size = max(1024, _CHUNK_BYTES // (4 * features.channels))
        for start in range(first * width, last * width, size):
            flat = np.arange(start, min(last * width, start + size))
            probabilities = self._probabilities(
                gather_pixels(features, flat), features, position, flat
            )
            result[:, flat - first * width] = probabilities.T
        return result.reshape(self._classes, last - first, width)

    def _predict_tokens(self, features: FeatureMap, position: SlicePosition) -> Array:
        height, width = features.data.shape[1:]
        rows = _centres(height, features.extent[0], features.shape[0])
        columns = _centres(width, features.extent[1], features.shape[1])
        flat = (rows[:, None] * features.shape[1] + columns[None]).reshape(-1)
        vectors = features.data.reshape(features.channels, -1).T.astype(np.float32)
        coarse = self._probabilities(vectors, features, position, flat).T
        coarse = np.ascontiguousarray(coarse).reshape(self._classes, height, width)
        covered = (round(features.extent[0]), round(features.extent[1]))
        fine = resize_plane(coarse, covered)
        return np.ascontiguousarray(fine[:, : features.shape[0], : features.shape[1]])

    def _probabilities(
        self, vectors: Array, features: FeatureMap, position: SlicePosition, flat: Array
    ) -> Array:
        standardiser = fitted(self._standardiser, "The adapter")
        if self.position.use:
            places = _in_slice(features, position, flat)
            vectors = np.concatenate([vectors, position.columns(places)], axis=1)
        if vectors.shape[1] != len(standardiser.mean):
            raise InputError(
                "image",
                f"give {len(standardiser.mean)} features for each pixel, as the templates did",
                f"{vectors.shape[1]}",
                "It must have as many channels as the templates.",
            )
        return self.classifier.predict(standardiser.apply(vectors))

    def state(self) -> AdapterState:
        """Tensors and values of the fitted adapter; see :class:`~.base.Adapter`."""
        standardiser = fitted(self._standardiser, "The adapter")
        inner = self.classifier.state()
        tensors = {f"classifier.{name}": t for name, t in inner.tensors.items()}
        tensors |= {"mean": standardiser.mean, "scale": standardiser.scale}
        values: dict[str, Any] = {"classes": self._classes, "classifier": inner.values}
        return AdapterState(tensors, values)

    def restore(self, state: AdapterState) -> PixelAdapter:
        """Become the adapter that ``state`` was taken from."""
        prefix = "classifier."
        inner = {
            n.removeprefix(prefix): t for n, t in state.tensors.items() if n.startswith(prefix)
        }
        self.classifier.restore(AdapterState(inner, state.values["classifier"]))
        self._standardiser = Standardiser(state.tensors["mean"], state.tensors["scale"])
        self._classes = int(state.values["classes"])
        # One pixel tells whether all parts fit each other.
        columns = self._standardiser.mean.size
        pixel = self._standardiser.apply(np.zeros((1, columns), np.float32))
        probabilities = self.classifier.predict(pixel)
        if pixel.shape != (1, columns) or probabilities.shape != (1, self._classes):
            raise ValueError(f"shapes {pixel.shape} and {probabilities.shape} for a pixel")
        return self


def _in_slice(features: FeatureMap, position: SlicePosition, flat: Array) -> Array:
    """Flat indices in the slice of pixels of a part of it."""
    if features.origin == (0, 0) and features.shape[1] == position.stack_shape[2]:
        return flat
    row, column = np.divmod(flat, features.shape[1])
    places: Array = (row + features.origin[0]) * position.stack_shape[2] + features.origin[1]
    return places + column


def _centres(cells: int, extent: float, pixels: int) -> Array:
    """Pixel nearest to the centre of each cell."""
    centre = (np.arange(cells) + 0.5) * extent / cells - 0.5
    return np.clip(np.round(centre), 0, pixels - 1).astype(np.int64)


def collect_samples(
    examples: Sequence[KnownSlice],
    maps: Iterable[SliceFeatures],
    label_values: Sequence[int],
    sampling: SamplingConfig,
    *,
    position: bool,
    rng: np.random.Generator,
) -> Samples:
    """Choose pixels from the labels, then read their features map by map.

    Only the chosen pixels stay in memory. ``maps`` come in the order of ``examples``.
    """
    planes = [e.labels for e in examples]
    maps = iter(maps)
    first = next(maps)  # tells how many features a pixel has
    columns = first.channels + (_POSITION_COLUMNS if position else 0)
    chosen, frequency = plan_pixels(planes, label_values, sampling, rng, columns)
    values = np.array([0, *label_values])
    features = np.empty((sum(map(len, chosen)), columns), dtype=np.float32)
    classes, possible, places = [], [], []
    rest = features
    for number, (example, fmap) in enumerate(zip(examples, chain([first], maps), strict=True)):
        flat = chosen[number]
        _gather_parts(fmap, flat, rest[: len(flat), : first.channels])
        if position:
            rest[: len(flat), first.channels :] = example.position.columns(flat)
        rest = rest[len(flat) :]
        found = np.searchsorted(values, example.labels.reshape(-1)[flat])
        classes.append(found)
        possible.append(_possible(found, values, example.known_labels))
        row, column = np.divmod(flat, example.labels.shape[1])
        places.append(np.stack([np.full(len(flat), number), row, column], axis=1))
    return Samples(
        features=features,
        classes=np.concatenate(classes).astype(np.int64),
        possible=np.concatenate(possible),
        places=np.concatenate(places).astype(np.float32),
        label_values=tuple(int(v) for v in label_values),
        frequency=frequency,
        planes=planes,
    )


def _gather_parts(features: SliceFeatures, flat: Array, out: Array) -> None:
    """Write features at chosen pixels of a slice, flat indices (n,), to ``out`` (n, C)."""
    rows, columns = np.divmod(flat, features.shape[1])
    for part in features.parts():
        row, column = rows - part.origin[0], columns - part.origin[1]
        height, width = part.shape
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        if inside.any():
            out[inside] = gather_pixels(part, row[inside] * width + column[inside])


def _possible(classes: Array, values: Array, known: frozenset[int]) -> Array:
    table = np.eye(len(values), dtype=bool)
    table[0] = [v == 0 or int(v) not in known for v in values]
    result: Array = table[classes]
    return result
